"""Structured pruning: whole channels go, so the network really gets smaller (Fang et al., DepGraph, 2023)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import torch
import torch_pruning as tp
from torch import nn

from nas.blocks import count_params
from nas.blocks.attention import TransformerLayer
from nas.blocks.conv import Flat, Stages
from nas.blocks.fusion.attention import CrossAttentionFusion
from nas.blocks.pretrained import PretrainedEncoder
from nas.blocks.stage_blocks import Residual
from nas.errors import CompressionError

Net = TypeVar("Net", bound=nn.Module)

_LABEL = "prune"

ROUND_TO = 4
"""Widths stay multiples of this: latency falls in steps of the vector width, not with every channel."""


@dataclass(frozen=True)
class Prune:
    """Removes the channels whose coupled weights are smallest, the same share of every layer.

    Attributes:
        ratio: Share of channels removed, between 0 and 1.

    Raises:
        CompressionError: If the ratio leaves everything or nothing.
    """

    ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise CompressionError(f"Prune.ratio: {self.ratio}; expected a number between 0 and 1.")

    @property
    def label(self) -> str:
        """How a sibling made by this pass is called: its exact ratio in percent, such as `prune50` or `prune12.5`."""
        percent = Decimal(repr(float(self.ratio))).scaleb(2)
        return f"{_LABEL}{percent.normalize():f}"

    def apply(self, module: Net, input_shapes: Mapping[str, tuple[int, ...]]) -> Net:
        """Return a pruned copy; recurrent units, attention and outputs keep their widths.

        Args:
            module: The trained network; it is left as it is.
            input_shapes: Input name → shape without the batch axis, in the order of the module's arguments.

        Raises:
            CompressionError: If no layer can be pruned, or the dependencies cannot be traced.
        """
        pruned = copy.deepcopy(module).eval()
        examples = tuple(torch.zeros(1, *shape) for shape in input_shapes.values())
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="torch_pruning")
                pruner = tp.pruner.MetaPruner(
                    pruned,
                    examples,  # pyright: ignore[reportArgumentType] - a tuple of inputs is taken too
                    importance=tp.importance.GroupMagnitudeImportance(p=2),
                    pruning_ratio=self.ratio,
                    ignored_layers=_kept(pruned),
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
        if count_params(pruned) >= count_params(module):
            raise CompressionError(f"{self.label}: no layer could be pruned.")
        for parameter in pruned.parameters():
            parameter.grad = None
        return pruned


def prune_from(label: str) -> Prune | None:
    """The pass that a label tells, exactly; None where it is that of another pass.

    Raises:
        CompressionError: If it tells no ratio.
    """
    if not label.startswith(_LABEL):
        return None
    try:
        return Prune(float(Decimal(label.removeprefix(_LABEL)).scaleb(-2)))
    except InvalidOperation:
        raise CompressionError(f"pass {label!r}: tells no ratio; expected one such as {Prune().label}.") from None


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


def _kept(module: nn.Module) -> list[nn.Module]:
    """Layers whose outputs keep their width.

    The last one, recurrent units, what attention projects to, a pretrained model, and what is flattened: one channel of
    it is many features of the next layer, and tracing those through a concatenation takes torch-pruning minutes and
    gigabytes.
    """
    kept: list[nn.Module] = [m for m in module.modules() if isinstance(m, nn.GRU | nn.LSTM | nn.MultiheadAttention)]
    for part in module.modules():
        if isinstance(part, TransformerLayer | CrossAttentionFusion | PretrainedEncoder):
            kept += [m for m in part.modules() if isinstance(m, nn.Linear | nn.LayerNorm | nn.Embedding)]
        if isinstance(part, Stages) and isinstance(part.end, Flat):
            kept += _flattened(part)
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return kept + linear[-1:]


def _flattened(encoder: Stages) -> list[nn.Module]:
    """The convolutions whose channels reach the flattening: the last one, and through residuals any before it."""
    convolutions: list[nn.Module] = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    return convolutions if any(isinstance(m, Residual) for m in encoder.modules()) else convolutions[-1:]
