"""Where a model will run, and how long it takes there."""

from __future__ import annotations

from nas.errors import TargetError, unknown
from nas.targets.local import doubted, is_measured_here, measure_local, measure_patiently
from nas.targets.measure import LENGTHS, ONNX_ERRORS
from nas.targets.target import Latency, Target

__all__ = [
    "LENGTHS",
    "ONNX_ERRORS",
    "TARGETS",
    "Latency",
    "Target",
    "doubted",
    "is_measured_here",
    "load_target",
    "measure_local",
    "measure_patiently",
]

TARGETS = {"local": Target("local")}
"""Every target that can be named."""


def load_target(name: str) -> Target:
    """Find a target by name.

    Raises:
        TargetError: If it is not known.
    """
    if name not in TARGETS:
        raise TargetError(unknown("target", name, TARGETS))
    return TARGETS[name]
