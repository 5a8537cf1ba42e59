"""Fusion of pooled features: concatenation, sums, gates, products, and what does without a modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from nas.blocks.fusion.pooled_modules import (
    ConcatFusion,
    EmbraceFusion,
    FiLMFusion,
    GatedFusion,
    LowRankFusion,
    SqueezeExcitation,
    SumFusion,
    TensorFusion,
)
from nas.errors import BlockError

MAX_TENSOR = 2**16
"""Products of features that `TensorFusion` forms at most."""


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


def _channels(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    return [shape[0] for shape in shapes]


def _several(name: str, shapes: Sequence[tuple[int, ...]]) -> list[int]:
    if len(shapes) < 2:
        raise BlockError(f"{name}: there is one modality; expected at least two.")
    return _channels(shapes)
