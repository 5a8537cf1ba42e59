"""A small vision transformer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.blocks.attention import TransformerLayer
from nas.blocks.conv import Resize
from nas.blocks.features import Features
from nas.blocks.input import Input
from nas.errors import BlockError


@dataclass(frozen=True)
class ViT:
    """Patches as tokens of a transformer (Dosovitskiy et al., ViT, 2021); each layer is a depth.

    Attributes:
        patch: Rows and columns of a patch.
        dim: Features of each token.
        heads: They divide `dim`.
        layers: At least one.
        resolution: Pictures are resized to so many rows and columns first; 0 leaves them as they are.
        dropout: Share of features dropped while training.
    """

    patch: int = 7
    dim: int = 32
    heads: int = 2
    layers: int = 2
    resolution: int = 0
    dropout: float = 0.0

    @property
    def depth_count(self) -> int:
        """Each layer."""
        return self.layers

    def until(self, count: int) -> ViT:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, layers=min(count, self.layers))

    def build(self, given: Input) -> nn.Module:
        """Build for inputs `(b, c, h, w)`; gives `(b, dim, h / patch, w / patch)`.

        Raises:
            BlockError: If the input is not a picture of at least one patch and fixed size.
        """
        shape = given.shape
        if len(shape) != 3 or given.free or self.layers < 1:
            raise BlockError(
                f"ViT: the input has shape {shape}, layers are {self.layers}; expected (channels, height, width) of "
                "fixed size and at least one layer."
            )
        height, width = (self.resolution, self.resolution) if self.resolution else shape[1:]
        if not 1 <= self.patch <= min(height, width):
            raise BlockError(f"ViT.patch: {self.patch}; expected 1 to {min(height, width)}.")
        return VisionTransformer(shape[0], height // self.patch, width // self.patch, self)


class VisionTransformer(nn.Module):
    """The module of `ViT`."""

    def __init__(self, channels: int, rows: int, columns: int, block: ViT) -> None:
        super().__init__()
        self.resize = Resize(block.resolution) if block.resolution else nn.Identity()
        self.patches = nn.Conv2d(channels, block.dim, block.patch, block.patch)
        self.positions = nn.Parameter(nn.init.normal_(torch.empty(1, block.dim, rows, columns), std=0.02))
        self.layers = nn.ModuleList(
            TransformerLayer(block.dim, block.heads, dropout=block.dropout) for _ in range(block.layers)
        )
        self.grid = (block.dim, rows, columns)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to `(b, dim, rows, columns)`."""
        return self.depths(x)[-1].values

    def depths(self, x: Tensor) -> list[Features]:
        """Map `(b, c, h, w)` to the features of each layer."""
        tokens = (self.patches(self.resize(x)) + self.positions).flatten(2).transpose(1, 2)
        found: list[Features] = []
        for layer in self.layers:
            tokens = layer(tokens)
            found.append(Features(tokens.transpose(1, 2).reshape(-1, *self.grid)))
        return found
