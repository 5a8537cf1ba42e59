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
from numpy.typing import NDArray

from nas.objectives import pareto
from nas.samplers.base import Sampler, unseen
from nas.samplers.history import Fold, History, Point
from nas.samplers.selection import ordered, survivors
from nas.space.indexed import Indexed, Rows, apart
from nas.space.space import Architecture, Space

_RETURNED_TO = 64


@dataclass(frozen=True)
class _Climbs:
    """Starts, and all that was reached from each.

    Attributes:
        rows: `(n, d)` of all that was told.
        of: `(n,)` the climb that each row belongs to.
        best: Of each climb, the best one, or the front.
        leading: The climbs to go on with, best first.
    """

    rows: Rows
    of: NDArray[np.int64]
    best: Sequence[Sequence[Point]]
    leading: Sequence[int]


class Local(Sampler):
    """Tries what is one decision away from the best of a climb; begins another where all of that was tried.

    A climb is returned to while it is among the best 64 by its leader.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        starts: Random architectures before the first climb; it begins with the best of them.
    """

    def __init__(self, space: Space, seed: int = 0, starts: int = 10) -> None:
        super().__init__(space, seed)
        self.starts = starts
        self._indexed = Indexed(space)
        nothing = np.zeros((0, len(self._indexed.sizes)), np.int16)
        self._climbs: Fold[_Climbs] = Fold(_Climbs(nothing, np.zeros(0, np.int64), (), ()), self._climbed)
        self._study: optuna.Study | None = None
        self._exhausted: set[int] = set()

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give an unseen neighbour of the best of the best climb that has one, or a random start."""
        if self._study is not history.study:
            self._study, self._exhausted = history.study, set()
        if len(history.seen) >= self.starts:
            climbs = self._climbs.over(history.told)
            for climb in climbs.leading:
                neighbour = self._neighbour(climbs.best[climb], history, rng)
                if neighbour is not None:
                    return neighbour
        return unseen(self.space, history.seen, rng)

    def _neighbour(self, best: Sequence[Point], history: History, rng: random.Random) -> Architecture | None:
        """An unseen neighbour of one of these points, or None if all were tried."""
        flying = {architecture.key for architecture in history.pending}
        for point in rng.sample(best, len(best)):
            if point.number in self._exhausted:
                continue
            fixed = random.Random(f"{self.seed}/{point.architecture.key}")
            is_told = True
            for neighbour in self.space.neighbours(point.architecture, fixed):
                if neighbour.key not in history.seen:
                    return neighbour
                is_told = is_told and neighbour.key not in flying
            if is_told:
                self._exhausted.add(point.number)
        return None

    def _climbed(self, climbs: _Climbs, points: Sequence[Point]) -> _Climbs:
        """Add one point to the first climb that it is near to, or begin one."""
        (point,) = points
        row = self._indexed.row(point.architecture.decisions)
        near = climbs.of[apart(row, climbs.rows) <= 1]
        best = list(climbs.best)
        climb = int(near.min()) if len(near) else len(best)
        if climb == len(best):
            best.append((point,))
        else:
            best[climb] = _best([*best[climb], point])
        others = [best[i][0] for i in climbs.leading if i != climb]
        climb_of = {best[i][0].number: i for i in (*climbs.leading, climb)}
        leading = [climb_of[leader.number] for leader in survivors(others, (best[climb][0],), _RETURNED_TO)]
        return _Climbs(np.vstack([climbs.rows, row]), np.append(climbs.of, climb), best, leading)


def _best(points: Sequence[Point]) -> Sequence[Point]:
    """The front of the points that meet the limits; if there is none, the one that breaks them least."""
    first = ordered(points)[0]
    if not first.values or first.violation:
        return (first,)
    feasible = [point for point in points if point.values and not point.violation]
    mask = pareto.front(np.array([point.values for point in feasible]))
    return [point for point, kept in zip(feasible, mask, strict=True) if kept]
