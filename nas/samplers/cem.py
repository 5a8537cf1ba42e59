"""The cross-entropy method (Rubinstein, 1999): decisions drawn by how often the best trials so far took them.

Decisions are drawn independently of each other. It is what `adversarial` is measured against, since it learns from the
same elite without a discriminator or a generator.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.samplers.base import Sampler, unseen
from nas.samplers.decoder import Closed
from nas.samplers.history import Fold, History, Point
from nas.samplers.selection import survivors
from nas.space.indexed import Indexed, Rows
from nas.space.space import Architecture, Space

_DRAWN = 16


class CrossEntropy(Sampler):
    """Draws each decision by its smoothed frequency in an elite.

    For several objectives the elite are the first by non-dominated rank, then by crowding. The
    defaults were chosen on CIFAR-10 validation accuracy of NAS-Bench-201, seeds 0 to 9.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        start: Random architectures first.
        elite: Best trials so far that are learned from.
        smoothing: Of frequencies: trials that each label is taken to have had beside those of the elite.
    """

    def __init__(self, space: Space, seed: int = 0, start: int = 20, elite: int = 5, smoothing: float = 0.3) -> None:
        super().__init__(space, seed)
        self.start = start
        self.elite = elite
        self.smoothing = smoothing
        self._codes = Indexed(space)
        self._closed = Closed(space, self._codes)
        self._best: Fold[Sequence[Point]] = Fold((), lambda best, born: survivors(best, born, self.elite))

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Draw by the elite's frequencies until an architecture is unseen."""
        if not history.told or len(history.seen) < self.start:
            return unseen(self.space, history.seen, rng)
        best = self._best.over(history.told)
        rows = self._codes.rows(point.architecture.decisions for point in best)
        marginals = frequencies(self._codes, rows, self.smoothing)
        return self._closed.proposed(lambda generator: drawn(self._codes, marginals, generator), history, rng)


def frequencies(codes: Indexed, rows: Rows, smoothing: float) -> list[NDArray[np.float64]]:
    """Smoothed frequencies `(k,)` of each column's labels among those of `(n, d)` rows that reach it."""
    counts = (
        np.bincount(column[column >= 0], minlength=size) for column, size in zip(rows.T, codes.sizes, strict=True)
    )
    return [(count + smoothing) / (count + smoothing).sum() for count in counts]


def drawn(codes: Indexed, marginals: Sequence[NDArray[np.float64]], generator: np.random.Generator) -> Rows:
    """Draw `(n, d)` rows, each column by its own probabilities `(k,)`."""
    full = np.empty((_DRAWN, len(marginals)), np.int16)
    for j, probabilities in enumerate(marginals):
        full[:, j] = generator.choice(len(probabilities), _DRAWN, p=probabilities)
    return codes.close(full)
