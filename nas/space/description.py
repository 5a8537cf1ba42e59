"""What can be said of a description without closing it: its choices, its canonical form, its tree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from keyword import iskeyword
from types import FunctionType
from typing import Any

from nas.space.choices import Choice, Repeat, brief, children, field_names, is_nested, is_open, join


def decisions(node: Any) -> Iterator[tuple[str, Choice]]:
    """Yield every decision that a description can ask for, reached or not, under the path it is asked at.

    A repeat has the decisions of as many items as it may have; tied choices are one decision.
    """
    ties: set[str] = set()

    def walk(node: Any, path: str) -> Iterator[tuple[str, Choice]]:
        choice = node.length if isinstance(node, Repeat) else node
        if isinstance(choice, Choice) and len(choice.options) > 1 and choice.tie not in ties:
            if choice.tie is not None:
                ties.add(choice.tie)
            yield (path or "network") if choice.tie is None else f"tie:{choice.tie}", choice
        below = [(str(i), node.item) for i in range(node.high)] if isinstance(node, Repeat) else children(node)
        for part, child in below:
            if is_nested(child):
                yield from walk(child, join(path, part))

    return walk(node, "")


class Formless(Exception):  # noqa: N818 - told to `Architecture.key` alone, which has another way
    """A value has no form that tells it from others: a lambda, or an object of a class that is no dataclass."""


def canonical(node: Any) -> Any:
    """Turn a closed description into JSON values, equal for descriptions that build the same network.

    A block that knows what makes no difference to its network has a method `canonical` without arguments; what it
    returns, another block or JSON values, stands for it.

    Raises:
        Formless: If a value has no form that tells it from others.
    """
    if node is None or isinstance(node, str | bool | int | float):
        return node
    if isinstance(node, list | tuple):
        return ["list", *map(canonical, node)]
    if isinstance(node, Mapping):
        return {str(name): canonical(value) for name, value in node.items()}
    if not is_nested(node):
        return ["is", _qualified(node)]
    kind = type(node)
    if callable(getattr(kind, "canonical", None)):
        node = node.canonical()
        if not is_dataclass(node):
            return canonical(node)
        kind = type(node)
    return [_qualified(kind), *[canonical(getattr(node, name)) for name in field_names(kind)]]


def _qualified(value: Any) -> str:
    """Name a class or function so that no other has the name."""
    if not isinstance(value, type | FunctionType) or "<" in value.__qualname__:
        raise Formless
    return f"{value.__module__}.{value.__qualname__}"


def written(node: Any) -> Any:
    """Turn a description with all its choices into JSON values, equal for equal descriptions."""
    if isinstance(node, Choice):
        options = [[label, written(option)] for label, option in zip(node.labels, node.options, strict=True)]
        return {"choose": options, "tie": node.tie}
    if isinstance(node, Repeat):
        return {"repeat": written(node.item), "low": node.low, "high": node.high}
    if isinstance(node, list | tuple):
        return [written(value) for value in node]
    if is_nested(node):
        return {type(node).__name__: {name: written(child) for name, child in children(node)}}
    if node is None or isinstance(node, str | bool | int | float):
        return node
    return getattr(node, "__qualname__", type(node).__qualname__)


def difference(old: Any, new: Any, path: str = "") -> list[str]:
    """Say what changed between two descriptions, given as `written`: a line for each path, parts in their order."""
    here = path or "network"
    if json.dumps(old) == json.dumps(new):
        return []
    if _kind(old) != _kind(new) or _kind(old) == "value":
        return [f"{here}: {_short(old)} -> {_short(new)}"]
    lines: list[str] = []
    if _kind(old) == "choose":
        if _labels(old) != _labels(new):
            lines.append(f"{here}: {_short(old)} -> {_short(new)}")
        if old["tie"] != new["tie"]:
            lines.append(f"{here}: tie {old['tie']} -> tie {new['tie']}")
    elif _kind(old) == "repeat" and _short(old) != _short(new):
        lines.append(f"{here}: {_short(old)} -> {_short(new)}")
    before, after = _parts(old), _parts(new)
    for name in [*before, *(name for name in after if name not in before)]:
        below = join(path, name)
        if name in before and name in after:
            lines += difference(before[name], after[name], below)
        elif _kind(old) != "choose":
            lines.append(f"{below}: removed" if name in before else f"{below}: added {_short(after[name])}")
    return lines


def _kind(form: Any) -> str:
    """What a written node is: `choose`, `repeat`, `list`, `value`, or the class of a block."""
    return "list" if isinstance(form, list) else next(iter(form)) if isinstance(form, dict) else "value"


def _parts(form: Any) -> dict[str, Any]:
    """The named parts of a written node that has some."""
    if isinstance(form, list):
        return {str(i): part for i, part in enumerate(form)}
    kind = _kind(form)
    if kind == "choose":
        # A label that is no word is the option itself, and cannot change under it.
        return {label: part for label, part in form["choose"] if isinstance(label, str)}
    return {"*": form["repeat"]} if kind == "repeat" else form[kind]


def _labels(form: Any) -> list[str]:
    return [json.dumps(label) for label, _ in form["choose"]]


def _short(form: Any) -> str:
    """A written node in a few words."""
    kind = _kind(form)
    if kind == "choose":
        return brief(form["choose"], lambda option: _word(option[0]))
    if kind == "repeat":
        return f"{form['low']} to {form['high']} times"
    if kind == "list":
        return f"a list of {len(form)}"
    return _word(form) if kind == "value" else kind


def _word(value: Any) -> str:
    """A scalar, with quotes where a text could be taken for something else."""
    is_plain = not isinstance(value, str) or (value.isidentifier() and not iskeyword(value))
    return str(value) if is_plain else repr(value)


def describe(node: Any, name: str, depth: int) -> Iterator[str]:
    """Yield the tree of a description, a line for each block and choice; what is closed is not unfolded."""
    indent, kind = "  " * depth, type(node).__name__
    if isinstance(node, Choice):
        tie = f" (tie {node.tie})" if node.tie else ""
        yield f"{indent}{name}: {_options(node)}{tie}"
    elif isinstance(node, Repeat):
        yield f"{indent}{name}: {node.low} to {node.high} times"
    elif isinstance(node, Mapping) and not is_open(node):
        yield f"{indent}{name}: {', '.join(map(str, node)) or 'nothing'}"
    elif isinstance(node, Mapping | list | tuple):
        yield f"{indent}{name}" if is_open(node) else f"{indent}{name}: {len(node)} parts"
    elif is_nested(node):
        yield f"{indent}{name}" if name == kind else f"{indent}{name}: {kind}"
    for child_name, child in children(node) if is_open(node) else ():
        if is_nested(child):
            yield from describe(child, child_name, depth + 1)


def _options(choice: Choice) -> str:
    """What may be chosen, in a few words."""
    if choice.is_integer and len(choice.labels) > 2:
        step = choice.options[1] - choice.options[0]
        return f"{choice.labels[0]} to {choice.labels[-1]}" + (f" in steps of {step}" if step > 1 else "")
    return f"one of {brief(choice.labels, str)}"
