"""Which points are better: what the evolutionary samplers select by.

Points that meet their limits come first, the others by how much they break them (Deb, 2000).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from nas.errors import SpaceError
from nas.objectives import pareto
from nas.samplers.base import unseen
from nas.samplers.history import History, Point
from nas.space.space import Architecture, Space

_TRIES = 50


def ordered(points: Sequence[Point]) -> list[Point]:
    """Put points from best to worst: by non-dominated rank, then by crowding within the rank (Deb et al., 2002)."""
    feasible = [point for point in points if point.values and not point.violation]
    refused = sorted((p for p in points if not p.values or p.violation), key=lambda p: p.violation)
    if not feasible:
        return refused
    values = np.array([point.values for point in feasible])
    if values.shape[1] == 1:
        return [feasible[i] for i in np.argsort(values[:, 0], kind="stable")] + refused
    ranks = pareto.ranks(values)
    crowding = np.zeros(len(feasible))
    for rank in range(int(ranks.max()) + 1):
        crowding[ranks == rank] = pareto.crowding(values[ranks == rank])
    return [feasible[i] for i in np.lexsort((-crowding, ranks))] + refused


def survivors(best: Sequence[Point], born: Sequence[Point], count: int) -> Sequence[Point]:
    """Keep the best `count` of points, in order, and of new ones."""
    if len(best) >= count and all(_is_worse(point, best[-1]) for point in born):
        return best
    return ordered([*best, *born])[:count]


def _is_worse(point: Point, other: Point) -> bool:
    """Whether a point comes after another wherever both are put in order."""
    if not other.values or other.violation:
        return (not point.values or point.violation > 0) and point.violation > other.violation
    if not point.values or point.violation:
        return True
    pairs = list(zip(point.values, other.values, strict=True))
    return all(value >= least for value, least in pairs) and any(value > least for value, least in pairs)


def tournament(best_first: Sequence[Point], size: int, rng: random.Random) -> Architecture:
    """The best of `size` drawn, with repetition, from points that are ordered from best to worst."""
    return best_first[min(rng.randrange(len(best_first)) for _ in range(size))].architecture


def bred(space: Space, history: History, breed: Callable[[], Architecture], rng: random.Random) -> Architecture:
    """Breed until an offspring is unseen; draw at random where that does not happen.

    Raises:
        ExhaustedError: If no architecture is left.
    """
    for _ in range(_TRIES):
        try:
            child = breed()
        except SpaceError:  # the constraints allow none of these parents
            continue
        if child.key not in history.seen:
            return child
    return unseen(space, history.seen, rng)
