"""Fusion: the features of several encoders become one vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.errors import BlockError


@dataclass(frozen=True)
class Concat:
    """Pooled features side by side."""

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, sum of channels)`."""
        return ConcatFusion(len(shapes))


@dataclass(frozen=True)
class Gated:
    """Gated multimodal unit (Arevalo et al., 2017): each modality's projection is weighed by a gate that sees all.

    Attributes:
        dim: Features of the result.
    """

    dim: int = 32

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`."""
        return GatedFusion([shape[0] for shape in shapes], self.dim)


@dataclass(frozen=True)
class CrossAttention:
    """The tokens of each modality attend to those of all others (Tsai et al., 2019), one layer, pooled by their mean.

    Attributes:
        dim: Features of each modality in the result.
        heads: Attention heads; they divide `dim`.
    """

    dim: int = 32
    heads: int = 2

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim * modalities)`.

        Raises:
            BlockError: If the heads do not divide the dimension.
        """
        if self.dim % self.heads:
            raise BlockError(f"CrossAttention: {self.heads} heads do not divide dim {self.dim}; expected a divisor.")
        return CrossAttentionFusion(shapes, self.dim, self.heads)


class Pool(nn.Module):
    """The mean of features over all positions."""

    def forward(self, features: Tensor) -> Tensor:
        """Map `(b, c, *)` to `(b, c)`."""
        if features.ndim == 4:
            return features.mean((2, 3))
        return features if features.ndim == 2 else features.mean(2)


class ConcatFusion(nn.Module):
    """The module of `Concat`."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(Pool() for _ in range(modalities))

    def forward(self, *features: Tensor) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, sum c_i)`."""
        return torch.cat([pool(x) for pool, x in zip(self.pools, features, strict=True)], 1)


class GatedFusion(nn.Module):
    """The module of `Gated`."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.concat = ConcatFusion(len(channels))
        self.pool = Pool()
        self.projections = nn.ModuleList(nn.Linear(c, dim) for c in channels)
        self.gates = nn.ModuleList(nn.Linear(sum(channels), dim) for _ in channels)

    def forward(self, *features: Tensor) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        together = self.concat(*features)
        parts = [
            torch.sigmoid(gate(together)) * torch.tanh(projection(self.pool(x)))
            for gate, projection, x in zip(self.gates, self.projections, features, strict=True)
        ]
        return torch.stack(parts).sum(0) if len(parts) > 2 else sum(parts[1:], parts[0])


class CrossAttentionFusion(nn.Module):
    """The module of `CrossAttention`."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dim: int, heads: int) -> None:
        super().__init__()
        lengths = [math.prod(shape[1:]) for shape in shapes]
        self.projections = nn.ModuleList(nn.Linear(shape[0], dim) for shape in shapes)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in shapes)
        pairs = [(length, sum(lengths) - length) for length in lengths] if len(shapes) > 1 else []
        self.attentions = nn.ModuleList(Attention(dim, heads, *pair) for pair in pairs) if pairs else None

    def forward(self, *features: Tensor) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim * modalities)`."""
        tokens = [
            norm(project(_tokens(x))) for norm, project, x in zip(self.norms, self.projections, features, strict=True)
        ]
        if self.attentions is None:
            return tokens[0].mean(1)
        attended: list[Tensor] = []
        for i, attention in enumerate(self.attentions):
            others = [t for j, t in enumerate(tokens) if j != i]
            context = torch.cat(others, 1) if len(others) > 1 else others[0]
            attended.append((tokens[i] + attention(tokens[i], context)).mean(1))
        return torch.cat(attended, 1)


class Attention(nn.Module):
    """Scaled dot-product attention in plain matrix products, from `length` tokens to `context` others.

    Lengths are known when it is built, so the exported graph computes no shapes.
    """

    def __init__(self, dim: int, heads: int, length: int, context: int) -> None:
        super().__init__()
        self.length, self.context = length, context
        self.heads, self.width = heads, dim // heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map `(b, l, dim)` attending to `(b, k, dim)` to `(b, l, dim)`."""
        query = self._split(self.query(x), self.length)
        key, value = (self._split(layer(context), self.context) for layer in (self.key, self.value))
        weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(self.width), 3)
        return self.out((weights @ value).transpose(1, 2).reshape(-1, self.length, self.heads * self.width))

    def _split(self, x: Tensor, length: int) -> Tensor:
        return x.reshape(-1, length, self.heads, self.width).transpose(1, 2)


def _tokens(features: Tensor) -> Tensor:
    """Turn features `(b, c, *)` into tokens `(b, l, c)`."""
    return features.unsqueeze(1) if features.ndim == 2 else features.flatten(2).transpose(1, 2)
