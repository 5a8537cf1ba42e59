"""The machine that the search runs on, as a target."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime import get_available_providers  # pyright: ignore[reportAttributeAccessIssue]

from nas.errors import TargetError
from nas.targets.measure import ONNX_ERRORS, fingerprint, load_gate, measure
from nas.targets.target import Latency, Target, latency_from


def measure_local(paths: Sequence[Path], target: Target) -> Sequence[Latency]:
    """Measure ONNX files in this process, in turns in the same quiet moments: their ratios are ratios.

    Raises:
        TargetError: If ONNX Runtime cannot load or run one of the files with the target's provider.
    """
    for path in paths:
        if not path.exists():
            raise TargetError(f"{path}: there is no such file; expected an ONNX model.")
    if target.provider not in get_available_providers():
        known = ", ".join(get_available_providers())
        raise TargetError(f"target {target.name!r}: ONNX Runtime has no {target.provider} here; it has {known}.")
    try:
        found = measure(paths, target.threads, target.provider, target.batch, target.patience_s)
    except (*ONNX_ERRORS, ValueError) as error:
        names = ", ".join(map(str, paths))
        raise TargetError(f"{names}: ONNX Runtime cannot run it on target {target.name!r}: {error}") from error
    return [latency_from(values) for values in found]


def measure_patiently(paths: Sequence[Path], target: Target, most_s: float) -> Sequence[Latency]:
    """Measure as `measure_local` does, again until it is quiet or the time is over.

    Args:
        paths: ONNX files.
        target: Where.
        most_s: Seconds after which it is not tried again.
    """
    end = time.monotonic() + most_s
    while True:
        latencies = measure_local(paths, target)
        if latencies[0].quality == "good" or time.monotonic() >= end:
            return latencies


def is_measured_here(metrics: Mapping[str, Any]) -> bool:
    """Whether a trial's or model's latency is of a device and runtime like this, so that it can be measured again."""
    device = metrics.get("device") or {}
    return device == fingerprint(*(device.get(name) for name in ("threads", "provider", "batch")))


def doubted(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metrics, their latency called noisy where it was measured in a moment that is known to be slow by now.

    A device can show only later how fast it is. What was measured elsewhere, or not at all, stays as it is.
    """
    if not is_measured_here(metrics) or "reference_ms" not in metrics:
        return metrics
    gate = load_gate(metrics["reference_layers"])
    if gate.best_s == float("inf") or gate.is_quiet(metrics["reference_ms"] / 1e3):
        return metrics
    return {**metrics, "latency_quality": "noisy", "best_reference_ms": 1e3 * gate.best_s}
