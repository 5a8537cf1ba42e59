"""What a description with choices must be to be a space: one path for each decision, ties that are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import SpaceError
from nas.space import description
from nas.space.choices import Choice, Label, Repeat, children, listed, nodes


def check_choices(network: Any) -> None:
    """Refuse a description that is no space.

    Raises:
        SpaceError: If choices tied by one name differ, or two decisions could get the same path.
    """
    ties: dict[str, Choice] = {}
    for node in nodes(network):
        for name in map(str, node if isinstance(node, Mapping) else ()):
            if "." in name or name.startswith("tie:"):
                raise SpaceError(f"{name!r}: a part's name cannot contain a dot or begin with 'tie:'.")
        if not isinstance(node, Choice) or node.tie is None:
            continue
        first = ties.setdefault(node.tie, node)
        if first.is_integer != node.is_integer:
            raise SpaceError(f"tie {node.tie!r}: choose() and integer() cannot be tied to each other.")
        if _labels(first) != _labels(node):
            raise SpaceError(
                f"tie {node.tie!r}: {listed(node.labels)} differs from {listed(first.labels)}; "
                "tied choices must have the same labels."
            )
    if isinstance(network, Choice) and len(network.options) > 1:
        inner = dict(children(network)).get("network")
        if isinstance(inner, Choice | Repeat):
            raise SpaceError("choose(): the label 'network' is the outermost choice's own path; use another.")
    paths: set[str] = set()
    for path, _ in description.decisions(network):
        if path in paths:
            raise SpaceError(
                f"{path}: two decisions have this path; expected another for each.",
                "Rename a part or an option above one of them; keys of a mapping are taken as text.",
            )
        paths.add(path)


def _labels(choice: Choice) -> Sequence[Label]:
    """Labels that can be compared; a range is, without a list of it."""
    return choice.labels if choice.is_integer else list(choice.labels)
