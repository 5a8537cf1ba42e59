"""The words of the search-space DSL, and the one walk that closes a description.

Every operation on a space is `resolve` with another `decide` function: sampling, mutation, crossover, replay,
enumeration and Optuna's ask differ in nothing else. What the walk does not reach is not asked, so conditions
need no syntax.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from math import isfinite
from typing import Any, TypeVar

from nas.errors import SpaceError

T = TypeVar("T")

Label = str | int | float | bool | None
"""What a decision is recorded as: a JSON scalar."""

_MOST_LISTED = 24


@dataclass(frozen=True, eq=False)
class Choice:
    """One open choice; make it with `choose` or `integer`.

    Attributes:
        options: What may stand here.
        labels: The readable name or value of each option, in the same order.
        tie: All choices of this name are one decision.
        is_integer: The options are evenly spaced integers, in order.
    """

    options: Sequence[Any]
    labels: Sequence[Label]
    tie: str | None = None
    is_integer: bool = False

    def index(self, label: Label, path: str) -> int:
        """Find the option with this label.

        Raises:
            SpaceError: If no option has it; names the path and the labels there are.
        """
        try:
            if isinstance(self.labels, range) and type(label) is int:
                return self.labels.index(label)
            return self._positions[type(label), label]
        except (KeyError, TypeError, ValueError):
            raise SpaceError(
                f"{path}: {label!r} is not one of {listed(self.labels)}.",
                f"Add {label!r} to the choice in the space's file, or open the run with its own space.",
            ) from None

    def beside(self, option: int) -> Sequence[int]:
        """The options next to one where all labels are numbers; of any other choice none.

        Two options have no order that would be of use, so they have none next to them either.
        """
        last = len(self.labels) - 1
        if isinstance(self.labels, range):
            return [other for other in (option - 1, option + 1) if 0 <= other <= last] if last > 1 else []
        return self._adjacent[option]

    @cached_property
    def _adjacent(self) -> Sequence[Sequence[int]]:
        numbers = [label for label in self.labels if isinstance(label, int | float) and not isinstance(label, bool)]
        if not len(self.labels) == len(numbers) > 2:
            return [()] * len(self.labels)
        ordered = sorted(range(len(numbers)), key=numbers.__getitem__)
        beside: dict[int, Sequence[int]] = {
            option: [*ordered[max(0, rank - 1) : rank], *ordered[rank + 1 : rank + 2]]
            for rank, option in enumerate(ordered)
        }
        return [beside[option] for option in range(len(numbers))]

    @cached_property
    def _positions(self) -> Mapping[tuple[type, Label], int]:
        labels = () if isinstance(self.labels, range) else self.labels
        return {(type(label), label): index for index, label in enumerate(labels)}


@dataclass(frozen=True, eq=False)
class Repeat:
    """A list of `low` to `high` items, each with decisions of its own; make it with `repeat`."""

    item: Any
    low: int
    high: int

    @cached_property
    def length(self) -> Choice:
        """The decision how many items there are."""
        return integer(self.low, self.high)


Decide = Callable[[str, Choice], int]
"""Answers a choice at a path with the index of the option taken."""


def choose(*options: Any, tie: str | None = None, **named: Any) -> Any:
    """Leave a place of the network open between options.

    Args:
        options: Values, blocks, lists or whole sub-networks. A JSON value is its own label, a block's label is its
            class name.
        tie: Choices that carry the same name are one decision.
        named: Options with labels of their own, needed where two options would get the same label.

    Returns:
        A choice, typed `Any` so that it can stand in a field of any type.

    Raises:
        SpaceError: If there is no option, or two options have the same label.
    """
    labels = [_label(option) for option in options] + list(named)
    values = (*options, *named.values())
    if not values:
        raise SpaceError("choose(): no options given; expected at least one.")
    seen: set[Label] = set()
    for position, label in enumerate(labels):
        if label in seen:
            raise SpaceError(
                f"choose(): two options have the label {label!r}.",
                "Name them: choose(small=ConvNet(...), large=ConvNet(...)).",
            )
        seen.add(label)
        if isinstance(label, str) and "." in label and is_open(values[position]):
            raise SpaceError(
                f"choose(): the label {label!r} contains a dot, which separates the parts of a path; "
                "expected none above an open choice.",
                "Give the option a name without a dot: choose(small=...).",
            )
    return Choice(values, tuple(labels), tie)


def maybe(option: Any, tie: str | None = None) -> Any:
    """Leave open whether a part is there: None (`no`) or the option (`yes`).

    Args:
        option: A value, block, list or sub-network, itself open or not; its decisions are under `yes`.
        tie: All parts of this name are there together or not at all.

    Raises:
        SpaceError: If the option is None.
    """
    if option is None:
        raise SpaceError("maybe(None): with or without it is the same; expected a part that may be left out.")
    return Choice((None, option), ("no", "yes"), tie)


def integer(low: int, high: int, step: int = 1, tie: str | None = None) -> Any:
    """Leave an integer open between `low` and `high`, both included, in steps of `step`.

    Raises:
        SpaceError: If the range is empty.
    """
    if step < 1 or high < low:
        raise SpaceError(
            f"integer({low}, {high}, step={step}): the range is empty; expected low <= high and step >= 1."
        )
    values = range(low, high + 1, step)
    return Choice(values, values, tie, is_integer=True)


def repeat(item: Any, low: int, high: int) -> Any:
    """Leave a list open: `low` to `high` items, each deciding for itself.

    Raises:
        SpaceError: If the bounds are not 0 <= low <= high.
    """
    if not 0 <= low <= high:
        raise SpaceError(f"repeat(..., {low}, {high}): expected 0 <= low <= high.")
    return Repeat(item, low, high)


def resolve(node: Any, decide: Decide) -> Any:
    """Walk a description, ask `decide` at every open choice that is reached, and return the closed description.

    A choice with one option is taken without asking. Choices tied by name are asked once, under `tie:<name>`.
    """
    tied: dict[str, int] = {}

    def walk(node: Any, path: str) -> Any:
        kind = _kind(type(node))
        if kind is Choice:
            index = pick(node, path or "network")
            option = node.options[index]
            return walk(option, join(path, str(node.labels[index]))) if is_nested(option) else option
        if kind is Repeat:
            count = node.length.options[pick(node.length, path or "network")]
            return tuple([walk(node.item, join(path, str(i))) for i in range(count)])
        if kind is Mapping:
            return {name: walk(value, join(path, str(name))) for name, value in node.items()}
        if kind is Sequence:
            return tuple([walk(value, join(path, str(i))) for i, value in enumerate(node)])
        if kind is object:
            return node
        open_fields = {name: part for name in field_names(type(node)) if is_nested(part := getattr(node, name))}
        walked = {name: walk(part, join(path, name)) for name, part in open_fields.items()}
        changed = any(walked[name] is not part for name, part in open_fields.items())
        return replace(node, **walked) if changed else node

    def pick(choice: Choice, path: str) -> int:
        if len(choice.options) == 1:
            return 0
        if choice.tie is None:
            return decide(path, choice)
        if choice.tie not in tied:
            tied[choice.tie] = decide(f"tie:{choice.tie}", choice)
        return tied[choice.tie]

    return walk(node, "")


def children(node: Any) -> list[tuple[str, Any]]:
    """The parts of a node, with the word that names each in a path."""
    if isinstance(node, Choice):
        if node.is_integer:
            return []
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


@cache
def field_names(kind: type) -> tuple[str, ...]:
    """List the fields of a block's class that its constructor takes."""
    return tuple(f.name for f in fields(kind) if f.init)


