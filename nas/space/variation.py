"""How new decisions come from those of parents: one changed, one after another changed, inherited from two."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nas.space.choices import Choice, Decide, Label

_MOST_CHANGES = 1000
"""Of one decision that are tried where it has more options."""


def mutation(decisions: Mapping[str, Label], rng: random.Random) -> Decide:
    """Change one decision, drawn now; keep all others, draw those that are newly reached.

    Every other change of a number is a step to one that is next to it.
    """
    changed = rng.choice(list(decisions))

    def decide(path: str, choice: Choice) -> int:
        if path not in decisions:
            return rng.randrange(len(choice.options))
        index = choice.index(decisions[path], path)
        return _changed(choice, index, rng) if path == changed else index

    return decide


def changes_of_one(
    decisions: Mapping[str, Label], choices: Mapping[str, Choice], rng: random.Random
) -> Iterator[Decide]:
    """Change each decision to each other option, in random order, steps of numbers before larger changes of them.

    Args:
        decisions: Those that are changed, one at a time.
        choices: The choice at the path of each.
        rng: Draws the order, what is newly reached, and among more than a thousand options a thousand.
    """
    taken = {path: choice.index(decisions[path], path) for path, choice in choices.items()}
    steps = {path: choice.beside(taken[path]) for path, choice in choices.items()}
    changes = [
        (path, index)
        for path, choice in choices.items()
        for index in _considered(len(choice.options), steps[path], rng)
        if index != taken[path]
    ]
    rng.shuffle(changes)
    changes.sort(key=lambda change: bool(steps[change[0]]) and change[1] not in steps[change[0]])
    for changed, index in changes:

        def decide(path: str, choice: Choice, changed: str = changed, index: int = index) -> int:
            if path == changed:
                return index
            if path in decisions:
                return choice.index(decisions[path], path)
            return rng.randrange(len(choice.options))

        yield decide


def inheritance(first: Mapping[str, Label], second: Mapping[str, Label], rng: random.Random) -> Decide:
    """Take each decision from the parent that has it, at random where both do; draw what neither has."""

    def inherit(path: str, choice: Choice) -> int:
        having = [parent for parent in (first, second) if path in parent]
        if not having:
            return rng.randrange(len(choice.options))
        parent = having[0] if len(having) == 1 else rng.choice(having)
        return choice.index(parent[path], path)

    return inherit


def _considered(options: int, beside: Sequence[int], rng: random.Random) -> Iterable[int]:
    """The options that a change may lead to: all, or of very many those beside and others that are drawn."""
    if options <= _MOST_CHANGES:
        return range(options)
    return dict.fromkeys([*beside, *rng.sample(range(options), _MOST_CHANGES)])


def _changed(choice: Choice, index: int, rng: random.Random) -> int:
    """Another option: of a number, half of the time one that is next to it."""
    beside = choice.beside(index)
    if beside and rng.random() < 0.5:
        return rng.choice(beside)
    return (index + rng.randrange(1, len(choice.options))) % len(choice.options)
