"""A whole network: an encoder for each modality, a fusion, a head."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nas.blocks.cost import COSTS, probe
from nas.blocks.depths import depth_count, unpooled, until
from nas.blocks.features import Features, as_features, depths_of
from nas.blocks.fusion.late import Experts
from nas.blocks.fusion.module import FusionModule
from nas.blocks.fusion.pooled import Concat
from nas.blocks.fusion.wiring import MFAS, Cascade, Cell
from nas.blocks.head import MLP
from nas.blocks.input import Input, Standardise
from nas.blocks.module import unnoticed
from nas.errors import BUILD_ERRORS, BlockError, TrainingError, unknown


class Encoder(Protocol):
    """One modality → features."""

    def build(self, given: Input) -> nn.Module:
        """Map `(b, *given.shape)` to features `(b, c)`, `(b, c, t)` or `(b, c, h, w)`, alone or as `Features`.

        A module that can hand out features of several depths has a method `depths` that lists them, the last one
        being what the module itself gives.
        """
        ...


class Fusion(Protocol):
    """The features of several modalities → one vector."""

    def build(self, shapes: Sequence[Any]) -> nn.Module:
        """Map features of these shapes, one argument a modality, to `(b, d)`.

        A `FusionModule` takes a list of `Features` and which modalities are present; its `shapes` are, where it is
        `deep`, a list of the shapes of all depths for each modality.
        """
        ...


class Head(Protocol):
    """One vector → outputs."""

    def build(self, features: int, outputs: int) -> nn.Module:
        """Map `(b, features)` to `(b, outputs)`."""
        ...


@dataclass(frozen=True)
class Network:
    """The description of a network; its fields may hold open choices.

    Attributes:
        encoders: Modality → encoder; an input that no encoder names is not used.
        fusion: What joins their features.
        head: What makes outputs of the result.
        modality_dropout: Share of modalities that are hidden while training, never all of a sample's. Above 0 the
            network learns to do without a modality: one whose sample is all NaN (token ids: all 0) is missing
            (Neverova et al., ModDrop, 2016).
        inputs: What the network is made for; a task's inputs take their place in a search. Needed by `limit`, and for
            `nas describe` to count parameters.
        outputs: Likewise the number of outputs.
    """

    encoders: Mapping[str, Encoder]
    fusion: Fusion | Experts = Concat()
    head: Head = MLP()
    modality_dropout: float = 0.0
    inputs: Mapping[str, Input] = field(default_factory=dict[str, Input])
    outputs: int = 0

    def canonical(self) -> Network:
        """Without what makes no difference.

        That is modalities that are left out or ignored by the fusion, depths beyond the deepest that it looks at, a
        mean that it would take itself, and the order of steps and modalities where it does not matter.
        """
        described: Mapping[str, Any] = self.encoders
        encoders = {name: encoder for name, encoder in described.items() if encoder is not None}
        fusion: Any = self.fusion
        if isinstance(fusion, Cascade):
            fusion = fusion.among(len(encoders))
        if isinstance(fusion, MFAS | Cell):
            fusion = fusion.canonical()
            counts = [depth_count(encoder) for encoder in encoders.values()]
            if 0 not in counts and fusion.fits(len(counts)):
                fusion, kept = fusion.narrowed(counts)
                encoders = {name: until(e, n) for (name, e), n in zip(encoders.items(), kept, strict=True) if n}
        if getattr(fusion, "pools", False):
            encoders = {name: unpooled(encoder) for name, encoder in encoders.items()}
        same = fusion == self.fusion and encoders == self.encoders
        return self if same else replace(self, encoders=encoders, fusion=fusion)

    def build(self, inputs: Mapping[str, Input] | None = None, outputs: int = 0) -> MultimodalNet:
        """Build the module for a task's inputs and outputs, or for its own.

        Raises:
            BlockError: If an encoder names no input, or a part does not fit the shapes it gets.
        """
        inputs, outputs = inputs or self.inputs, outputs or self.outputs
        described = self.canonical()
        if described is not self:
            return described.build(inputs, outputs)
        used = self.used(inputs)
        encoders: dict[str, nn.Module] = {}
        shapes: list[list[tuple[int, ...]]] = []
        for name, encoder in self.encoders.items():
            encoders[name], depths = build_encoder(name, encoder, used[name])
            shapes.append(depths)
        fusion, features = self.build_fusion(shapes, outputs)
        head = self.build_head(features, outputs)
        return MultimodalNet(used, encoders, fusion, head, self.build_absence([depths[-1] for depths in shapes]))

    def used(self, inputs: Mapping[str, Input]) -> Mapping[str, Input]:
        """The inputs that the encoders read, in their order.

        Raises:
            BlockError: If a part is left out, an encoder names no input, or a share is none.
        """
        for part in ("fusion", "head"):
            if getattr(self, part) is None:
                raise BlockError(f"Network.{part}: is left out; expected a {part}.")
        if not self.encoders:
            raise BlockError("Network.encoders: there is none; expected an encoder for at least one modality.")
        for name in self.encoders:
            if name not in inputs:
                raise BlockError(f"Network.encoders: {unknown('modality', name, inputs)}")
        if not 0 <= self.modality_dropout < 1:
            raise BlockError(f"Network.modality_dropout: {self.modality_dropout}; expected 0 <= p < 1.")
        return {name: inputs[name] for name in self.encoders}

    def build_fusion(self, shapes: Sequence[Sequence[tuple[int, ...]]], outputs: int) -> tuple[FusionModule, int]:
        """Build the fusion for features whose depths have these shapes; gives it and how many features it gives.

        Raises:
            BlockError: If it does not fit the shapes.
        """
        last = [depths[-1] for depths in shapes]
        with _at("fusion"):
            if isinstance(self.fusion, Experts):
                fusion = self.fusion.build(last, self.head, outputs)
            else:
                fusion = self.fusion.build(shapes if getattr(self.fusion, "deep", False) else last)
            if not isinstance(fusion, FusionModule):
                fusion = Plainly(fusion)
        (features,) = _checked("fusion", lambda: fused_shape(fusion, shapes), last, (1,))
        return fusion, features

    def build_head(self, features: int, outputs: int) -> nn.Module:
        """Build what makes outputs of so many features; experts have heads of their own.

        Raises:
            BlockError: If it does not give as many.
        """
        if isinstance(self.fusion, Experts):
            return nn.Identity()
        with _at("head"):
            head = self.head.build(features, outputs)
        given = _checked("head", lambda: tuple(probe(head, [(features,)]).shape[1:]), [(features,)], (1,))
        if given != (outputs,):
            raise BlockError(f"Network.head: gives {given[0]} outputs; expected {outputs}.")
        return head

    def build_absence(self, shapes: Sequence[tuple[int, ...]]) -> Absence | None:
        """Build what stands for missing modalities, whose last features have these shapes; None without dropout."""
        return Absence([shape[0] for shape in shapes], self.modality_dropout) if self.modality_dropout else None

    def cost(self, name: str) -> int:
        """Count what the network costs for its own inputs and outputs; no weight is drawn.

        Args:
            name: `params`, `macs` or `memory_bytes` (all weights and the largest layer's activations in 32 bits).

        Raises:
            BlockError: If it does not name its inputs and outputs, cannot be built or counted, or there is no such
                cost.
        """
        if name not in COSTS:
            raise BlockError(unknown("cost", name, COSTS))
        if not self.inputs or not self.outputs:
            raise BlockError(
                "Network: does not say what it is made for; expected inputs and outputs.",
                "Give Network(inputs={...}, outputs=...).",
            )

        def count() -> int:
            net = self.build()
            return COSTS[name](net, dict(zip(net.modalities, net.input_shapes, strict=True)))

        try:
            return unnoticed([dict(self.encoders), self.fusion, self.head], count)
        except BUILD_ERRORS as error:
            if isinstance(error, BlockError):
                raise
            raise BlockError(f"Network: its {name} cannot be counted: {type(error).__name__}: {error}") from error


def network_of(described: Any) -> Network:
    """The network in what a space resolves to: that itself, or the field `network` of a candidate.

    Raises:
        TrainingError: If there is none.
    """
    network = described if isinstance(described, Network) else getattr(described, "network", None)
    if not isinstance(network, Network):
        raise TrainingError(f"the space resolves to {type(described).__name__}; expected a Network or a Candidate.")
    return network


class MultimodalNet(nn.Module):
    """The module of a `Network`; it takes raw values and standardises them itself.

    Attributes:
        modalities: Names of its inputs, in the order of its arguments.
        input_shapes: Their shapes without the batch axis.
        free: Names of the inputs whose last axis may have another length.
    """

    def __init__(
        self,
        inputs: Mapping[str, Input],
        encoders: Mapping[str, nn.Module],
        fusion: FusionModule,
        head: nn.Module,
        absence: Absence | None = None,
    ) -> None:
        super().__init__()
        self.modalities = tuple(inputs)
        self.input_shapes = tuple(i.shape for i in inputs.values())
        self.free = tuple(name for name, i in inputs.items() if i.free)
        self.text = tuple(bool(i.vocabulary) for i in inputs.values())
        self.standardise = nn.ModuleList(Standardise(i) for i in inputs.values())
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.head = head
        self.absence = absence

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map raw inputs `(b, *shape)`, one argument a modality, to logits `(b, outputs)`."""
        standard = [standardise(x) for standardise, x in zip(self.standardise, inputs, strict=True)]
        present = None
        if self.absence is not None:
            present = self.absence.present(inputs, self.text)
            standard = [torch.where(_like(here, x), x, torch.zeros_like(x)) for here, x in zip(present, standard)]  # noqa: B905
        if self.fusion.deep:
            deep = [self._depths(encoder, x, i, present) for i, (encoder, x) in enumerate(zip(self.encoders, standard))]  # noqa: B905
            return self.head(self.fusion(deep, present))
        features = [
            self._shown(as_features(encoder(x)), i, present)
            for i, (encoder, x) in enumerate(zip(self.encoders, standard, strict=True))
        ]
        return self.head(self.fusion(features, present))

    def _depths(self, encoder: nn.Module, x: Tensor, index: int, present: list[Tensor] | None) -> list[Features]:
        found = depths_of(encoder, x)
        return [*found[:-1], self._shown(found[-1], index, present)]

    def _shown(self, features: Features, index: int, present: list[Tensor] | None) -> Features:
        return features if present is None or self.absence is None else self.absence(features, index, present[index])


class Absence(nn.Module):
    """Hides modalities while training, and puts a learned vector where a modality is missing."""

    def __init__(self, channels: Sequence[int], share: float) -> None:
        super().__init__()
        self.share = share
        self.vectors = nn.ParameterList(torch.zeros(c) for c in channels)

    def present(self, inputs: Sequence[Tensor], text: Sequence[bool]) -> list[Tensor]:
        """Tell for each modality which samples `(b,)` have it and, while training, keep."""
        there = [
            (x.flatten(1) != 0).any(1) if is_text else (~torch.isnan(x)).flatten(1).any(1)
            for x, is_text in zip(inputs, text, strict=True)
        ]
        if not self.training:
            return there
        chance = torch.rand(len(there), len(inputs[0]))
        chance = torch.where(torch.stack(there), chance, torch.zeros_like(chance))
        kept = (chance >= self.share) | (chance == chance.amax(0))
        return [here & keep for here, keep in zip(there, kept, strict=True)]

    def forward(self, features: Features, index: int, present: Tensor) -> Features:
        """Replace the features of samples that miss the modality."""
        values, mask = features
        vector = self.vectors[index].reshape(1, -1, *(1,) * (values.ndim - 2))
        shown = torch.where(_like(present, values), values, vector)
        return Features(shown, None if mask is None else mask | ~present.unsqueeze(1))


class Plainly(FusionModule):
    """Hands a user's own fusion plain tensors, one argument a modality."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features to what the user's module makes of their values."""
        return self.fusion(*(values for values, _ in features))


def build_encoder(name: str, encoder: Encoder, given: Input) -> tuple[nn.Module, list[tuple[int, ...]]]:
    """Build a modality's encoder; gives it and the shapes of its depths, without the batch axis.

    Raises:
        BlockError: If it does not fit its input.
    """
    with _at(f"encoders.{name}"):
        built = encoder.build(given)
    return built, _depths(f"encoders.{name}", built, given)


def fused_shape(fusion: FusionModule, shapes: Sequence[Sequence[tuple[int, ...]]]) -> tuple[int, ...]:
    """The shape that a fusion gives for features of these depths, without the batch axis."""

    def fused(*flat: Tensor) -> Tensor:
        left = iter(flat)
        given = [[Features(next(left)) for _ in deep] for deep in shapes]
        return fusion(given if fusion.deep else [deep[-1] for deep in given])

    return tuple(probe(fusion, [shape for deep in shapes for shape in deep], fused).shape[1:])


def _like(present: Tensor, x: Tensor) -> Tensor:
    return present.reshape(-1, *(1,) * (x.ndim - 1))


@contextmanager
def _at(path: str) -> Generator[None]:
    """Say where in the network a block could not be built."""
    try:
        yield
    except BlockError as error:
        raise BlockError(f"Network.{path}: {error.message}", error.hint) from error
    except BUILD_ERRORS as error:
        raise BlockError(f"Network.{path}: cannot be built: {error}") from error


def _depths(path: str, encoder: nn.Module, given: Input) -> list[tuple[int, ...]]:
    def shapes() -> list[tuple[int, ...]]:
        found = probe(encoder, [given.shape], lambda x: depths_of(encoder, x))
        if given.free:
            probe(encoder, [(*given.shape[:-1], 2 * given.shape[-1] + 1)])
        return [tuple(values.shape[1:]) for values, _ in found]

    found = _tried(path, shapes, [given.shape])
    return [_checked(path, lambda shape=shape: shape, [given.shape], (1, 2, 3)) for shape in found]


def _checked(path: str, shape_of: Any, shapes: Sequence[Any], axes: tuple[int, ...]) -> tuple[int, ...]:
    shape = _tried(path, shape_of, shapes)
    if 0 in shape:
        raise BlockError(f"Network.{path}: gives {shape} for each sample, which is empty; expected every axis >= 1.")
    if len(shape) not in axes:
        raise BlockError(f"Network.{path}: gives {shape} for each sample; expected {' or '.join(map(str, axes))} axes.")
    return shape


def _tried(path: str, shapes_of: Any, given: Sequence[Any]) -> Any:
    try:
        return shapes_of()
    except BUILD_ERRORS as error:
        raise BlockError(f"Network.{path}: fails on shape {', '.join(map(str, given))}: {error}") from error
