"""The machine that the search runs on, as a target."""

from __future__ import annotations

from pathlib import Path

from onnxruntime import get_available_providers  # pyright: ignore[reportAttributeAccessIssue]

from nas.devices.measure import ONNX_ERRORS, measure
from nas.devices.target import Latency, Target, latency_from
from nas.errors import TargetError


def measure_local(path: Path, target: Target) -> Latency:
    """Measure an ONNX file in this process.

    Raises:
        TargetError: If ONNX Runtime cannot load or run the file with the target's provider.
    """
    if not path.exists():
        raise TargetError(f"{path}: there is no such file; expected an ONNX model.")
    if target.provider not in get_available_providers():
        known = ", ".join(get_available_providers())
        raise TargetError(f"target {target.name!r}: ONNX Runtime has no {target.provider} here; it has {known}.")
    try:
        values = measure(path, target.threads, target.provider, target.batch, target.seconds)
    except (*ONNX_ERRORS, ValueError) as error:
        raise TargetError(f"{path}: ONNX Runtime cannot run it on target {target.name!r}: {error}") from error
    return latency_from(values)
