"""How sequences are read: a front gives steps, a trunk reads them, a pooling ends them.

Steps that a mask leaves out never change what the others give, so a deployed model can take padded batches.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.cost import probe
from nas.blocks.features import Features, Pool, as_features, masked
from nas.blocks.input import Input
from nas.errors import BlockError

Pooling = Literal["none", "mean", "max", "attention"]


class Trunk(Protocol):
    """What reads a sequence."""

    def build_trunk(self, channels: int) -> nn.Module:
        """Map `Features` of `(b, channels, t)` to `Features` of `(b, c, t')`.

        A module that has several layers lists the features of each by a method `depths`.
        """
        ...


class SequenceEncoder(nn.Module):
    """A front, a trunk and a pooling.

    Args:
        front: Maps raw input to `Features` of `(b, channels, t)`.
        channels: Of the front.
        trunk: Reads its steps.
        pool: `none` hands steps to the fusion; `mean`, `max` and `attention` pool them.

    Raises:
        BlockError: If there is no such pooling.
    """

    def __init__(self, front: nn.Module, channels: int, trunk: Trunk, pool: str) -> None:
        super().__init__()
        self.front = front
        self.trunk = trunk.build_trunk(channels)
        self.pool = None if pool == "none" else Pool(pool, self._width(channels))

    def forward(self, x: Tensor) -> Features:
        """Map raw steps to features."""
        return self._end(as_features(self.trunk(self.front(x))))

    def depths(self, x: Tensor) -> list[Features]:
        """Map raw steps to the features of each layer of the trunk."""
        steps = self.front(x)
        trunk = self.trunk
        found: list[Features] = trunk.depths(steps) if hasattr(trunk, "depths") else [as_features(trunk(steps))]  # pyright: ignore[reportCallIssue]
        return [*found[:-1], self._end(found[-1])]

    def _end(self, features: Features) -> Features:
        return features if self.pool is None else Features(self.pool(features))

    def _width(self, channels: int) -> int:
        """Features that the trunk gives for each step."""
        found = probe(self.trunk, [(channels, 64)], lambda steps: self.trunk(Features(steps)))
        return as_features(found).values.shape[1]


class Stack(nn.Module):
    """Stacks neighbouring steps into one; the last ones are filled up with zeros.

    Args:
        stride: Steps to stack.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to `(b, c * stride, ceil(t / stride))`; a new step counts where one of its own did."""
        values, mask = features
        if self.stride == 1:
            return features
        return Features(
            torch.cat(self._slices(values), 1),
            None if mask is None else torch.stack(self._slices(mask), 0).any(0),
        )

    def _slices(self, x: Tensor) -> list[Tensor]:
        """Every `stride`-th step from the first, from the second and so on, all of the same number."""
        stride = self.stride
        padded = F.pad(x, (0, stride - 1)) if x.is_floating_point() else F.pad(x.to(torch.uint8), (0, stride - 1)) > 0
        return [padded[..., i : (i - stride + 1) or None : stride] for i in range(stride)]


class SeriesFront(nn.Module):
    """Takes a series or a spectrogram as steps; of a free length, also tells which are there.

    Args:
        shape: `(c, t)` or `(1, mels, frames)`.
        free: Whether the length is free and NaN means "not there".
    """

    def __init__(self, shape: tuple[int, ...], free: bool) -> None:
        super().__init__()
        self.is_picture, self.free = len(shape) == 3, free

    def forward(self, x: Tensor) -> Features:
        """Map `(b, *shape)` to `(b, c, t)`."""
        x = x.squeeze(1) if self.is_picture else x
        if not self.free:
            return Features(x)
        x = F.pad(x, (0, 1), value=math.nan)  # so that there is a step in a series of none
        missing = torch.isnan(x)
        return masked(torch.where(missing, torch.zeros_like(x), x), (~missing).any(1))


def series_front(name: str, given: Input) -> tuple[SeriesFront, int]:
    """The front of a block for series, and its channels.

    Raises:
        BlockError: If the input is neither a series nor a spectrogram.
    """
    shape = given.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1):
        raise BlockError(f"{name}: the input has shape {shape}; expected (channels, steps) or (1, mels, frames).")
    return SeriesFront(shape, given.free), shape[-2]


def check_stride(name: str, stride: int, given: Input | None = None) -> None:
    """Refuse to stack no steps, or more than there are.

    Raises:
        BlockError: If so.
    """
    steps = given.shape[-1] if given else stride
    if not 1 <= stride <= steps:
        raise BlockError(f"{name}.stride: {stride}; expected 1 to {max(1, steps)}, the steps of the input.")
