"""The modules of fusions whose wiring is searched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.features import Features, pooled
from nas.blocks.fusion.module import FusionModule

if TYPE_CHECKING:
    from nas.blocks.fusion.wiring import MFAS, Cascade, Cell, Depths, Graph

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
"""Of the layers of `MFAS`, by name."""


class MFASFusion(FusionModule):
    """The module of `MFAS`."""

    deep = True

    def __init__(self, shapes: Depths, block: MFAS) -> None:
        super().__init__()
        self.depths = [
            [min(depth, len(deep) - 1) for depth, deep in zip(layer.depths, shapes, strict=True)]
            for layer in block.layers
        ]
        self.layers = nn.ModuleList()
        for position, (layer, depths) in enumerate(zip(block.layers, self.depths, strict=True)):
            width = sum(deep[depth][0] for depth, deep in zip(depths, shapes, strict=True))
            linear = nn.Linear(width + (block.dim if position else 0), block.dim)
            self.layers.append(nn.Sequential(linear, ACTIVATIONS[layer.activation]()))

    def forward(self, features: Sequence[Sequence[Features]], present: Sequence[Tensor] | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map features of all depths to `(b, dim)`."""
        before: list[Tensor] = []
        for layer, depths in zip(self.layers, self.depths, strict=True):
            seen = [pooled(deep[depth]) for depth, deep in zip(depths, features, strict=True)]
            before = [layer(torch.cat([*seen, *before], 1))]
        return before[0]


class CellFusion(FusionModule):
    """The module of `Cell`; what no step reaches is not built."""

    deep = True

    def __init__(self, shapes: Depths, block: Cell) -> None:
        super().__init__()
        channels = [shape[0] for deep in shapes for shape in deep]
        self.inputs = [
            (step.first % (len(channels) + i), step.second % (len(channels) + i)) for i, step in enumerate(block.steps)
        ]
        used = {index for pair in self.inputs for index in pair}
        self.projections = nn.ModuleDict({str(i): nn.Linear(c, block.dim) for i, c in enumerate(channels) if i in used})
        self.known = len(channels)
        self.steps = nn.ModuleList(_Operation(step.operation, block.dim) for step in block.steps)
        self.loose = [i for i in range(len(block.steps)) if i + len(channels) not in used]

    def forward(self, features: Sequence[Sequence[Features]], present: Sequence[Tensor] | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Map features of all depths to `(b, dim)`."""
        flat = [x for deep in features for x in deep]
        vectors = {int(i): torch.relu(layer(pooled(flat[int(i)]))) for i, layer in self.projections.items()}
        for i, (step, (first, second)) in enumerate(zip(self.steps, self.inputs, strict=True)):
            vectors[self.known + i] = step(vectors[first], vectors[second])
        results = [vectors[self.known + i] for i in self.loose]
        return reduce(torch.add, results)


class _Operation(nn.Module):
    """Joins two vectors `(b, dim)` to one."""

    def __init__(self, kind: str, dim: int) -> None:
        super().__init__()
        self.kind = kind
        widths = {"sum": 0, "concat": dim, "mish": dim, "glu": 2 * dim, "attention": 0, "squeeze": dim}
        self.layer = nn.Linear(2 * dim, widths[kind]) if widths[kind] else None
        self.norm = nn.LayerNorm(dim)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map two tensors `(b, dim)` to one of the same shape."""
        if self.layer is None:
            joined = first + second if self.kind == "sum" else first * torch.softmax(first * second, 1) + second
            return self.norm(joined)
        both = self.layer(torch.cat([first, second], 1))
        if self.kind in ("concat", "mish"):
            return self.norm(torch.relu(both) if self.kind == "concat" else F.mish(both))
        if self.kind == "squeeze":
            return self.norm(first * torch.sigmoid(both))
        value, gate = both.chunk(2, 1)
        return self.norm(value * torch.sigmoid(gate))


class OrderedFusion(FusionModule):
    """The module of `Cascade`."""

    def __init__(self, channels: Sequence[int], block: Cascade) -> None:
        super().__init__()
        self.cascade = block.order == "cascade"
        self.reverse = block.reverse and self.cascade
        widths = list(reversed(channels)) if self.reverse else list(channels)
        if self.cascade and len(widths) > 1:
            inputs = [widths[0] + widths[1], *(block.dim + width for width in widths[2:])]
        else:
            inputs = [sum(widths)]
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(width, block.dim), nn.ReLU()) for width in inputs)

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        vectors = [pooled(x) for x in features]
        if self.reverse:
            vectors.reverse()
        if not self.cascade:
            return self.layers[0](torch.cat(vectors, 1))
        joined = vectors[0]
        if len(vectors) == 1:
            return self.layers[0](joined)
        for layer, vector in zip(self.layers, vectors[1:], strict=True):
            joined = layer(torch.cat([joined, vector], 1))
        return joined


class GraphFusion(FusionModule):
    """The module of `Graph`."""

    def __init__(self, channels: Sequence[int], block: Graph) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(nn.Linear(c, block.dim) for c in channels)
        self.edges = nn.Parameter(torch.zeros(len(channels), len(channels)))
        self.rounds = nn.ModuleList(nn.Linear(2 * block.dim, block.dim) for _ in range(block.rounds))

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to `(b, dim)`."""
        nodes = torch.stack([torch.relu(n(pooled(x))) for n, x in zip(self.nodes, features, strict=True)], 1)
        weights = torch.softmax(self.edges, 1)
        for layer in self.rounds:
            nodes = torch.relu(layer(torch.cat([nodes, weights @ nodes], 2)))
        return nodes.mean(1)
