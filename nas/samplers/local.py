"""Pareto local search (Paquete et al., 2004) with random restarts, first improvement.

For one objective it is the local search of White et al. (2021), which beats most of what is more elaborate on
tabular benchmarks. A trial belongs to a climb if it is one decision away from any trial of that climb, so climbs are
found in the ledger, whoever proposed and however many at a time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna

from nas import codes, pareto
from nas.codes import Codes
from nas.samplers.base import Fold, History, Point, Sampler, unseen
from nas.samplers.selection import ordered
from nas.space import Architecture, Space


@dataclass(frozen=True)
class _Climb:
    """A start and all that was reached from it, and the best of them: one, or the front."""

    rows: codes.Rows
    best: Sequence[Point]


class Local(Sampler):
    """Tries what is one decision away from the best of a climb; begins another where all of that was tried.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        starts: Random architectures before the first climb; it begins with the best of them.
    """

    def __init__(self, space: Space, seed: int = 0, starts: int = 10) -> None:
        super().__init__(space, seed)
        self.starts = starts
        self._codes = Codes(space)
        self._climbs: Fold[Sequence[_Climb]] = Fold((), self._climbed)
        self._study: optuna.Study | None = None
        self._exhausted: set[str] = set()

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give an unseen neighbour of the best of the best climb that has one, or a random start."""
        if self._study is not history.study:
            self._study, self._exhausted = history.study, set()
        if len(history.seen) >= self.starts:
            climbs = self._climbs.over(history.told)
            best_of = {climb.best[0].number: climb.best for climb in climbs}
            for leader in ordered([climb.best[0] for climb in climbs]):
                neighbour = self._neighbour(best_of[leader.number], history, rng)
                if neighbour is not None:
                    return neighbour
        return unseen(self.space, history.seen, rng)

    def _neighbour(self, best: Sequence[Point], history: History, rng: random.Random) -> Architecture | None:
        """An unseen neighbour of one of these points, or None if all were tried."""
        for point in rng.sample(best, len(best)):
            if point.architecture.key in self._exhausted:
                continue
            fixed = random.Random(f"{self.seed}/{point.architecture.key}")
            for neighbour in self.space.neighbours(point.architecture, fixed):
                if neighbour.key not in history.seen:
                    return neighbour
            if not history.pending:
                self._exhausted.add(point.architecture.key)
        return None

    def _climbed(self, climbs: Sequence[_Climb], points: Sequence[Point]) -> Sequence[_Climb]:
        """Add one point to the climb that it belongs to, or begin one."""
        (point,) = points
        row = self._codes.row(point.architecture.decisions)
        for i, climb in enumerate(climbs):
            if codes.apart(row, climb.rows).min() <= 1:
                grown = _Climb(np.vstack([climb.rows, row]), _best([*climb.best, point]))
                return [*climbs[:i], grown, *climbs[i + 1 :]]
        return [*climbs, _Climb(row[None], (point,))]


def _best(points: Sequence[Point]) -> Sequence[Point]:
    """The front of the points that meet the limits; if there is none, the one that breaks them least."""
    first = ordered(points)[0]
    if not first.values or first.violation:
        return (first,)
    feasible = [point for point in points if point.values and not point.violation]
    mask = pareto.front(np.array([point.values for point in feasible]))
    return [point for point, kept in zip(feasible, mask, strict=True) if kept]