def is_nested(node: Any) -> bool:
    """Tell whether a node has parts of its own that may be open."""
    return _kind(type(node)) is not object


@cache
def _kind(kind: type) -> type:
    """What `resolve` takes a node of this class for; `object` for what has no parts."""
    if issubclass(kind, Choice | Repeat):
        return Choice if issubclass(kind, Choice) else Repeat
    if issubclass(kind, Mapping):
        return Mapping
    if issubclass(kind, list | tuple):
        return Sequence
    return kind if is_dataclass(kind) else object


def listed(labels: Sequence[Label]) -> str:
    """Labels in a message, as a list."""
    count = f" ({len(labels):,} options)" if len(labels) > _MOST_LISTED else ""
    return f"[{brief(labels, repr)}]{count}"


def brief(items: Sequence[T], word: Callable[[T], str]) -> str:
    """Items in words; of many the first three and the last."""
    if len(items) <= _MOST_LISTED:
        return ", ".join(map(word, items))
    return ", ".join([*map(word, items[:3]), "...", word(items[-1])])


def join(path: str, part: str) -> str:
    """Name a part below a path; the outermost path is empty."""
    return f"{path}.{part}" if path else part


def is_open(node: Any) -> bool:
    """Tell whether there is an open choice in a node or below it."""
    return any(isinstance(below, Choice | Repeat) for below in nodes(node))


def _label(option: Any) -> Label:
    if option is None or isinstance(option, str | bool | int):
        return option
    if isinstance(option, float):
        if not isfinite(option):
            raise SpaceError(f"choose(): {option} cannot be an option; expected a finite number.")
        return option
    if isinstance(option, Choice | Repeat):
        raise SpaceError(
            "choose(): an option that is itself open needs a name.",
            "For example choose(deep=repeat(...), none=()).",
        )
    if isinstance(option, list | tuple | Mapping):
        try:
            return json.dumps(option)
        except TypeError:
            raise SpaceError(
                "choose(): a list of blocks needs a name.", "For example choose(deep=[A(), B()], flat=[A()])."
            ) from None
    own = getattr(option, "label", None)
    return own if isinstance(own, str) else getattr(option, "__name__", type(option).__name__)
