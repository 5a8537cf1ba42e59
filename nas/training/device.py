"""Where networks are trained: on a CUDA GPU if there is one, in mixed precision, else on the CPU.

Whatever is random (initial weights, order of samples, augmentation) is drawn on the CPU, so that a seed means the same
samples in the same order on both. Sums are rounded otherwise there: accuracies agree within what another seed changes,
not to the last digit. A module leaves the GPU when its training ends, so that everything after it is as on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nas.blocks.audio import WaveformEncoder
from nas.errors import TrainingError

VARIABLE = "NAS_DEVICE"
"""Environment variable that names the device: `cpu` or `cuda`; without it the GPU if there is one."""

_HELD = 0.25
"""Share of a GPU's free memory that data may take; larger data stay in the machine's memory."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Device:
    """What trains.

    Attributes:
        kind: `cpu` or `cuda`; of several GPUs the first that this process may see (`CUDA_VISIBLE_DEVICES`).
        precision: In which matrices are multiplied while it trains; weights, gradients and norms stay in 32 bits.
        name: What a GPU is called.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name or self.kind}, {self.precision}" if self.kind == "cuda" else self.kind

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of a run that is trained on it; nothing of the CPU."""
        return () if self.kind == "cpu" else (f"Trained on {self}: the same seed gives figures that differ a little.",)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which a network and its loss are computed: reduced precision where there is a GPU."""
        return nullcontext() if self.kind == "cpu" else torch.autocast(self.kind, _DTYPES[self.precision])

    def scaler(self) -> torch.amp.GradScaler:  # pyright: ignore[reportPrivateImportUsage] - torch documents it
        """What keeps gradients from vanishing in half precision; in 32 bits it changes nothing.

        Recurrent units of cuDNN compute in `float16` also where `bfloat16` was asked for.
        """
        return torch.amp.GradScaler(self.kind, enabled=self.precision != "float32")  # pyright: ignore


CPU = Device()


def find_device() -> Device:
    """The device that this process trains on.

    Raises:
        TrainingError: If `NAS_DEVICE` names none, or a GPU where torch finds none.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "cpu", "cuda"):
        raise TrainingError(f"{VARIABLE}={asked}: is no device; expected cpu or cuda.")
    is_there = asked != "cpu" and torch.cuda.is_available()
    if asked == "cuda" and not is_there:
        raise TrainingError(
            f"{VARIABLE}=cuda: torch {torch.__version__} finds no GPU.",
            "nas doctor says what is there; without the variable the CPU trains where there is no GPU.",
        )
    return Device("cuda", _precision(), torch.cuda.get_device_name()) if is_there else CPU


@contextmanager
def on_device(module: nn.Module, device: Device) -> Generator[None]:
    """Have a module on a device for as long as the block lasts; it ends on the CPU, however the block ends.

    Raises:
        TrainingError: If the device has too little memory.
    """
    if device.kind == "cpu":
        yield
        return
    try:
        module.to(device.kind)
        with exact_fronts(module, device.kind):
            yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{device.name}: has too little memory: {str(error).splitlines()[0]}",
            "Train fewer at a time (--workers 1), smaller batches, or on the CPU (NAS_DEVICE=cpu).",
        ) from None
    finally:
        module.to("cpu")
        torch.cuda.empty_cache()  # other trials share the GPU


@contextmanager
def exact_fronts(module: nn.Module, kind: str) -> Generator[None]:
    """Have the front ends of sound computed in 32 bits: small energies count there, as a logarithm follows."""
    fronts = [part.front for part in module.modules() if isinstance(part, WaveformEncoder)]
    exact = torch.autocast(kind, enabled=False)
    for front in fronts:
        front.forward = exact(front.forward)
    try:
        yield
    finally:
        for front in fronts:
            del front.forward


def hold(values: Sequence[Tensor], device: Device) -> list[Tensor]:
    """Put stored data where batches are taken from: on the device if they fit well, else where they are."""
    if device.kind == "cpu" or sum(each.nbytes for each in values) > _HELD * torch.cuda.mem_get_info()[0]:
        return list(values)
    return [each.to(device.kind) for each in values]


def place_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one that has none."""
    weights = next(module.parameters(), None)
    return torch.device("cpu") if weights is None else weights.device


def _precision() -> Literal["float32", "bfloat16", "float16"]:
    """The fastest precision of a GPU that training stands: before Volta half precision is no faster."""
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16" if torch.cuda.get_device_capability() >= (7, 0) else "float32"
