"""Fusion by attention between the tokens of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from nas.blocks.attention import Attention, TransformerLayer
from nas.blocks.features import Features, joined_masks, masked_mean, tokens
from nas.blocks.fusion.module import FusionModule
from nas.blocks.steps import Stack
from nas.blocks.widths import projections
from nas.errors import BlockError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class CrossAttention:
    """The tokens of each modality attend to those of all others (Tsai et al., 2019), one layer, pooled by their mean.

    Attributes:
        dim: Features of each modality in the result.
        heads: Attention heads; they divide `dim`.
    """

    dim: int = 32
    heads: int = 2

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim * modalities)`.

        Raises:
            BlockError: If the heads do not divide the dimension.
        """
        if self.dim % self.heads:
            raise BlockError(f"CrossAttention: {self.heads} heads do not divide dim {self.dim}; expected a divisor.")
        return CrossAttentionFusion([shape[0] for shape in shapes], self.dim, self.heads)


@dataclass(frozen=True)
class SelfAttention:
    """All modalities' tokens in one transformer.

    Attributes:
        dim: Features of each token and of the result.
        heads: Attention heads; they divide `dim`.
        layers: Transformer layers.
        scope: `global`: every token attends to all; `local`: within windows of each modality, then pooled to one token
            a window, which attend to all; `hierarchical`: within each modality, then pooled to one token each.
        window: Tokens of a local window.
    """

    dim: int = 32
    heads: int = 2
    layers: int = 1
    scope: Literal["global", "local", "hierarchical"] = "global"
    window: int = 4

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If there is no layer, an unknown scope, or the heads do not divide the dimension.
        """
        if self.layers < 1 or self.window < 1:
            raise BlockError(f"SelfAttention: {self.layers} layers, window {self.window}; expected at least 1 of each.")
        if self.scope not in ("global", "local", "hierarchical"):
            raise BlockError(f"SelfAttention.scope: {self.scope!r}; expected global, local or hierarchical.")
        return SelfAttentionFusion([shape[0] for shape in shapes], self)

    def canonical(self) -> object:
        """The window says nothing where attention is not local."""
        return self if self.scope == "local" else SelfAttention(self.dim, self.heads, self.layers, self.scope, 1)


@dataclass(frozen=True)
class MultiLevel:
    """One token for each depth of each encoder; they attend to each other.

    Attributes:
        dim: Features of each token and of the result.
        heads: Attention heads; they divide `dim`.
    """

    deep: ClassVar[bool] = True
    dim: int = 32
    heads: int = 2

    def build(self, shapes: Sequence[Sequence[Shape]]) -> nn.Module:
        """Build for features of all depths of each modality; gives `(b, dim)`."""
        return MultiLevelFusion([[shape[0] for shape in depths] for depths in shapes], self.dim, self.heads)


@dataclass(frozen=True)
class Bottleneck:
    """Modalities exchange what they know through a few learned tokens only (Nagrani et al., MBT, 2021).

    Attributes:
        dim: Features of each token and of the result.
        heads: Attention heads; they divide `dim`.
        tokens: In the bottleneck.
        layers: Rounds of exchange.
    """

    dim: int = 32
    heads: int = 2
    tokens: int = 4
    layers: int = 1

    def build(self, shapes: Sequence[Shape]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If there is no token or no layer.
        """
        if self.tokens < 1 or self.layers < 1:
            raise BlockError(f"Bottleneck: {self.tokens} tokens, {self.layers} layers; expected at least 1 of each.")
        return BottleneckFusion([shape[0] for shape in shapes], self)


class Tokens(nn.Module):
    """Projects the features of each modality to normalised tokens of one width."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(c, dim) for c in channels)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in channels)

    def forward(self, features: Sequence[Features]) -> list[tuple[Tensor, Tensor | None]]:
        """Map features `(b, c_i, *)` to tokens `(b, l_i, dim)` and their masks."""
        parts = [tokens(x) for x in features]
        return [
            (norm(project(x)), mask)
            for norm, project, (x, mask) in zip(self.norms, self.projections, parts, strict=True)
        ]


class CrossAttentionFusion(FusionModule):
    """The module of `CrossAttention`."""

    def __init__(self, channels: Sequence[int], dim: int, heads: int) -> None:
        super().__init__()
        self.tokens = Tokens(channels, dim)
        several = len(channels) > 1
        self.attentions = nn.ModuleList(Attention(dim, heads) for _ in channels) if several else None

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim * modalities)`."""
        parts = self.tokens(features)
        if self.attentions is None:
            return _mean(*parts[0])
        attended: list[Tensor] = []
        for i, attention in enumerate(self.attentions):
            others = [part for j, part in enumerate(parts) if j != i]
            context = torch.cat([x for x, _ in others], 1) if len(others) > 1 else others[0][0]
            x, mask = parts[i]
            attended.append(_mean(x + attention(x, context, joined_masks(others)), mask))
        return torch.cat(attended, 1)

    def unprunable(self) -> list[nn.Module]:
        """All of it: heads divide its width, and residuals add it up."""
        return projections(self)


