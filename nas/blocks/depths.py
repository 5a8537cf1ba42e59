"""The depths of encoders as they are described, and what is left of one that is not read to its end.

A block whose features of several depths can be had has a property `depth_count` and a method `until`.
"""

from __future__ import annotations

from typing import Any


def depth_count(block: Any) -> int:
    """How many depths the features of a closed block can be had of; 0 if that is known only when it is built."""
    return getattr(block, "depth_count", 1)


def until(block: Any, count: int) -> Any:
    """A block without what lies beyond its first `count` depths."""
    return block.until(count) if count < depth_count(block) else block
