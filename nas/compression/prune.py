"""Structured pruning: whole channels go, so the network really gets smaller (Fang et al., DepGraph, 2023)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import torch
import torch_pruning as tp
from torch import nn

from nas.compression.passes import ApplyContext, TrainedModel, WorksOn
from nas.errors import CompressionError
from nas.space.choices import is_open

ROUND_TO = 4
"""Widths stay multiples of this: latency falls in steps of the vector width, not with every channel."""


@dataclass(frozen=True)
class Prune:
    """Removes the channels whose coupled weights are smallest, the same share of every layer, and trains on.

    Recurrent units, attention of torch's own, outputs and what a module of the network lists in its method
    `unprunable` keep their widths.

    Attributes:
        ratio: Share of channels removed, between 0 and 1; may be an open choice.

    Raises:
        CompressionError: If the ratio leaves everything or nothing.
    """

    works_on: ClassVar[WorksOn] = "network"
    is_exact: ClassVar[bool] = True
    ratio: float = 0.5

    def __post_init__(self) -> None:
        if is_open(self):
            return
        if not isinstance(self.ratio, float) or not 0 < self.ratio < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise CompressionError(f"Prune.ratio: {self.ratio!r}; expected a number between 0 and 1.")

    @property
    def label(self) -> str:
        """Its exact ratio in percent, such as `prune50` or `prune12.5`."""
        percent = Decimal(repr(float(self.ratio))).scaleb(2)
        return f"prune{percent.normalize():f}"

    def apply(self, model: TrainedModel, context: ApplyContext) -> TrainedModel:
        """Give a pruned copy, fine-tuned.

        Raises:
            CompressionError: If no layer can be pruned, or the dependencies cannot be traced.
        """
        module = model.network(self.label)
        pruned = self._pruned(module, [torch.zeros(1, *shape) for shape in model.input_shapes.values()])
        context.fine_tune(pruned)
        return TrainedModel(pruned, None, model.input_shapes)

    def _pruned(self, module: nn.Module, examples: Sequence[torch.Tensor]) -> nn.Module:
        pruned = copy.deepcopy(module).eval()
        kept = _kept(pruned, self.label)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="torch_pruning")
                pruner = tp.pruner.MetaPruner(
                    pruned,
                    tuple(examples),  # pyright: ignore[reportArgumentType] - a tuple of inputs is taken too
                    importance=tp.importance.GroupMagnitudeImportance(p=2),
                    pruning_ratio=self.ratio,
                    ignored_layers=kept,
                    customized_pruners={nn.GRU: _Recurrent(), nn.LSTM: _Recurrent()},
                    root_module_types=[nn.Conv2d, nn.Conv1d, nn.Linear],
                    round_to=ROUND_TO,
                )
                pruner.step()
            with torch.inference_mode():
                width, before = pruned(*examples).shape, copy.deepcopy(module).eval()(*examples).shape
        except (RuntimeError, ValueError, KeyError, AttributeError, IndexError, AssertionError, TypeError) as error:
            raise CompressionError(f"{self.label}: its layers' dependencies cannot be traced: {error}") from error
        if width != before:
            raise CompressionError(f"{self.label}: pruning would change the outputs from {before[1]} to {width[1]}.")
        if _size(pruned) >= _size(module):
            raise CompressionError(f"{self.label}: no layer could be pruned.")
        for parameter in pruned.parameters():
            parameter.grad = None
        return pruned


class _Recurrent(tp.BasePruningFunc):
    """Tells the dependency graph how wide a recurrent unit is; it is never pruned itself."""

    def get_out_channels(self, layer: nn.GRU | nn.LSTM) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return layer.hidden_size * (2 if layer.bidirectional else 1)

    def get_in_channels(self, layer: nn.GRU | nn.LSTM) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return layer.input_size

    def prune_out_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
        raise CompressionError("a recurrent unit cannot be pruned.")

    def prune_in_channels(self, layer: nn.Module, idxs: Sequence[int]) -> nn.Module:
        raise CompressionError("a recurrent unit cannot be pruned.")


def _kept(module: nn.Module, label: str) -> list[nn.Module]:
    """Layers whose outputs keep their width: the last one, recurrent units, and what modules say of themselves."""
    kept: list[nn.Module] = [m for m in module.modules() if isinstance(m, nn.GRU | nn.LSTM | nn.MultiheadAttention)]
    for part in module.modules():
        kept += _declared(part, label)
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return kept + linear[-1:]


def _declared(part: nn.Module, label: str) -> list[nn.Module]:
    """What a module says may not be narrowed inside it."""
    declare = getattr(part, "unprunable", None)
    if not callable(declare):
        return []
    declared = list(declare())  # pyright: ignore[reportArgumentType, reportUnknownArgumentType, reportUnknownVariableType]
    for layer in declared:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(layer, nn.Module):
            raise CompressionError(
                f"{label}: {type(part).__name__}.unprunable lists {layer!r:.60}; expected modules inside it."
            )
    return declared


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
