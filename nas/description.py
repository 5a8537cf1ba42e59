"""What can be said of a description without closing it: its choices, its exact size, its canonical form, its tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from nas.choices import Choice, Repeat, field_names, is_nested


def children(node: Any) -> list[tuple[str, Any]]:
    """The parts of a node, with the word that names each in a path."""
    if isinstance(node, Choice):
        return [(str(label), o) for label, o in zip(node.labels, node.options, strict=True) if is_nested(o)]
    if isinstance(node, Repeat):
        return [("*", node.item)]
    if isinstance(node, Mapping):
        return [(str(name), value) for name, value in node.items()]
    if isinstance(node, list | tuple):
        return [(str(i), value) for i, value in enumerate(node)]
    return [(name, getattr(node, name)) for name in field_names(type(node))] if is_nested(node) else []


def nodes(node: Any) -> Iterator[Any]:
    """Yield every node of a description, reached or not."""
    yield node
    for _, child in children(node):
        yield from nodes(child)


def count(node: Any) -> dict[frozenset[tuple[str, int]], int]:
    """Count the architectures below a node, apart for each assignment of the tied choices it reaches."""
    nothing: frozenset[tuple[str, int]] = frozenset()
    if isinstance(node, Choice):
        if len(node.options) == 1:
            return count(node.options[0])
        total: Counter[frozenset[tuple[str, int]]] = Counter()
        for index, option in enumerate(node.options):
            taken = nothing if node.tie is None else frozenset({(node.tie, index)})
            total.update(_product({taken: 1}, count(option)))
        return dict(total)
    if isinstance(node, Repeat):
        item, power = count(node.item), {nothing: 1}
        total = Counter()
        for length in range(node.high + 1):
            if length >= node.low:
                total.update(power)
            power = _product(power, item)
        return dict(total)
    product = {nothing: 1}
    for _, child in children(node):
        product = _product(product, count(child))
    return product


def _product(
    first: dict[frozenset[tuple[str, int]], int], second: dict[frozenset[tuple[str, int]], int]
) -> dict[frozenset[tuple[str, int]], int]:
    total: Counter[frozenset[tuple[str, int]]] = Counter()
    for a, m in first.items():
        for b, n in second.items():
            merged = a | b
            if len({tie for tie, _ in merged}) == len(merged):
                total[merged] += m * n
    return dict(total)


def canonical(node: Any) -> Any:
    """Turn a description with all its choices into JSON values, equal for equal descriptions."""
    if isinstance(node, Choice):
        options = [[label, canonical(option)] for label, option in zip(node.labels, node.options, strict=True)]
        return {"choose": options, "tie": node.tie}
    if isinstance(node, Repeat):
        return {"repeat": canonical(node.item), "low": node.low, "high": node.high}
    if isinstance(node, list | tuple):
        return [canonical(value) for value in node]
    if is_nested(node):
        return {type(node).__name__: {name: canonical(child) for name, child in children(node)}}
    if node is None or isinstance(node, str | bool | int | float):
        return node
    return getattr(node, "__qualname__", type(node).__qualname__)


def describe(node: Any, name: str, depth: int) -> Iterator[str]:
    """Yield the tree of a description, a line for each block and choice."""
    indent = "  " * depth
    if isinstance(node, Choice):
        tie = f" (tie {node.tie})" if node.tie else ""
        yield f"{indent}{name}: one of {', '.join(map(str, node.labels))}{tie}"
    elif isinstance(node, Repeat):
        yield f"{indent}{name}: {node.low} to {node.high} times"
    elif is_nested(node):
        yield f"{indent}{name}: {type(node).__name__}"
    for child_name, child in children(node):
        if is_nested(child):
            yield from describe(child, child_name, depth + 1)
