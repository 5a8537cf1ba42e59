"""The machine that the search runs on, as a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxruntime import get_available_providers  # pyright: ignore[reportAttributeAccessIssue]

from nas.devices.measure import ONNX_ERRORS, fingerprint, load_gate, measure
from nas.devices.target import Latency, Target, latency_from
from nas.errors import TargetError


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


def is_measured_here(metrics: Mapping[str, Any], target: Target) -> bool:
    """Whether a trial's or model's latency is of this device and runtime, so that it can be measured again."""
    return metrics.get("device") == fingerprint(target.threads, target.provider, target.batch)


def is_doubtful(metrics: Mapping[str, Any]) -> bool:
    """Whether a latency of this device was measured in a noisy moment, by what is known of the device by now.

    A device can show only later how fast it is; what was called quiet before is held against that.
    """
    if metrics.get("latency_quality") != "good" or "reference_ms" not in metrics:
        return True
    return not load_gate(metrics["reference_layers"]).is_quiet(metrics["reference_ms"] / 1e3)
