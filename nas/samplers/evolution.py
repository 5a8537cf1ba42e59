"""Regularized evolution (Real et al., 2019): parents die of age, not of being beaten.

For several objectives the tournament is won by non-dominated rank, then by crowding.
"""

from __future__ import annotations

import random

from nas.samplers.base import Sampler, unseen
from nas.samplers.history import History
from nas.samplers.selection import bred, ordered
from nas.space.space import Architecture, Space


class Evolution(Sampler):
    """Mutates the best of a few, drawn from the youngest trials.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        population: Random architectures before the first offspring, and youngest trials that may be parents.
        tournament: How many of them are drawn.
    """

    def __init__(self, space: Space, seed: int = 0, population: int = 30, tournament: int = 10) -> None:
        super().__init__(space, seed)
        self.population = population
        self.tournament = tournament

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Mutate until an offspring is unseen, or draw at random until the population is full."""
        if not history.told or len(history.seen) < self.population:
            return unseen(self.space, history.seen, rng)
        alive = history.told[-self.population :]

        def breed() -> Architecture:
            drawn = rng.sample(alive, min(self.tournament, len(alive)))
            return self.space.mutate(ordered(drawn)[0].architecture, rng)

        return bred(self.space, history, breed, rng)
