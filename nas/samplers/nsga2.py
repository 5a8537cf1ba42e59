"""NSGA-II on conditional spaces (Deb et al., 2002), in steady state.

Optuna's own crosses only the parameters that all trials share, which on a conditional space are few; here
crossover and mutation are the space's, so conditional decisions are inherited and never redrawn. The population
is the best of all trials told so far, so nothing is lost when trials finish in another order or the search resumes.
"""

from __future__ import annotations

import random

import numpy as np

from nas import pareto
from nas.errors import SpaceError
from nas.samplers.base import History, Point, Sampler, unseen
from nas.space import Architecture, Space

_TRIES = 50


class NSGA2(Sampler):
    """Binary tournaments on rank and crowding, uniform crossover, mutation of one decision.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        population: Random architectures before the first offspring, and parents kept.
        crossover: Probability that an offspring has two parents.
        mutation: Probability that an offspring of two parents is mutated; one of a single parent always is.
    """

    def __init__(
        self, space: Space, seed: int = 0, population: int = 20, crossover: float = 0.9, mutation: float = 0.7
    ) -> None:
        super().__init__(space, seed)
        self.population = population
        self.crossover = crossover
        self.mutation = mutation

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Breed an unseen offspring, or draw at random until the population is full."""
        if len(history.complete) < 2 or len(history.seen) < self.population:
            return unseen(self.space, history.seen, rng)
        parents = _survivors(history.complete, self.population)
        for _ in range(_TRIES):
            child = self._breed(parents, rng)
            if child is not None and child.key not in history.seen:
                return child
        return unseen(self.space, history.seen, rng)

    def _breed(self, parents: list[Point], rng: random.Random) -> Architecture | None:
        """One offspring, or None where the constraints allow none of these parents."""
        first, second = _tournament(parents, rng), _tournament(parents, rng)
        try:
            if rng.random() >= self.crossover:
                return self.space.mutate(first, rng)
            child = self.space.crossover(first, second, rng)
            return self.space.mutate(child, rng) if rng.random() < self.mutation else child
        except SpaceError:
            return None


def _survivors(points: list[Point], count: int) -> list[Point]:
    """The best `count` points, best first: by rank, then by crowding within the rank."""
    values = np.array([point.values for point in points])
    ranks = pareto.ranks(values)
    crowding = np.zeros(len(points))
    for rank in np.unique(ranks):
        crowding[ranks == rank] = pareto.crowding(values[ranks == rank])
    return [points[i] for i in np.lexsort((-crowding, ranks))[:count]]


def _tournament(ordered: list[Point], rng: random.Random) -> Architecture:
    """The better of two drawn from points that are ordered from best to worst."""
    return ordered[min(rng.randrange(len(ordered)), rng.randrange(len(ordered)))].architecture
