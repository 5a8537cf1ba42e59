"""Hardware-aware, multimodal neural architecture search: from data and possible networks to a model on the device.

Everything is imported when it is asked for: `import nas` alone takes no torch, Optuna or NumPy.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import Run, open_run, search
    from nas.blocks import module
    from nas.errors import NasError
    from nas.evaluation.candidate import Candidate
    from nas.samplers import sampler
    from nas.space.choices import choose, integer, maybe, repeat, resolve
    from nas.space.source import load_space
    from nas.space.space import Architecture, Space

__all__ = [
    "Architecture",
    "Candidate",
    "NasError",
    "Run",
    "Space",
    "choose",
    "integer",
    "load_space",
    "maybe",
    "module",
    "open_run",
    "repeat",
    "resolve",
    "sampler",
    "search",
]

_HOMES = {
    "Architecture": "nas.space.space",
    "Candidate": "nas.evaluation.candidate",
    "NasError": "nas.errors",
    "Run": "nas.api",
    "Space": "nas.space.space",
    "choose": "nas.space.choices",
    "integer": "nas.space.choices",
    "load_space": "nas.space.source",
    "maybe": "nas.space.choices",
    "module": "nas.blocks",
    "open_run": "nas.api",
    "repeat": "nas.space.choices",
    "resolve": "nas.space.choices",
    "sampler": "nas.samplers",
    "search": "nas.api",
}
"""Where what this package gives by name is defined."""

_ROOMS = (
    "blocks",
    "compression",
    "errors",
    "objectives",
    "pipeline",
    "samplers",
    "space",
    "targets",
    "tasks",
    "training",
)
"""Rooms that can be reached by name without importing them."""

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""ONNX Runtime from 1.32 on writes a device identifier and sends events, unless this is set before it is imported;
its own `disable_telemetry_events` comes too late for that."""


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for first."""
    if name in _HOMES:
        found = getattr(import_module(_HOMES[name]), name)
        globals()[name] = found
        return found
    if name in _ROOMS:
        return import_module(f"nas.{name}")
    raise AttributeError(f"module 'nas' has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    """What can be asked for, imported or not."""
    return sorted({*globals(), *_HOMES, *_ROOMS})
