"""Fusion of pooled features: concatenation, sums, gates, products, and what does without a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from nas.blocks.features import Features, pooled
from nas.errors import BlockError

MAX_TENSOR = 2**16
"""Products of features that `TensorFusion` forms at most."""


class FusionModule(nn.Module, ABC):
    """The module of a fusion of ours.

    Attributes:
        deep: Whether it takes a list of the features of all depths for each modality instead of the last ones.
    """

    deep: ClassVar[bool] = False

    @abstractmethod
    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features of each modality to `(b, d)`; `present` tells for each which samples `(b,)` have it."""


@dataclass(frozen=True)
class Concat:
    """Pooled features side by side."""

    pools: ClassVar[bool] = True

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, sum of channels)`."""
        return ConcatFusion()


@dataclass(frozen=True)
class Sum:
    """The sum of projections of pooled features.

    Attributes:
        dim: Features of the result.
        weighted: Whether each modality has a learned weight; they add up to 1.
    """

    pools: ClassVar[bool] = True
    dim: int = 32
    weighted: bool = False

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`."""
        return SumFusion(_channels(shapes), self.dim, self.weighted)


@dataclass(frozen=True)
class Gated:
    """Gated multimodal unit (Arevalo et al., 2017): each modality's projection is weighed by a gate that sees all.

    Attributes:
        dim: Features of the result.
    """

    pools: ClassVar[bool] = True
    dim: int = 32

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`."""
        return GatedFusion(_channels(shapes), self.dim)


@dataclass(frozen=True)
class FiLM:
    """Each modality is scaled and shifted feature by feature by what all others say (Perez et al., 2018).

    Attributes:
        dim: Features of each modality in the result.
    """

    pools: ClassVar[bool] = True
    dim: int = 32

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim * modalities)`.

        Raises:
            BlockError: If there is a single modality, which nothing could modulate.
        """
        return FiLMFusion(_several("FiLM", shapes), self.dim)


@dataclass(frozen=True)
class LMF:
    """The outer product of all modalities through low-rank factors (Liu et al., LMF, 2018).

    Attributes:
        dim: Features of the result.
        rank: Of the factors.
    """

    pools: ClassVar[bool] = True
    dim: int = 32
    rank: int = 4

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If the rank is not positive.
        """
        if self.rank < 1:
            raise BlockError(f"LMF.rank: {self.rank}; expected at least 1.")
        return LowRankFusion(_channels(shapes), self.dim, self.rank)


@dataclass(frozen=True)
class TensorProduct:
    """The full outer product of all modalities, each with a 1 appended (Zadeh et al., TFN, 2017); for small widths.

    Attributes:
        dim: Each modality is projected to so many features first.
    """

    pools: ClassVar[bool] = True
    dim: int = 8

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, (dim + 1) ** modalities)`.

        Raises:
            BlockError: If the product would have more than 65,536 features.
        """
        if (size := (self.dim + 1) ** len(shapes)) > MAX_TENSOR:
            raise BlockError(
                f"TensorProduct: {size} products of features; expected at most {MAX_TENSOR}.", "Lower dim."
            )
        return TensorFusion(_channels(shapes), self.dim)


@dataclass(frozen=True)
class MMTM:
    """Channels of each modality are gated by a squeeze of all of them (Joze et al., MMTM, 2020).

    Attributes:
        reduction: The squeeze has so many times fewer features than all modalities together.
    """

    pools: ClassVar[bool] = True
    reduction: int = 4

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, sum of channels)`."""
        return SqueezeExcitation(_channels(shapes), self.reduction)


@dataclass(frozen=True)
class Embrace:
    """Each feature comes from one modality, drawn while training and averaged afterwards.

    EmbraceNet (Choi & Lee, 2019). Modalities that are missing are never drawn, so a network with `modality_dropout`
    runs without them.

    Attributes:
        dim: Features of the result.
    """

    pools: ClassVar[bool] = True
    dim: int = 32

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`."""
        return EmbraceFusion(_channels(shapes), self.dim)


class ConcatFusion(FusionModule):
    """The module of `Concat`."""

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, sum c_i)`."""
        return torch.cat([pooled(x) for x in features], 1)


class Projections(nn.Module):
    """Pools each modality and projects it to the same number of features."""

    def __init__(self, channels: Sequence[int], dim: int, bias: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(c, dim, bias=bias) for c in channels)

    def forward(self, features: Sequence[Features]) -> list[Tensor]:
        """Map features `(b, c_i, *)` to a list of `(b, dim)`."""
        return [layer(pooled(x)) for layer, x in zip(self.layers, features, strict=True)]


class SumFusion(FusionModule):
    """The module of `Sum`."""

    def __init__(self, channels: Sequence[int], dim: int, weighted: bool) -> None:
        super().__init__()
        self.projections = Projections(channels, dim)
        self.weights = nn.Parameter(torch.zeros(len(channels))) if weighted else None

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        parts = self.projections(features)
        if self.weights is not None:
            shares = torch.softmax(self.weights, 0)
            parts = [part * shares[i] for i, part in enumerate(parts)]
        return reduce(torch.add, parts)


class GatedFusion(FusionModule):
    """The module of `Gated`."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.projections = Projections(channels, dim)
        self.gates = nn.ModuleList(nn.Linear(sum(channels), dim) for _ in channels)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        together = torch.cat([pooled(x) for x in features], 1)
        parts = [
            torch.sigmoid(gate(together)) * torch.tanh(part)
            for gate, part in zip(self.gates, self.projections(features), strict=True)
        ]
        return reduce(torch.add, parts)