class SelfAttentionFusion(FusionModule):
    """The module of `SelfAttention`."""

    def __init__(self, channels: Sequence[int], block: SelfAttention) -> None:
        super().__init__()
        self.scope, self.window = block.scope, block.window
        self.stack = Stack(block.window)
        self.tokens = Tokens(channels, block.dim)
        self.kinds = nn.ParameterList(nn.init.normal_(torch.empty(block.dim), std=0.02) for _ in channels)
        self.layers = nn.ModuleList(TransformerLayer(block.dim, block.heads) for _ in range(block.layers))
        within = [] if block.scope == "global" else channels
        self.within = nn.ModuleList(TransformerLayer(block.dim, block.heads) for _ in within)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        parts = [(x + kind, mask) for (x, mask), kind in zip(self.tokens(features), self.kinds, strict=True)]
        if self.scope == "hierarchical":
            parts = [
                (_mean(layer(x, mask), mask).unsqueeze(1), None)
                for layer, (x, mask) in zip(self.within, parts, strict=True)
            ]
        elif self.scope == "local":
            parts = [self._windows(layer, x, mask) for layer, (x, mask) in zip(self.within, parts, strict=True)]
        joined, mask = torch.cat([x for x, _ in parts], 1), joined_masks(parts)
        for layer in self.layers:
            joined = layer(joined, mask)
        return _mean(joined, mask)

    def _windows(self, layer: nn.Module, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Attend within windows, and pool each to a token; what fills up the last window does not count."""
        there = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
        stacked, counts = self.stack(Features(x.transpose(1, 2), there))
        inside = self.stack(Features(there.unsqueeze(1).to(x.dtype))).values.transpose(1, 2)
        flat = stacked.transpose(1, 2).reshape(-1, self.window, x.shape[2])
        inside = inside.reshape(-1, self.window) > 0
        pooled = masked_mean(layer(flat, inside).transpose(1, 2), inside)
        return pooled.reshape(-1, counts.shape[1], x.shape[2]), counts


class MultiLevelFusion(FusionModule):
    """The module of `MultiLevel`."""

    deep = True

    def __init__(self, channels: Sequence[Sequence[int]], dim: int, heads: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Tokens(depths, dim) for depths in channels)
        self.layer = TransformerLayer(dim, heads)

    def forward(self, features: Sequence[Sequence[Features]], present: Sequence[Tensor] | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map features of all depths to `(b, dim)`."""
        levels = [_mean(*part) for level, deep in zip(self.levels, features, strict=True) for part in level(deep)]
        return self.layer(torch.stack(levels, 1)).mean(1)


class BottleneckFusion(FusionModule):
    """The module of `Bottleneck`."""

    def __init__(self, channels: Sequence[int], block: Bottleneck) -> None:
        super().__init__()
        self.tokens = Tokens(channels, block.dim)
        self.bottleneck = nn.Parameter(nn.init.normal_(torch.empty(1, block.tokens, block.dim), std=0.02))
        self.count = block.tokens
        self.layers = nn.ModuleList(
            TransformerLayer(block.dim, block.heads) for _ in range(block.layers * len(channels))
        )

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        parts = self.tokens(features)
        shared = self.bottleneck + torch.zeros_like(parts[0][0][:, :1])
        told: list[Tensor] = []
        for position, layer in enumerate(self.layers):
            i = position % len(parts)
            x, mask = parts[i]
            joined = layer(torch.cat([shared, x], 1), joined_masks([(shared, None), (x, mask)]))
            told.append(joined[:, : self.count])
            parts[i] = (joined[:, self.count :], mask)
            if i == len(parts) - 1:
                shared, told = torch.stack(told).mean(0), []
        return torch.stack([shared.mean(1), *(_mean(*part) for part in parts)]).mean(0)


def _mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of tokens `(b, l, dim)` that count."""
    return x.mean(1) if mask is None else masked_mean(x.transpose(1, 2), mask)
