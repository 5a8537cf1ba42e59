"""The depths of encoders as they are described, and what is left of one that is not read to its end.

A block whose features of several depths can be had has a property `depth_count` and a method `until`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass, replace
from typing import Any


def depth_count(block: Any) -> int:
    """How many depths the features of a closed block can be had of; 0 if that is known only when it is built."""
    return getattr(block, "depth_count", 1)


def until(block: Any, count: int) -> Any:
    """A block without what lies beyond its first `count` depths."""
    return block.until(count) if count < depth_count(block) else block


def unpooled(block: Any) -> Any:
    """A block that leaves the mean over its positions to what comes after it, which takes it anyway."""
    if not is_dataclass(block) or isinstance(block, type):
        return block
    if getattr(block, "pool", "") == "mean":
        return replace(block, pool="none")
    inner = getattr(block, "encoder", None)
    return block if (bare := unpooled(inner)) is inner else replace(block, encoder=bare)


def present(parts: Iterable[Any]) -> tuple[Any, ...]:
    """The parts of a list that `maybe` has not left out."""
    return tuple(part for part in parts if part is not None)
