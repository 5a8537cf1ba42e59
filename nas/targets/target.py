"""What a model is for: device, runtime and how it is run there; and what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.targets.measure import PATIENCE_S


@dataclass(frozen=True)
class Target:
    """A device and runtime.

    Attributes:
        name: What it is called on the command line.
        provider: ONNX Runtime's execution provider.
        threads: Of one inference.
        batch: Samples of one inference.
        patience_s: How long one measurement looks for quiet moments, in seconds.
    """

    name: str = "local"
    provider: str = "CPUExecutionProvider"
    threads: int = 1
    batch: int = 1
    patience_s: float = PATIENCE_S


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