class FiLMFusion(FusionModule):
    """The module of `FiLM`."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        rest = [sum(channels) - c for c in channels]
        self.projections = Projections(channels, dim)
        self.scales = nn.ModuleList(nn.Linear(r, dim) for r in rest)
        self.shifts = nn.ModuleList(nn.Linear(r, dim) for r in rest)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim * modalities)`."""
        vectors = [pooled(x) for x in features]
        modulated: list[Tensor] = []
        for i, part in enumerate(self.projections(features)):
            rest = torch.cat([v for j, v in enumerate(vectors) if j != i], 1)
            modulated.append(torch.relu(part * (1 + self.scales[i](rest)) + self.shifts[i](rest)))
        return torch.cat(modulated, 1)


class LowRankFusion(FusionModule):
    """The module of `LMF`; the 1 that is appended to each modality is the bias of its factors."""

    def __init__(self, channels: Sequence[int], dim: int, rank: int) -> None:
        super().__init__()
        self.factors = Projections(channels, dim * rank)
        self.norm = nn.LayerNorm(dim)
        self.rank, self.dim = rank, dim
        self.mix = nn.Parameter(torch.full((rank,), 1 / rank))
        for factor in self.factors.layers:
            nn.init.ones_(factor.bias)  # pyright: ignore[reportArgumentType] - products of small numbers vanish

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        parts = self.factors(features)
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        ranks = product.reshape(-1, self.rank, self.dim) * self.mix.reshape(1, -1, 1)
        return self.norm(ranks.sum(1))


class TensorFusion(FusionModule):
    """The module of `TensorProduct`."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.projections = Projections(channels, dim)
        self.width = dim + 1

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, (dim + 1) ** modalities)`."""
        parts = [torch.cat([torch.ones_like(p[:, :1]), torch.tanh(p)], 1) for p in self.projections(features)]
        product = parts[0]
        for position, part in enumerate(parts[1:], 2):
            product = (product.unsqueeze(2) * part.unsqueeze(1)).reshape(-1, self.width**position)
        return product


class SqueezeExcitation(FusionModule):
    """The module of `MMTM`."""

    def __init__(self, channels: Sequence[int], reduction: int) -> None:
        super().__init__()
        hidden = max(4, sum(channels) // reduction)
        self.squeeze = nn.Linear(sum(channels), hidden)
        self.gates = nn.ModuleList(nn.Linear(hidden, c) for c in channels)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, sum c_i)`."""
        vectors = [pooled(x) for x in features]
        squeezed = torch.relu(self.squeeze(torch.cat(vectors, 1)))
        return torch.cat([2 * torch.sigmoid(g(squeezed)) * v for g, v in zip(self.gates, vectors, strict=True)], 1)


class EmbraceFusion(FusionModule):
    """The module of `Embrace`."""

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.projections = Projections(channels, dim)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        docked = torch.stack([torch.relu(part) for part in self.projections(features)], 1)
        shares = torch.ones_like(docked[:, :, 0])
        if present is not None:
            shares = torch.stack(list(present), 1).to(docked.dtype)
        if self.training:
            drawn = torch.multinomial(shares + 1e-9, docked.shape[2], replacement=True)
            return docked.gather(1, drawn.unsqueeze(1)).squeeze(1)
        return (docked * (shares / shares.sum(1, keepdim=True).clamp(min=1)).unsqueeze(2)).sum(1)


def _channels(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    return [shape[0] for shape in shapes]


def _several(name: str, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    if len(shapes) < 2:
        raise BlockError(f"{name}: there is one modality; expected at least two.")
    return _channels(shapes)
