"""The modules of fusions of pooled features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from nas.blocks.features import Features, pooled
from nas.blocks.fusion.module import FusionModule


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
