"""The architectures of a description that cost least and most, found without enumerating it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nas.choices import Choice, Label, resolve
from nas.errors import NasError

Decisions = Mapping[str, Label]


def extreme(
    network: Any,
    cost: Callable[[Any], float],
    largest: bool,
    is_allowed: Callable[[Any], bool],
    starts: Sequence[Decisions] = ({},),
) -> Decisions:
    """Find the decisions that cost most or least, by changing one at a time until no change helps.

    A walk begins where every decision takes its last (for the least: first) option, and decisions that a change newly
    reaches take theirs. So it is exact where each decision's best option is the same whatever the others are, and
    nothing is refused; what is refused can hide the way to the end, hence several starts.

    Args:
        network: The description with its choices.
        cost: Of a closed description; one that raises a `NasError` is passed over.
        largest: Whether most is sought.
        is_allowed: Whether a closed description may be taken.
        starts: Decisions that walks begin with.

    Returns:
        The decisions; those that the first walk began with if none met any that is allowed and can be built.
    """
    sign = -1 if largest else 1

    def close(wanted: Decisions) -> tuple[dict[str, Label], dict[str, Choice], float]:
        decisions: dict[str, Label] = {}
        choices: dict[str, Choice] = {}

        def decide(path: str, choice: Choice) -> int:
            index = choice.index(wanted[path], path) if path in wanted else (len(choice.options) - 1) * largest
            decisions[path], choices[path] = choice.labels[index], choice
            return index

        closed = resolve(network, decide)
        try:
            return decisions, choices, sign * cost(closed) if is_allowed(closed) else math.inf
        except NasError:
            return decisions, choices, math.inf

    def walk(start: Decisions) -> tuple[dict[str, Label], float]:
        decisions, choices, best = close(start)
        untried = list(decisions)
        while untried:
            path = untried.pop(0)
            for label in choices[path].labels if path in decisions else ():
                if label == decisions.get(path):
                    continue
                changed, open_there, value = close({**decisions, path: label})
                if value < best:
                    decisions, choices, best = changed, open_there, value
                    untried += [other for other in decisions if other != path and other not in untried]
        return decisions, best

    return min((walk(start) for start in starts), key=lambda found: found[1])[0]
