"""Fusion whose wiring is searched: at depths of the encoders, in cells of operations, in an order, over a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.depths import present
from nas.blocks.features import Features, pooled
from nas.blocks.fusion.pooled import FusionModule
from nas.errors import BlockError, unknown

Depths = Sequence[Sequence[tuple[int, ...]]]
Activation = Literal["relu", "sigmoid", "tanh"]
Operation = Literal["sum", "concat", "mish", "glu", "attention", "squeeze"]
OPERATIONS = ("sum", "concat", "mish", "glu", "attention", "squeeze")
_ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


@dataclass(frozen=True)
class FusionLayer:
    """One layer of `MFAS`.

    Attributes:
        depths: For each modality, in the network's order, the depth of its encoder, 0 being the first; one that is
            beyond the last is the last.
        activation: `relu`, `sigmoid` or `tanh`.
    """

    depths: Sequence[int] = (0, 0)
    activation: Activation = "relu"


@dataclass(frozen=True)
class MFAS:
    """Each layer sees one depth of every encoder and the layer before (Pérez-Rúa et al., MFAS, 2019).

    Attributes:
        layers: At least one; `repeat(FusionLayer(depths=(integer(0, 3), integer(0, 3))), 1, 3)` searches them.
        dim: Features of each layer and of the result.
    """

    deep: ClassVar[bool] = True
    pools: ClassVar[bool] = True
    layers: Sequence[FusionLayer] = (FusionLayer(),)
    dim: int = 32

    def fits(self, modalities: int) -> bool:
        """Whether there is a layer, and each says a depth for each modality."""
        return bool(self.layers) and all(len(x.depths) == modalities and min(x.depths) >= 0 for x in self.layers)

    def canonical(self) -> MFAS:
        """Without layers that are left out."""
        return replace(self, layers=present(self.layers))

    def narrowed(self, counts: Sequence[int]) -> tuple[MFAS, list[int]]:
        """The same fusion, and how many depths of each modality it reads, for encoders of so many depths."""
        layers = [
            replace(layer, depths=tuple(min(d, n - 1) for d, n in zip(layer.depths, counts, strict=True)))
            for layer in self.layers
        ]
        return replace(self, layers=tuple(layers)), [
            max(ds) + 1 for ds in zip(*(x.depths for x in layers), strict=True)
        ]

    def build(self, shapes: Depths) -> nn.Module:
        """Build for features of all depths of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If there is no layer, or one does not say a depth for each modality.
        """
        if not self.layers:
            raise BlockError("MFAS.layers: there is none; expected at least one.")
        for i, layer in enumerate(self.layers):
            if len(layer.depths) != len(shapes) or min(layer.depths) < 0:
                raise BlockError(
                    f"MFAS.layers.{i}.depths: {tuple(layer.depths)}; expected a depth >= 0 for each of the "
                    f"{len(shapes)} modalities."
                )
            if layer.activation not in _ACTIVATIONS:
                raise BlockError(f"MFAS.layers.{i}: {unknown('activation', layer.activation, _ACTIVATIONS)}")
        return MFASFusion(shapes, self)


@dataclass(frozen=True)
class Step:
    """One step of a `Cell`: an operation on two of the vectors known so far.

    Attributes:
        first: Index of a vector; beyond the last it counts from the first again.
        second: Likewise.
        operation: `sum`, `concat` (and a linear layer, ReLU), `mish` (the same with Mish), `glu`, `attention` (scaled
            dot product over features) or `squeeze` (squeeze-excite of the first by both).
    """

    first: int = 0
    second: int = 1
    operation: Operation = "sum"

    def canonical(self) -> Step:
        """Only attention and squeeze-excite treat their two vectors differently."""
        if self.operation in ("attention", "squeeze"):
            return self
        return Step(min(self.first, self.second), max(self.first, self.second), self.operation)


@dataclass(frozen=True)
class Cell:
    """A searched cell over pooled features of all depths (Yin et al., BM-NAS, 2022).

    The vectors known at first are all depths of all modalities; each step adds one. The result is the sum of the steps
    that no other step uses.

    Attributes:
        steps: At least one.
        dim: Features of each vector and of the result.
    """

    deep: ClassVar[bool] = True
    pools: ClassVar[bool] = True
    steps: Sequence[Step] = (Step(),)
    dim: int = 32

    def fits(self, modalities: int) -> bool:
        """Whether there is a step, and each says two vectors."""
        return modalities > 0 and bool(self.steps) and all(min(step.first, step.second) >= 0 for step in self.steps)

    def canonical(self) -> Cell:
        """Without steps that are left out."""
        return replace(self, steps=present(self.steps))

    def narrowed(self, counts: Sequence[int]) -> tuple[Cell, list[int]]:
        """The same fusion, and how many depths of each modality it reads, for encoders of so many depths."""
        sources = [(modality, depth) for modality, count in enumerate(counts) for depth in range(count)]
        pairs = [(s.first % (len(sources) + i), s.second % (len(sources) + i)) for i, s in enumerate(self.steps)]
        read = [sources[index] for pair in pairs for index in pair if index < len(sources)]
        kept = [max((depth + 1 for m, depth in read if m == modality), default=0) for modality in range(len(counts))]
        left = [index for index, (modality, depth) in enumerate(sources) if depth < kept[modality]]
        place = {old: new for new, old in enumerate([*left, *range(len(sources), len(sources) + len(pairs))])}
        steps = [
            replace(step, first=place[first], second=place[second]).canonical()
            for step, (first, second) in zip(self.steps, pairs, strict=True)
        ]
        return replace(self, steps=_in_order(steps, len(left))), kept

    def build(self, shapes: Depths) -> nn.Module:
        """Build for features of all depths of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If there is no step, or one has an unknown operation.
        """
        if not self.steps:
            raise BlockError("Cell.steps: there is none; expected at least one.")
        for i, step in enumerate(self.steps):
            if step.operation not in OPERATIONS:
                raise BlockError(f"Cell.steps.{i}: {unknown('operation', step.operation, OPERATIONS)}")
            if min(step.first, step.second) < 0:
                raise BlockError(f"Cell.steps.{i}: inputs {step.first}, {step.second}; expected at least 0.")
        return CellFusion(shapes, self)


def _in_order(steps: Sequence[Step], known: int) -> tuple[Step, ...]:
    """Steps in an order of their own: each as soon as its vectors are there, the others by what they compute."""
    forms = [f"{index:03}" for index in range(known)]
    for step in steps:
        forms.append(f"{step.operation}({forms[step.first]},{forms[step.second]})")
    waiting, place = list(range(len(steps))), {index: index for index in range(known)}
    while waiting:
        ready = [i for i in waiting if steps[i].first in place and steps[i].second in place]
        taken = min(ready, key=lambda i: (forms[known + i], i))
        place[known + taken] = len(place)
        waiting.remove(taken)
    moved = [
        (place[known + i], replace(s, first=place[s.first], second=place[s.second]).canonical())
        for i, s in enumerate(steps)
    ]
    return tuple(step for _, step in sorted(moved, key=lambda pair: pair[0]))


@dataclass(frozen=True)
class Cascade:
    """Modalities are fused one after another, or all at once.

    Attributes:
        order: `cascade`: the result of the first two meets the third, and so on; `parallel`: all meet in one layer.
        reverse: Whether the last modality comes first in a cascade.
        dim: Features of the result.
    """

    pools: ClassVar[bool] = True
    order: Literal["cascade", "parallel"] = "cascade"
    reverse: bool = False
    dim: int = 32

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If the order is unknown.
        """
        if self.order not in ("cascade", "parallel"):
            raise BlockError(f"Cascade.order: {self.order!r}; expected cascade or parallel.")
        return OrderedFusion([shape[0] for shape in shapes], self)

    def canonical(self) -> Cascade:
        """What is fused at once has no first."""
        return self if self.order == "cascade" else Cascade(self.order, False, self.dim)

    def among(self, modalities: int) -> Cascade:
        """Two are fused at once either way."""
        return self if modalities > 2 else Cascade("parallel", False, self.dim)


@dataclass(frozen=True)
class Graph:
    """Modalities are nodes that send messages along learned edges (after Veličković et al., 2018).

    Attributes:
        dim: Features of each node and of the result.
        rounds: Of messages.
    """

    pools: ClassVar[bool] = True
    dim: int = 32
    rounds: int = 1

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Build for features `(b, *shape)` of each modality; gives `(b, dim)`.

        Raises:
            BlockError: If there is no round.
        """
        if self.rounds < 1:
            raise BlockError(f"Graph.rounds: {self.rounds}; expected at least 1.")
        return GraphFusion([shape[0] for shape in shapes], self)


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
            self.layers.append(nn.Sequential(linear, _ACTIVATIONS[layer.activation]()))

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
