"""The architectures of a description that cost least and most, found without enumerating it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nas.errors import NasError
from nas.space.choices import Choice, Label, resolve

Decisions = Mapping[str, Label]

_WALKS = 3

MOST = 1024
"""Options of one decision that a walk tries."""


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
    nothing is refused; what is refused can hide the way to the end, hence several starts. Of a number with more than
    `MOST` options as many are tried, evenly spaced from the first to the last.

    Args:
        network: The description with its choices.
        cost: Of a closed description; one that raises a `NasError` is passed over.
        largest: Whether most is sought.
        is_allowed: Whether a closed description may be taken.
        starts: Decisions that walks may begin with; those of the best few do.

    Returns:
        The decisions; some of the refused ones if the walks met none that is allowed and can be built.
    """
    sign = -1 if largest else 1

    def close(wanted: Decisions, best: float = math.inf) -> tuple[dict[str, Label], dict[str, Choice], float]:
        decisions: dict[str, Label] = {}
        choices: dict[str, Choice] = {}

        def decide(path: str, choice: Choice) -> int:
            index = choice.index(wanted[path], path) if path in wanted else (len(choice.options) - 1) * largest
            decisions[path], choices[path] = choice.labels[index], choice
            return index

        closed = resolve(network, decide)
        try:
            value = sign * cost(closed)
            return decisions, choices, value if value < best and is_allowed(closed) else math.inf
        except NasError:
            return decisions, choices, math.inf

    def walk(start: Decisions) -> tuple[dict[str, Label], float]:
        decisions, choices, best = close(start)
        untried = list(decisions)
        while untried:
            path = untried.pop(0)
            for label in _tried(choices[path].labels) if path in decisions else ():
                if label == decisions.get(path):
                    continue
                changed, open_there, value = close({**decisions, path: label}, best)
                if value < best:
                    decisions, choices, best = changed, open_there, value
                    untried += [other for other in decisions if other != path and other not in untried]
        return decisions, best

    best_first = sorted(starts, key=lambda start: close(start)[2])
    return min((walk(start) for start in best_first[:_WALKS]), key=lambda found: found[1])[0]


def _tried(labels: Sequence[Label]) -> Sequence[Label]:
    """All labels, or as many as are tried."""
    count = len(labels)
    return labels if count <= MOST else [labels[place * (count - 1) // (MOST - 1)] for place in range(MOST)]
