"""Random search without repetition."""

from __future__ import annotations

import random

from nas.samplers.base import Sampler, unseen
from nas.samplers.history import History
from nas.space.space import Architecture


class Random(Sampler):
    """Draws every reached decision uniformly, never an architecture twice."""

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Draw an unseen architecture."""
        return unseen(self.space, history.seen, rng)
