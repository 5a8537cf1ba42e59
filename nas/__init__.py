"""Hardware-aware, multimodal neural architecture search: from data and possible networks to a model on the device."""

import os
import sys
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.samplers import sampler
from nas.space.choices import choose, integer, maybe, repeat, resolve
from nas.space.source import load_space
from nas.space.space import Architecture, Space

if TYPE_CHECKING:
    from nas.blocks import module

__all__ = [
    "Architecture",
    "NasError",
    "Space",
    "choose",
    "integer",
    "load_space",
    "maybe",
    "module",
    "repeat",
    "resolve",
    "sampler",
]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""ONNX Runtime from 1.32 on writes a device identifier and sends events, unless this is set before it is imported;
its own `disable_telemetry_events` comes too late for that."""


def __getattr__(name: str) -> Any:
    """Import `module` when it is asked for: blocks need torch, which describing and sampling a space does not."""
    if name == "module":
        from nas.blocks import module

        return module
    raise AttributeError(f"module 'nas' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
