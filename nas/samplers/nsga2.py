"""NSGA-II on conditional spaces (Deb et al., 2002), in steady state (Durillo et al., 2009).

Optuna's own crosses only the parameters that all trials share, which on a conditional space are few; here
crossover and mutation are the space's, so conditional decisions are inherited and never redrawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nas.samplers.base import Sampler, unseen
from nas.samplers.history import Fold, History, Point
from nas.samplers.selection import bred, survivors, tournament
from nas.space.space import Architecture, Space


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
        self._parents: Fold[Sequence[Point]] = Fold((), self.survivors)

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Breed an unseen offspring, or draw at random until the population is full."""
        if len(history.told) < 2 or len(history.seen) < self.population:
            return unseen(self.space, history.seen, rng)
        parents = self._parents.over(history.told)

        def breed() -> Architecture:
            first, second = tournament(parents, 2, rng), tournament(parents, 2, rng)
            if rng.random() >= self.crossover:
                return self.space.mutate(first, rng)
            child = self.space.crossover(first, second, rng)
            return self.space.mutate(child, rng) if rng.random() < self.mutation else child

        return bred(self.space, history, breed, rng)

    def survivors(self, parents: Sequence[Point], born: Sequence[Point]) -> Sequence[Point]:
        """Keep the best of parents and offspring, best first."""
        return survivors(parents, born, self.population)
