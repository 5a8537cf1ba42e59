"""NSGA-III on conditional spaces (Deb & Jain, 2014), in steady state: niches instead of crowding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from nas.objectives import pareto
from nas.samplers.history import Point
from nas.samplers.nsga2 import NSGA2
from nas.samplers.selection import ordered


class NSGA3(NSGA2):
    """Breeds as NSGA-II does; of the last front that fits in part, those in the emptiest niches survive.

    A niche is what lies nearest to one of the directions that divide the objectives evenly (Das & Dennis, 1998); there
    are about as many as parents. Objectives are scaled to the range of the points at hand.
    """

    def survivors(self, parents: Sequence[Point], born: Sequence[Point]) -> Sequence[Point]:
        """Keep the best of parents and offspring by rank, then by niche."""
        points = ordered([*parents, *born])
        if len(points) <= self.population:
            return points
        feasible = [point for point in points if point.values and not point.violation]
        if len(feasible) <= self.population or len(feasible[0].values) == 1:
            return points[: self.population]
        values = np.array([point.values for point in feasible])
        ranks = pareto.ranks(values)
        last = int(ranks[np.argsort(ranks, kind="stable")[self.population - 1]])
        niches, distances = _niches(values, directions(values.shape[1], self.population))
        kept = [int(i) for i in np.flatnonzero(ranks < last)]
        rest = [int(i) for i in np.flatnonzero(ranks == last)]
        filled = np.bincount(niches[kept], minlength=int(niches.max()) + 1)
        while len(kept) < self.population:
            chosen = min(rest, key=lambda i: (filled[niches[i]], distances[i]))
            rest.remove(chosen)
            kept.append(chosen)
            filled[niches[chosen]] += 1
        return [feasible[i] for i in sorted(kept)]


def directions(objectives: int, about: int) -> NDArray[np.float64]:
    """Divide the simplex evenly (Das & Dennis, 1998) into at most `about` directions, and at least one an objective.

    Returns:
        `(k, objectives)`, rows that sum to 1.
    """
    parts = 1
    while comb(parts + objectives, objectives - 1) <= about:
        parts += 1
    return np.array(list(_shares(objectives, parts))) / parts


def _shares(places: int, parts: int) -> Iterator[tuple[int, ...]]:
    if places == 1:
        yield (parts,)
        return
    for first in range(parts + 1):
        yield from ((first, *rest) for rest in _shares(places - 1, parts - first))


def _niches(values: NDArray[np.float64], along: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest direction of each point, and how far from it the point lies."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    units = along / np.linalg.norm(along, axis=1, keepdims=True)
    lengths = scaled @ units.T
    away = np.linalg.norm(scaled[:, None] - lengths[:, :, None] * units[None], axis=2)
    nearest = away.argmin(axis=1)
    return nearest, away[np.arange(len(values)), nearest]
