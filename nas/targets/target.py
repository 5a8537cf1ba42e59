"""What a model is for: a device, a runtime and how it is run there; and what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True)
class Latency:
    """A measurement; see `nas.targets.measure.measure` for what each value is.

    Attributes:
        latency_ms: Milliseconds of one inference, undisturbed.
        interval_ms: Its noise: the least of the blocks that counted, and the middle one.
        p50_ms: Median of single inferences on the machine as it was.
        p95_ms: Their 95th percentile.
        reference_ms: A fixed workload timed at the same moments.
        best_reference_ms: The best that the device is known for.
        reference_layers: Size of that workload.
        quality: `good`, or `noisy` if the device was disturbed all the time.
        runs: Inferences timed.
        blocks: Blocks that counted.
        fingerprint: Device and runtime.
    """

    latency_ms: float
    interval_ms: tuple[float, float]
    p50_ms: float
    p95_ms: float
    reference_ms: float
    best_reference_ms: float
    reference_layers: int
    quality: str
    runs: int
    blocks: int
    fingerprint: Mapping[str, Any]


def latency_from(values: Mapping[str, Any]) -> Latency:
    """Read what `measure` gave, also after a journey as JSON."""
    low, high = values["interval_ms"]
    fields: dict[str, Any] = {**values, "interval_ms": (low, high)}
    return Latency(**fields)


class Target(Protocol):
    """A device and a runtime, as a frozen dataclass whose fields are JSON: how one inference is run there.

    A kind of target is one small class in `nas.targets.KINDS`; a run keeps it whole.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def threads(self) -> int:
        """Of one inference."""
        ...

    def measure(self, files: Sequence[Path]) -> Sequence[Latency]:
        """Measure ONNX files in turns, in the same quiet moments: their ratios are ratios.

        Returns:
            The latency of each file, in their order, with this target's `fingerprint`.

        Raises:
            TargetError: If a file is missing, or cannot be loaded or run there.
        """
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """What a latency measured now depends on besides the file: device, runtime, and how it is run.

        Raises:
            TargetError: If the device cannot be asked.
        """
        ...
