"""Heads: from fused features to outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import BlockError


@dataclass(frozen=True)
class MLP:
    """A linear layer, or two with ReLU between: class logits, or the numbers of a regression.

    Attributes:
        hidden: Features between the layers; 0 for a single layer.
        dropout: Share of features dropped before the last layer while training.
    """

    hidden: int = 0
    dropout: float = 0.0

    def build(self, features: int, outputs: int) -> nn.Module:
        """Build a module from `(b, features)` to `(b, outputs)`."""
        layers: list[nn.Module] = [nn.Linear(features, self.hidden), nn.ReLU()] if self.hidden else []
        layers += [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(*layers, nn.Linear(self.hidden or features, outputs))


@dataclass(frozen=True)
class Regression:
    """Numbers instead of logits, in the units of the data.

    Attributes:
        hidden: Features between two layers; 0 for a single layer.
        mean: Of the targets.
        std: Of the targets; the network learns them standardised.
    """

    hidden: int = 0
    mean: float = 0.0
    std: float = 1.0

    def build(self, features: int, outputs: int) -> nn.Module:
        """Build a module from `(b, features)` to `(b, outputs)`.

        Raises:
            BlockError: If the standard deviation is not positive.
        """
        if not self.std > 0:
            raise BlockError(f"Regression.std: {self.std}; expected a positive number.")
        return nn.Sequential(MLP(self.hidden).build(features, outputs), Scaled(self.mean, self.std))


@dataclass(frozen=True)
class MultiTask:
    """Several tasks at once: a shared trunk, and a head for each (Caruana, 1997).

    Attributes:
        heads: Task → its head.
        sizes: Task → its outputs; together they are the network's outputs, in this order.
        trunk: Features of a layer that all share; 0 for none.
    """

    heads: Mapping[str, Any]
    sizes: Mapping[str, int]
    trunk: int = 0

    def build(self, features: int, outputs: int) -> nn.Module:
        """Build a module from `(b, features)` to `(b, outputs)`, the tasks' outputs side by side.

        Raises:
            BlockError: If heads and sizes name different tasks, or the sizes do not add up to the outputs.
        """
        if set(self.heads) != set(self.sizes) or not self.heads:
            raise BlockError(
                f"MultiTask: heads for {', '.join(self.heads) or 'nothing'}, sizes for {', '.join(self.sizes)}; "
                "expected the same tasks, at least one."
            )
        if sum(self.sizes.values()) != outputs:
            raise BlockError(f"MultiTask.sizes: {sum(self.sizes.values())} outputs in all; expected {outputs}.")
        width = self.trunk or features
        trunk = [nn.Linear(features, self.trunk), nn.ReLU()] if self.trunk else []
        heads = [self.heads[name].build(width, size) for name, size in self.sizes.items()]
        return nn.Sequential(*trunk, SideBySide(heads))


@dataclass(frozen=True)
class Embedding:
    """A vector of length 1 for cross-modal matching: two of them are as alike as their product (Radford et al., 2021).

    As a classifier, its outputs are scaled similarities to one learned vector a class.

    Attributes:
        dim: Of the vector.
        use: `match` gives the vector itself, so the network's outputs must be `dim`; `classify` gives logits.
    """

    dim: int = 32
    use: Literal["match", "classify"] = "match"

    def build(self, features: int, outputs: int) -> nn.Module:
        """Build a module from `(b, features)` to `(b, outputs)`.

        Raises:
            BlockError: If it should match and the outputs are not the dimension, or the use is unknown.
        """
        if self.use not in ("match", "classify"):
            raise BlockError(f"Embedding.use: {self.use!r}; expected match or classify.")
        if self.use == "match" and outputs != self.dim:
            raise BlockError(f"Embedding.dim: {self.dim}; expected the network's outputs, {outputs}.")
        unit = nn.Sequential(nn.Linear(features, self.dim), Unit())
        return unit if self.use == "match" else nn.Sequential(unit, Similarity(self.dim, outputs))


class Scaled(nn.Module):
    """Multiplies by a standard deviation and adds a mean."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return x * self.std + self.mean


class SideBySide(nn.Module):
    """Heads that see the same features."""

    def __init__(self, heads: list[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, features)` to `(b, sum of outputs)`."""
        return torch.cat([head(x) for head in self.heads], 1)


class Unit(nn.Module):
    """Scales vectors to length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, dim)` to the same shape."""
        return x / (x * x).sum(1, keepdim=True).clamp(min=1e-12).sqrt()


class Similarity(nn.Module):
    """Scaled cosine similarity to one learned vector a class."""

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(nn.init.normal_(torch.empty(outputs, dim)))
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        """Map unit vectors `(b, dim)` to `(b, outputs)`."""
        return self.scale * x @ F.normalize(self.vectors).T
