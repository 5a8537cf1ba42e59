"""Taps and early exits: features of chosen depths of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas.blocks.depths import depth_count, unpooled, until
from nas.blocks.features import depths_of, pooled
from nas.blocks.input import Input
from nas.errors import BlockError


@dataclass(frozen=True)
class Taps:
    """Pooled features of several depths of an encoder side by side; a single depth is an early exit.

    What lies beyond the deepest tap is not built.

    Attributes:
        encoder: Any encoder that has depths, such as `ConvNet`, `ViT`, `Text` or `Series`.
        depths: 0 is the first; a depth beyond the last is the last, and equal ones count once.
    """

    encoder: Any
    depths: Sequence[int] = (0, 1)

    def canonical(self) -> Taps:
        """Each depth once, in order, and of the encoder what they need."""
        count = depth_count(self.encoder)
        depths = sorted({min(depth, count - 1) if count else depth for depth in self.depths})
        return Taps(unpooled(until(self.encoder, depths[-1] + 1)), tuple(depths)) if depths else self

    def build(self, given: Input) -> nn.Module:
        """Build for inputs `(b, *given.shape)`; gives `(b, sum of channels)`.

        Raises:
            BlockError: If none is tapped.
        """
        if not self.depths or min(self.depths) < 0:
            raise BlockError(f"Taps.depths: {tuple(self.depths)}; expected at least one depth >= 0.")
        tapped = self.canonical()
        return Tapped(tapped.encoder.build(given), tapped.depths)


class Tapped(nn.Module):
    """The module of `Taps`."""

    def __init__(self, encoder: nn.Module, depths: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.indices = encoder, depths

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, *shape)` to `(b, sum of channels)`."""
        found = depths_of(self.encoder, x)
        return torch.cat([pooled(found[min(i, len(found) - 1)]) for i in self.indices], 1)
