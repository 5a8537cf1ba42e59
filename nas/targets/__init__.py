"""Where a model will run, and how long it takes there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nas.errors import TargetError, unknown
from nas.targets.local import LocalTarget, doubted, is_measured_here
from nas.targets.measure import LENGTHS, ONNX_ERRORS
from nas.targets.target import Latency, Target

__all__ = [
    "KINDS",
    "LENGTHS",
    "ONNX_ERRORS",
    "TARGETS",
    "Latency",
    "LocalTarget",
    "Target",
    "doubted",
    "is_measured_here",
    "load_target",
    "measure_patiently",
    "target_from",
    "target_values",
]

KINDS: Mapping[str, type[LocalTarget]] = {kind.__name__: kind for kind in (LocalTarget,)}
"""Every kind of target, by the name that a run keeps it under."""

TARGETS: Mapping[str, Target] = {target.name: target for target in (LocalTarget(),)}
"""Every target that can be named, with its defaults."""


def load_target(name: str, threads: int | None = None) -> Target:
    """Find a target by name.

    Args:
        name: Its name.
        threads: Of one inference; default its own.

    Raises:
        TargetError: If it is not known, or there is less than one thread.
    """
    if name not in TARGETS:
        raise TargetError(unknown("target", name, TARGETS))
    target = TARGETS[name]
    if threads is None:
        return target
    if threads < 1:
        raise TargetError(f"target {name!r}: {threads} threads; expected at least 1.")
    return replace(target, threads=threads)


def target_values(target: Target) -> Mapping[str, Any]:
    """A target as a run keeps it: its fields and its kind, as JSON gives them back."""
    return json.loads(json.dumps({**asdict(target), "kind": type(target).__name__}))


def target_from(values: Mapping[str, Any]) -> Target:
    """Read what `target_values` gave.

    Raises:
        TargetError: If its kind is not known.
        KeyError: If it has no kind.
        TypeError: If it has other fields than its kind.
    """
    if values["kind"] not in KINDS:
        raise TargetError(unknown("kind of target", values["kind"], KINDS))
    return KINDS[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})


def measure_patiently(files: Sequence[Path], target: Target, most_s: float) -> Sequence[Latency]:
    """Measure on a target, again until it is quiet there or the time is over.

    Args:
        files: ONNX files.
        target: Where.
        most_s: Seconds after which it is not tried again.
    """
    end = time.monotonic() + most_s
    while True:
        latencies = target.measure(files)
        if latencies[0].quality == "good" or time.monotonic() >= end:
            return latencies
