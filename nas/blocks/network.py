"""A whole network: an encoder for each modality, a fusion, a head; and what it costs."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.blocks.fusion import Concat
from nas.blocks.head import MLP
from nas.errors import BlockError, unknown


class Encoder(Protocol):
    """One modality → features."""

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Map `(b, *shape)` to features `(b, c)`, `(b, c, t)` or `(b, c, h, w)`."""
        ...


class Fusion(Protocol):
    """The features of several modalities → one vector."""

    def build(self, shapes: Sequence[tuple[int, ...]]) -> nn.Module:
        """Map features `(b, *shape)`, one argument a modality, to `(b, d)`."""
        ...


class Head(Protocol):
    """One vector → outputs."""

    def build(self, features: int, outputs: int) -> nn.Module:
        """Map `(b, features)` to `(b, outputs)`."""
        ...


@dataclass(frozen=True)
class Input:
    """The raw input of one modality, and the statistics that standardise it.

    Attributes:
        shape: Without the batch axis.
        mean: One number, or one for each index of the first axis.
        std: Likewise; positive.
    """

    shape: tuple[int, ...]
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0


@dataclass(frozen=True)
class Network:
    """The description of a network; its fields may hold open choices.

    Attributes:
        encoders: Modality → encoder; an input that no encoder names is not used.
        fusion: What joins their features.
        head: What makes outputs of the result.
    """

    encoders: Mapping[str, Encoder]
    fusion: Fusion = Concat()
    head: Head = MLP()

    def build(self, inputs: Mapping[str, Input], outputs: int) -> MultimodalNet:
        """Build the module for a task's inputs.

        Raises:
            BlockError: If an encoder names no input, or a part does not fit the shapes it gets.
        """
        if not self.encoders:
            raise BlockError("Network.encoders: there is none; expected an encoder for at least one modality.")
        for name in self.encoders:
            if name not in inputs:
                raise BlockError(f"Network.encoders: {unknown('modality', name, inputs)}")
        used = {name: inputs[name] for name in self.encoders}
        encoders: dict[str, nn.Module] = {}
        shapes: list[tuple[int, ...]] = []
        for name, encoder in self.encoders.items():
            with _at(f"encoders.{name}"):
                encoders[name] = encoder.build(used[name].shape)
            shapes.append(_shape(f"encoders.{name}", encoders[name], [used[name].shape], (1, 2, 3)))
        with _at("fusion"):
            fusion = self.fusion.build(shapes)
        (features,) = _shape("fusion", fusion, shapes, (1,))
        with _at("head"):
            head = self.head.build(features, outputs)
        if (given := _shape("head", head, [(features,)], (1,))) != (outputs,):
            raise BlockError(f"Network.head: gives {given[0]} outputs; expected {outputs}.")
        return MultimodalNet(used, encoders, fusion, head)


class MultimodalNet(nn.Module):
    """The module of a `Network`; it takes raw values and standardises them itself.

    Attributes:
        modalities: Names of its inputs, in the order of its arguments.
        input_shapes: Their shapes without the batch axis.
    """

    def __init__(
        self, inputs: Mapping[str, Input], encoders: Mapping[str, nn.Module], fusion: nn.Module, head: nn.Module
    ) -> None:
        super().__init__()
        self.modalities = tuple(inputs)
        self.input_shapes = tuple(i.shape for i in inputs.values())
        self.standardise = nn.ModuleList(Standardise(i) for i in inputs.values())
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.head = head

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map raw inputs `(b, *shape)`, one argument a modality, to logits `(b, outputs)`."""
        features = [
            encoder(standardise(x))
            for encoder, standardise, x in zip(self.encoders, self.standardise, inputs, strict=True)
        ]
        return self.head(self.fusion(*features))


class Standardise(nn.Module):
    """Subtracts the mean and divides by the standard deviation, as buffers that travel with the weights."""

    scale: Tensor
    shift: Tensor

    def __init__(self, given: Input) -> None:
        super().__init__()
        trailing = (1,) * (len(given.shape) - 1)
        for values in (given.mean, given.std):
            if isinstance(values, tuple) and len(values) != given.shape[0]:
                raise BlockError(f"Input: {len(values)} statistics for shape {given.shape}; expected {given.shape[0]}.")
        if not np.all(np.greater(given.std, 0)):
            raise BlockError(f"Input.std: {given.std}; expected positive numbers.")
        mean, std = (torch.tensor(v, dtype=torch.float32).reshape(-1, *trailing) for v in (given.mean, given.std))
        self.register_buffer("scale", 1 / std)
        self.register_buffer("shift", -mean / std)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, *shape)` to the same shape."""
        return x * self.scale + self.shift


def output_shape(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of a module's output without the batch axis, found without computing anything."""
    training = module.training
    ghost = _on_meta(module.eval())
    module.train(training)
    with torch.no_grad():
        return tuple(ghost(*(torch.empty(2, *shape, device="meta") for shape in shapes)).shape[1:])


def count_params(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in module.parameters())


def count_macs(module: nn.Module, input_shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiply-accumulate operations of products and convolutions at batch 1, counted without computing them."""
    training = module.training
    ghost = _on_meta(module.eval())
    module.train(training)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(*(torch.empty(1, *shape, device="meta") for shape in input_shapes.values()))
    return math.ceil(counter.get_total_flops() / 2)


@contextmanager
def _at(path: str) -> Generator[None]:
    """Say where in the network a block could not be built."""
    try:
        yield
    except BlockError as error:
        raise BlockError(f"Network.{path}: {error.message}", error.hint) from error
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise BlockError(f"Network.{path}: cannot be built: {error}") from error


def _shape(path: str, module: nn.Module, shapes: Sequence[tuple[int, ...]], axes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        shape = output_shape(module, shapes)
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise BlockError(f"Network.{path}: fails on shape {', '.join(map(str, shapes))}: {error}") from error
    if 0 in shape:
        raise BlockError(f"Network.{path}: gives {shape} for each sample, which is empty; expected every axis >= 1.")
    if len(shape) not in axes:
        raise BlockError(f"Network.{path}: gives {shape} for each sample; expected {' or '.join(map(str, axes))} axes.")
    return shape


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy of a module with shapes and no values."""
    return copy.deepcopy(module).to("meta")
