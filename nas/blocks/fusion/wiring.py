"""Fusion whose wiring is searched: at depths of the encoders, in cells of operations, in an order, over a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import nn

from nas.blocks.depths import present
from nas.blocks.fusion.wiring_modules import ACTIVATIONS, CellFusion, GraphFusion, MFASFusion, OrderedFusion
from nas.errors import BlockError, unknown

Depths = Sequence[Sequence[tuple[int, ...]]]
Activation = Literal["relu", "sigmoid", "tanh"]
Operation = Literal["sum", "concat", "mish", "glu", "attention", "squeeze"]
OPERATIONS = ("sum", "concat", "mish", "glu", "attention", "squeeze")


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
            if layer.activation not in ACTIVATIONS:
                raise BlockError(f"MFAS.layers.{i}: {unknown('activation', layer.activation, ACTIVATIONS)}")
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
