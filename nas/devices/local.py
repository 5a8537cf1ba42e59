"""The machine that the search runs on, as a target."""

from __future__ import annotations

from pathlib import Path

from nas.devices.measure import measure
from nas.devices.target import Latency, Target, latency_from
from nas.errors import TargetError


def measure_local(path: Path, target: Target) -> Latency:
    """Measure an ONNX file in this process.

    Raises:
        TargetError: If ONNX Runtime cannot load or run the file with the target's provider.
    """
    if not path.exists():
        raise TargetError(f"{path}: there is no such file; expected an ONNX model.")
    try:
        values = measure(path, target.threads, target.provider, target.batch, target.seconds)
    except Exception as error:
        raise TargetError(f"{path}: ONNX Runtime cannot run it on target {target.name!r}: {error}") from error
    return latency_from(values)
