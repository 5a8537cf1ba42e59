"""What a pass is: a description that makes a trained model smaller or faster.

Some passes work on the network in torch, which is exported again afterwards, others on the exported file. Both take a
trained model and give one, so that chains of them are applied and checked in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import nn

from nas.errors import CompressionError

WorksOn = Literal["network", "file"]


@dataclass(frozen=True)
class TrainedModel:
    """What passes are applied to and what they make.

    Attributes:
        module: The network in torch; None where the file computes otherwise, or only the file is at hand.
        file: The ONNX file; None where the network has not been exported since it was changed.
        input_shapes: Input name → shape without the batch axis, in the order of the module's arguments.
    """

    module: nn.Module | None = None
    file: Path | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])

    def network(self, label: str) -> nn.Module:
        """The module, which the pass of this label needs.

        Raises:
            CompressionError: If there is none.
        """
        if self.module is None:
            raise CompressionError(f"{label}: works on the network, and only a file is given; expected a module.")
        return self.module

    def onnx(self, label: str) -> Path:
        """The file, which the pass of this label needs.

        Raises:
            CompressionError: If there is none.
        """
        if self.file is None:
            raise CompressionError(f"{label}: works on a file, and only a network is given; expected an ONNX file.")
        return self.file


def _as_it_is(module: nn.Module) -> None:
    """Leave the weights as the pass made them."""


@dataclass(frozen=True)
class ApplyContext:
    """What passes may use besides the model; all data in it are of the training split.

    Attributes:
        file: Where a pass on files writes its own.
        calibration: Input name → samples `(n, *shape)`.
        fine_tune: Trains a module in place, which ends in evaluation mode; by default it does nothing, which is what a
            network is built again with, before its weights are loaded.
    """

    file: Path = Path("model.onnx")
    calibration: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])
    fine_tune: Callable[[nn.Module], None] = _as_it_is


@runtime_checkable
class Pass(Protocol):
    """One compression step: a frozen dataclass whose fields are JSON values, and that checks them itself once closed.

    Attributes:
        works_on: `network`, which gives a module without a file, or `file`, which gives a file without a module.
        is_exact: Whether the exported file still computes in 32 bits what a network in torch does.
    """

    works_on: ClassVar[WorksOn]
    is_exact: ClassVar[bool]

    @property
    def label(self) -> str:
        """A short name for files and tables; it is never read back, and need not tell all fields."""
        ...

    def apply(self, model: TrainedModel, context: ApplyContext) -> TrainedModel:
        """Give the model that this pass makes of another, which is left as it is.

        A pass on networks gives a module of the same build whenever it is given a module with the same weights, trained
        further or not: that is how its network is built again.

        Raises:
            CompressionError: If it cannot be applied to this model.
        """
        ...


def is_exact(passes: Sequence[Pass]) -> bool:
    """Whether a file that went through these passes computes in 32 bits what a network in torch does."""
    return all(step.is_exact for step in passes)


def labels(passes: Sequence[Pass]) -> str:
    """Passes in a message."""
    return ", ".join(step.label for step in passes)


def check_chain(passes: Sequence[Pass]) -> None:
    """Refuse passes that no model can go through in this order.

    Raises:
        CompressionError: If a pass on the network comes after one on the file, or anything after one that is not exact.
    """
    for before, step in pairwise(passes):
        if before.works_on == "file" and step.works_on == "network":
            raise CompressionError(
                f"chain ({labels(passes)}): goes on after {before.label}, which works on the file, with {step.label}, "
                "which works on the network; expected all passes on the network first.",
                "For example (Prune(0.5), Quantize()).",
            )
        if not before.is_exact:
            raise CompressionError(
                f"chain ({labels(passes)}): goes on after {before.label}, whose file is not in 32 bits any more; "
                f"expected {before.label} last.",
                "For example (Prune(0.5), Quantize()).",
            )
