"""The words of the search-space DSL, and the one walk that closes a description.

Every operation on a space is `resolve` with another `decide` function: sampling, mutation, crossover, replay,
enumeration and Optuna's ask differ in nothing else. What the walk does not reach is not asked, so conditions
need no syntax.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from math import isfinite
from typing import Any

from nas.errors import SpaceError

Label = str | int | float | bool | None
"""What a decision is recorded as: a JSON scalar."""


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
        for index, known in enumerate(self.labels):
            if known == label and type(known) is type(label):
                return index
        raise SpaceError(
            f"{path}: {label!r} is not one of {list(self.labels)}.",
            f"Add {label!r} to the choice in the space's file, or open the run with its own space.",
        )


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
    for position, label in enumerate(labels):
        if label in labels[:position]:
            raise SpaceError(
                f"choose(): two options have the label {label!r}.",
                "Name them: choose(small=ConvNet(...), large=ConvNet(...)).",
            )
        if isinstance(label, str) and "." in label and is_nested(values[position]):
            raise SpaceError(f"choose(): the label {label!r} contains a dot, which separates the parts of a path.")
    return Choice(values, tuple(labels), tie)


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
        if isinstance(node, Choice):
            index = pick(node, path or "network")
            option = node.options[index]
            return walk(option, _join(path, str(node.labels[index]))) if is_nested(option) else option
        if isinstance(node, Repeat):
            count = node.length.options[pick(node.length, path or "network")]
            return tuple(walk(node.item, _join(path, str(i))) for i in range(count))
        if isinstance(node, Mapping):
            return {name: walk(value, _join(path, name)) for name, value in node.items()}
        if isinstance(node, list | tuple):
            return tuple(walk(value, _join(path, str(i))) for i, value in enumerate(node))
        if is_nested(node):
            names = field_names(type(node))
            changed = {
                name: new for name in names if (new := walk(old := getattr(node, name), _join(path, name))) is not old
            }
            return replace(node, **changed) if changed else node
        return node

    def pick(choice: Choice, path: str) -> int:
        if len(choice.options) == 1:
            return 0
        if choice.tie is None:
            return decide(path, choice)
        if choice.tie not in tied:
            tied[choice.tie] = decide(f"tie:{choice.tie}", choice)
        return tied[choice.tie]

    return walk(node, "")


@cache
def field_names(kind: type) -> tuple[str, ...]:
    """List the fields of a block's class that its constructor takes."""
    return tuple(f.name for f in fields(kind) if f.init)


def is_nested(node: Any) -> bool:
    """Tell whether a node has parts of its own that may be open."""
    return isinstance(node, Choice | Repeat | Mapping | list | tuple) or (
        is_dataclass(node) and not isinstance(node, type)
    )


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


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
