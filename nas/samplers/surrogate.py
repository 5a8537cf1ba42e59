"""Bayesian optimisation over architectures that knows which metrics are cheap.

What needs training is predicted from what was trained, with its uncertainty (`gaussian`); latency, size and the like do
not depend on weights, so they are known before a candidate is trained and are not predicted where they decide. The
candidate with the largest expected gain of hypervolume is proposed (`gain`, `improvement`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.codes import Codes, Rows
from nas.errors import NasError
from nas.objective import Limit, excess
from nas.samplers.base import Cheap, Fold, History, Point, Sampler, unseen
from nas.samplers.gain import Gain, NormalScores, Predictions, Predictors, Scale, reference_point
from nas.samplers.gaussian import Gaussian, Inputs, Kernel, kernels_for
from nas.samplers.rows import Closed
from nas.samplers.selection import bred, ordered, survivors
from nas.space import Architecture, Space

Array = NDArray[np.float64]
_ACTIVE = 256
_FITTED = 192
_AWAITED = 32
_CANDIDATES = 512
_MOST_POOLS = 2
_PARENTS = 24
_FEWEST_WEIGHED, _MOST_WEIGHED = 8, 256
_ALONE = 4
_LIMITS = -1
"""Stands for the limits among the objectives."""
_TRIES = 200

_Seen = tuple[int, Point, int]
"""How many trials were seen, the last of them, and how many were refused."""


@dataclass(frozen=True)
class _Learnt:
    """What was learnt, and candidates with what is expected of them.

    Attributes:
        state: What it was learnt from.
        predictors: Of the metrics.
        candidates: `(n, d)`.
        points: `(n, p)`.
        guesses: `(n, q)` the cheap metrics that they are taken to have.
        expected: Of them.
    """

    state: _Seen
    predictors: Predictors
    candidates: Rows
    points: Array
    guesses: Array
    expected: Predictions


class Surrogate(Sampler):
    """Predicts, weighs candidates by the hypervolume they are expected to add, and proposes the best.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
        cheap: Metrics that are known without training. Those that are objectives of the study are not predicted;
            they are found by the study's metric names, or where it has none by their values.
        limits: On cheap metrics: what breaks them is not proposed.
        random_trials: Architectures drawn before the first prediction.
        weighed: Candidates whose cheap metrics are asked for at each proposal; by default fewer and fewer, from 256
            down to 8.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        cheap: Cheap | None = None,
        limits: Sequence[Limit] = (),
        random_trials: int = 10,
        weighed: int | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.cheap = cheap
        self.limits = tuple(limits)
        self.random_trials = random_trials
        self.weighed = weighed
        self._codes = Codes(space)
        self._closed = Closed(space, self._codes)
        self._metrics: dict[str, Mapping[str, float]] = {}
        self._kernels: dict[int, tuple[_Seen, Sequence[Kernel]]] = {}
        self._learnt: _Learnt | None = None
        self._elite: Fold[Sequence[Point]] = Fold((), lambda best, born: survivors(best, born, _ACTIVE // 2))

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give the unseen candidate with the largest expected gain; draw or breed while too little is known."""
        told = history.valued
        if len(told) < max(2, self.random_trials):
            return self._begin(history, rng)
        elite = self._elite.over(history.told)
        names = sorted(self._metrics_of(told[0].architecture))
        learnt = self._learnt_from(told, history, names)
        predictors, expected = learnt.predictors, learnt.expected
        best = [point.values for point in elite if point.values and not point.violation] or [p.values for p in elite]
        front = predictors.scored(np.array(best))
        if history.pending:
            awaited = [a for a in history.pending[-_AWAITED:] if self._is_known(a)]
            points, known = self._points(awaited), self._known(awaited, names)
            means = predictors.predict(points, known).means
            front = np.concatenate([front, means])
            predictors = predictors.awaiting(points, known, means)
            expected = predictors.predict(learnt.points, learnt.guesses)
        gain = Gain(predictors.reference, front, sought(history.number, predictors))
        best_first = learnt.candidates[np.argsort(-gain(expected), kind="stable")]
        finalists = self._finalists(best_first, len(told), history)
        if not finalists:
            return self._begin(history, rng)
        if self.cheap is None:
            return finalists[0]
        gains = gain(predictors.predict(self._points(finalists), self._known(finalists, names)))
        return finalists[int(np.argmax(gains))]

    def _begin(self, history: History, rng: random.Random) -> Architecture:
        """One that meets the limits on what is known: random, or near the least refused where many were refused."""
        least: tuple[float, Architecture] | None = None
        nearest = ordered(history.told)[0].architecture if len(history.infeasible) >= self.random_trials else None
        for _ in range(_TRIES):
            found = (
                unseen(self.space, history.seen, rng)
                if nearest is None
                else bred(self.space, history, lambda: self.space.mutate(nearest, rng), rng)
            )
            broken = self._violation(found)
            if least is None or broken < least[0]:
                least = broken, found
            if not broken:
                break
        return least[1] if least else unseen(self.space, history.seen, rng)

    def _candidates(self, parents: Sequence[Point], count: int, chances: np.random.Generator) -> Rows:
        """Changes of parents, crosses of them, and random ones."""
        rows = self._rows([point.architecture for point in parents])
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
        count = (self.weighed or int(np.clip(20_000 // told, _FEWEST_WEIGHED, _MOST_WEIGHED))) if self.cheap else 1
        allowed: dict[str, Architecture] = {}
        broken: set[str] = set()
        for row in best_first:
            architecture = self._closed.of(row)
            if architecture is None or architecture.key in history.seen or not self._is_known(architecture):
                continue
            if self._violation(architecture):
                broken.add(architecture.key)
            else:
                allowed.setdefault(architecture.key, architecture)
            if len(allowed) == count or len(broken) == 4 * count:
                break
        return list(allowed.values())

    def _learnt_from(self, told: Sequence[Point], history: History, names: Sequence[str]) -> _Learnt:
        """What was learnt, anew with each hundredth more to learn from; the more seldom, the more candidates."""
        step = max(1, len(told) // 128)
        count = len(told) - len(told) % step
        state = count, told[count - 1], len(history.infeasible)
        if self._learnt is None or self._learnt.state != state:
            before = told[:count]
            best = self._elite.over(_until(history.told, before[-1].number))
            predictors = self._learn(_active(before, best), before, history, names)
            chances = np.random.default_rng([self.seed, count, state[2]])
            rows = self._candidates(best[:_PARENTS], _CANDIDATES * min(step, _MOST_POOLS), chances)
            points = self._codes.points(rows)
            guesses = predictors.guess(points)
            self._learnt = _Learnt(state, predictors, rows, points, guesses, predictors.predict(points, guesses))
        return self._learnt

    def _learn(
        self, active: Sequence[Point], told: Sequence[Point], history: History, names: Sequence[str]
    ) -> Predictors:
        architectures = [point.architecture for point in active]
        values, known, points = (
            np.array([point.values for point in active]),
            self._known(architectures, names),
            self._points(architectures),
        )
        scale = Scale(known)
        inputs, decisions = Inputs(points, scale(known)), Inputs(points, np.zeros((len(points), 0)))
        cheap = _cheap_objectives(history, values, known, names)
        scores = {k: NormalScores(column) for k, column in enumerate(values.T) if k not in cheap}
        scored = np.stack([scores[k](column) if k in scores else column for k, column in enumerate(values.T)], axis=1)
        return Predictors(
            scores=scores,
            predicted={k: Gaussian(inputs, scored[:, k], self._kernels_of(k, told, names)) for k in scores},
            cheap=cheap,
            scale=scale,
            guesses=[Gaussian(decisions, column, [self._plain(0.25, 1e-4, known=False)]) for column in scale(known).T],
            feasible=self._feasible(history, told[-1].number, scale, names),
            reference=reference_point(scored),
        )

    def _feasible(self, history: History, last: int, scale: Scale, names: Sequence[str]) -> Gaussian | None:
        """Learn what was refused: 1 for what meets the limits, and below 0 by how far another breaks them."""
        if not history.infeasible:
            return None
        judged = [*_until(history.told, last), *(point for point in history.infeasible if point.number > last)]
        architectures, values = _judged(judged)
        inputs = Inputs(self._points(architectures), scale(self._known(architectures, names)))
        return Gaussian(inputs, values, self._kernels_of(_LIMITS, judged, names))

    def _kernels_of(self, objective: int, told: Sequence[Point], names: Sequence[str]) -> Sequence[Kernel]:
        """The kernels for an objective or the limits, found anew each time that there are a twentieth more trials."""
        count = len(told) - len(told) % max(1, len(told) // 20)
        state = count, told[count - 1], 0
        kept = self._kernels.get(objective)
        if kept is None or kept[0] != state:
            if objective == _LIMITS:
                architectures, values = _judged(told[:count])
            else:
                chosen = [told[i] for i in _spread(count, _FITTED)]
                architectures = [point.architecture for point in chosen]
                column = np.array([point.values[objective] for point in chosen])
                values = NormalScores(column)(column)
            known = self._known(architectures, names)
            inputs = Inputs(self._points(architectures), Scale(known)(known))
            kept = self._kernels[objective] = state, kernels_for(inputs, values, self._codes.coordinates)
        return kept[1]

    def _plain(self, decay: float, noise: float, known: bool) -> Kernel:
        """A kernel with all decisions equally relevant."""
        relevance = np.full(len(self._codes.coordinates), decay / max(1, len(self._codes.paths)))
        return Kernel(relevance, 2.0, (1.0, float(known), 0.0), noise)

    def _violation(self, architecture: Architecture) -> float:
        try:
            return excess(self.limits, self._metrics_of(architecture))
        except NasError:  # what cannot be counted cannot be built either
            return math.inf

    def _is_known(self, architecture: Architecture) -> bool:
        try:
            self._metrics_of(architecture)
        except NasError:
            return False
        return True

    def _metrics_of(self, architecture: Architecture) -> Mapping[str, float]:
        if self.cheap is None:
            return {}
        if architecture.key not in self._metrics:
            self._metrics[architecture.key] = dict(self.cheap(architecture))
        return self._metrics[architecture.key]

    def _known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Array:
        metrics = [self._metrics_of(architecture) for architecture in architectures]
        return np.array([[float(m[name]) for name in names] for m in metrics]).reshape(len(metrics), len(names))

    def _rows(self, architectures: Sequence[Architecture]) -> Rows:
        rows = [self._codes.row(architecture.decisions) for architecture in architectures]
        return np.array(rows, np.int16).reshape(len(rows), len(self._codes.paths))

    def _points(self, architectures: Sequence[Architecture]) -> Array:
        return self._codes.points(self._rows(architectures))


def sought(number: int, predictors: Predictors) -> Sequence[int]:
    """The objectives that a trial is to improve: all, or each fourth time one of those that are predicted, in turn.

    The ends of a front weigh little in its hypervolume until the predictions there are good, and only trials there
    make them good.
    """
    predicted = sorted(predictors.predicted)
    if number % _ALONE or not predicted:
        return ()
    return (predicted[number // _ALONE % len(predicted)],)


def _active(told: Sequence[Point], elite: Sequence[Point]) -> Sequence[Point]:
    """The points to predict from: all, or the best and an even choice of the others."""
    if len(told) <= _ACTIVE:
        return told
    best = [point for point in elite if point.values]
    chosen = {p.number: p for p in (*best, *(told[i] for i in _spread(len(told), _ACTIVE - len(best))))}
    return [chosen[number] for number in sorted(chosen)]


def _judged(told: Sequence[Point]) -> tuple[list[Architecture], Array]:
    """The last that met the limits and the last that did not, and by how much they do."""
    met = [point for point in told if point.values and not point.violation][-_FITTED // 2 :]
    refused = [point for point in told if not point.values or point.violation][-_FITTED // 2 :]
    broken = np.array([point.violation for point in refused])
    far = np.minimum(broken / ((float(np.median(broken)) if refused else 0.0) or 1.0), 2.0)
    values = np.concatenate([np.ones(len(met)), -0.5 - 0.5 * far])
    return [point.architecture for point in (*met, *refused)], values


def _until(points: Sequence[Point], number: int) -> Sequence[Point]:
    """Those of points, in the order of their numbers, up to one number."""
    return points[: bisect_right(points, number, key=lambda point: point.number)]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the first `count` whole numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _cheap_objectives(history: History, values: Array, known: Array, names: Sequence[str]) -> dict[int, int]:
    """Which objectives are cheap metrics, and which of them: by name, or by value where they have no names."""
    if history.metric_names:
        return {history.metric_names.index(n): j for j, n in enumerate(names) if n in history.metric_names}
    return {
        objective: j
        for objective in range(values.shape[1])
        for j in range(len(names))
        if np.allclose(values[:, objective], known[:, j], rtol=1e-6, atol=0.0)
    }
