"""Bayesian optimisation over architectures that knows which metrics are cheap.

What needs training is predicted from what was trained, with its uncertainty (`gaussian`). What a caller can tell of any
candidate, such as its parameters and MACs, is known and not predicted where it decides; a latency or size that is only
had of what was evaluated is predicted from that, and foretold well after few trials. The candidate with the largest
expected gain of hypervolume is proposed (`gain`, `improvement`).
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.objectives.metrics import needs_training
from nas.objectives.objective import Limit
from nas.samplers.base import Sampler, StaticMetrics, unseen
from nas.samplers.bo.acquisition import Acquisition, Foresight, Predictions, Predictors
from nas.samplers.bo.models import Learner
from nas.samplers.decoder import Closed
from nas.samplers.history import Fold, History, Point
from nas.samplers.selection import bred, ordered, survivors
from nas.samplers.static_metrics import Known
from nas.space.indexed import Indexed, Rows
from nas.space.space import Architecture, Space

Array = NDArray[np.float64]
_ELITE = 128
_AWAITED = 32
_CANDIDATES = 512
_MOST_POOLS = 2
_PARENTS = 24
_FEWEST, _MOST = 8, 256
_ALONE = 4
_TRIES = 200

_Seen = tuple[Sequence[Point], Sequence[Point]]
"""Trials with values, and trials that break a limit."""


@dataclass(frozen=True)
class _Learnt:
    """What was learnt, and candidates with what is expected of them.

    Attributes:
        state: What it was learnt from.
        predictors: Of the metrics.
        candidates: `(n, d)`.
        foresight: Of them, with the cheap metrics that they are taken to have.
        expected: Of them where nothing is awaited.
    """

    state: _Seen
    predictors: Predictors
    candidates: Rows
    foresight: Foresight
    expected: Predictions


class Surrogate(Sampler):
    """Predicts, weighs candidates by the hypervolume they are expected to add, and proposes the best.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        static_metrics: Metrics that are known without training. Those that are objectives of the study are not
            predicted; they are found by the study's metric names, or where it has none by their values.
        limits: On cheap metrics: what breaks them is not proposed.
        random_trials: Architectures drawn before the first prediction.
        candidates: Candidates whose cheap metrics are asked for at each proposal; by default fewer and fewer, from 256
            down to 8.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        static_metrics: StaticMetrics | None = None,
        limits: Sequence[Limit] = (),
        random_trials: int = 6,
        candidates: int | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.static_metrics = static_metrics
        self.limits = tuple(limits)
        self.random_trials = random_trials
        self.candidates = candidates
        self._codes = Indexed(space)
        self._closed = Closed(space, self._codes)
        self._known = Known(static_metrics, limits)
        self._learner = Learner(self._codes, self._known)
        self._learnt: _Learnt | None = None
        self._elite: Fold[Sequence[Point]] = Fold((), lambda best, born: survivors(best, born, _ELITE))

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give the unseen candidate with the largest expected gain; draw or breed while too little is known."""
        told = history.valued
        if len(told) < max(2, self.random_trials):
            return self._begin(history, rng)
        elite = self._elite.over(history.told)
        names = self._names(told)
        learnt = self._learnt_from(told, history, names)
        if learnt is None:
            return self._begin(history, rng)
        predictors, expected = learnt.predictors, learnt.expected
        valued = [point for point in elite if point.values] or told
        best = [point for point in valued if not point.violation] or valued
        front = predictors.scored(np.array([point.values for point in best]))
        awaited = None
        if flying := [a for a in history.pending[-_AWAITED:] if self._known.metrics(a) is not None]:
            points, known = self._learner.points(flying), self._known.table(flying, names)
            front = np.concatenate([front, predictors.predict(predictors.foresee(points, known)).means])
            awaited = predictors.inputs(points, known)
            expected = predictors.predict(learnt.foresight, awaited)
        gain = Acquisition(
            predictors.reference, front, sought(history.number, predictors.predicted, history.metric_names)
        )
        best_first = learnt.candidates[np.argsort(-gain(expected), kind="stable")]
        finalists = self._finalists(best_first, len(told), history)
        if not finalists:
            return self._begin(history, rng)
        if self.static_metrics is None:
            return finalists[0]
        foresight = predictors.foresee(self._learner.points(finalists), self._known.table(finalists, names))
        gains = gain(predictors.predict(foresight, awaited))
        return finalists[int(np.argmax(gains))]

    def _begin(self, history: History, rng: random.Random) -> Architecture:
        """One that meets the limits on what is known: random, or near the least refused where many were refused."""
        least: tuple[float, Architecture] | None = None
        nearest = ordered(history.told)[0].architecture if len(history.infeasible) >= self.random_trials else None
        for _ in range(4 * self.candidates if self.candidates else _TRIES):
            found = (
                unseen(self.space, history.seen, rng)
                if nearest is None
                else bred(self.space, history, lambda: self.space.mutate(nearest, rng), rng)
            )
            broken = self._known.violation(found)
            if least is None or broken < least[0]:
                least = broken, found
            if not broken:
                break
        return least[1] if least else unseen(self.space, history.seen, rng)

    def _candidates(self, parents: Sequence[Point], count: int, chances: np.random.Generator) -> Rows:
        """Changes of parents, crosses of them, and random ones."""
        rows = self._rows(parents)
        first, second = (rows[chances.integers(len(rows), size=count)] for _ in range(2))
        once, twice, crossed, drawn = (int(share * count) for share in (0.4, 0.2, 0.15, 0.25))
        codes = self._codes
        made = (
            codes.mutate(first[:once], chances),
            codes.mutate(codes.mutate(first[once : once + twice], chances), chances),
            codes.crossover(first[-crossed:], second[-crossed:], chances),
            codes.sample(drawn, chances),
        )
        return np.unique(np.concatenate(made), axis=0)

    def _finalists(self, best_first: Rows, told: int, history: History) -> list[Architecture]:
        """The first unseen candidates that meet the limits: one, or as many as cheap metrics are asked for.

        None where four times as many break them.
        """
        count = (self.candidates or int(np.clip(20_000 // told, _FEWEST, _MOST))) if self.static_metrics else 1
        allowed: dict[str, Architecture] = {}
        broken: set[str] = set()
        for row in best_first:
            architecture = self._closed.of(row)
            if architecture is None or architecture.key in history.seen or self._known.metrics(architecture) is None:
                continue
            if self._known.violation(architecture):
                broken.add(architecture.key)
            else:
                allowed.setdefault(architecture.key, architecture)
            if len(allowed) == count or len(broken) == 4 * count:
                break
        return list(allowed.values())

    def _names(self, told: Sequence[Point]) -> Sequence[str]:
        """Of the cheap metrics."""
        counted = (self._known.metrics(point.architecture) for point in told)
        return sorted(next((metrics for metrics in counted if metrics is not None), ()))

    def _learnt_from(self, told: Sequence[Point], history: History, names: Sequence[str]) -> _Learnt | None:
        """What was learnt, anew with each hundredth more to learn from; the more seldom, the more candidates."""
        step = max(1, len(told) // 128)
        before, refused = told[: len(told) - len(told) % step], history.infeasible
        refused = refused[: len(refused) - len(refused) % max(1, len(refused) // 128)]
        state = before, refused
        if self._learnt is None or self._learnt.state != state:
            best = self._elite.over(_until(history.told, before[-1].number))
            predictors = self._learner.learn(before, refused, best, history, names)
            if predictors is None:
                return None
            chances = np.random.default_rng([self.seed % 2**64, len(before), len(refused)])
            rows = self._candidates(best[:_PARENTS], _CANDIDATES * min(step, _MOST_POOLS), chances)
            points = self._codes.points(rows)
            foresight = predictors.foresee(points, predictors.guess(points))
            self._learnt = _Learnt(state, predictors, rows, foresight, predictors.predict(foresight))
        return self._learnt

    def _rows(self, points: Sequence[Point]) -> Rows:
        return self._codes.rows(point.architecture.decisions for point in points)


def sought(number: int, predicted: Collection[int], names: Sequence[str]) -> Sequence[int]:
    """The objectives that a trial is to improve: all, or each fourth time one that needs training, in turn.

    The ends of a front weigh little in its hypervolume until the predictions there are good, and only trials there
    make them good. The end of the smallest and fastest networks is found without: what needs no training follows from
    the decisions so plainly that it is foretold well from any trials.

    Args:
        number: Of the trial.
        predicted: The objectives that are predicted.
        names: Of all objectives; where there are none, or one is no metric of ours, it is taken to need training.
    """
    alone = [k for k in sorted(predicted) if not names or needs_training(names[k])]
    if number % _ALONE or not alone:
        return ()
    return (alone[number // _ALONE % len(alone)],)


def _until(points: Sequence[Point], number: int) -> Sequence[Point]:
    """Those of points, in the order of their numbers, up to one number."""
    return points[: bisect_right(points, number, key=lambda point: point.number)]
