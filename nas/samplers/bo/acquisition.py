"""What candidates are expected to add to the front, from what was evaluated and what is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from nas.objectives import pareto
from nas.samplers.bo.ehvi import boxes, expected_improvement
from nas.samplers.bo.gaussian_process import Foreseen, GaussianProcess, Inputs

Array = NDArray[np.float64]

_LARGEST_FRONT, _LARGEST_WITH_FOUR = 40, 12
_BOLDNESS = 3.0


class NormalScores:
    """The quantiles of the normal distribution that stand where values rank, equal for equal values.

    What a metric is distributed like then makes no difference (Salinas et al., 2020): networks that cannot learn do not
    hide what the others differ by, and the best stand apart however close they are.

    Args:
        values: `(n,)` that ranks are taken among.
    """

    def __init__(self, values: Array) -> None:
        ranks = np.unique(rankdata(values))
        self._values = np.unique(values)
        self._scores = ndtri((ranks - 0.5) / len(values))
        self._beyond = float(ndtri(0.25 / len(values)))

    def __call__(self, values: Array) -> Array:
        """The scores of `(k,)` values: between those of the values around, beyond all for what is beyond."""
        return np.interp(values, self._values, self._scores, left=self._beyond, right=-self._beyond)


class Scale:
    """Standardised logarithms of known metrics.

    Args:
        known: `(n, q)` that mean and standard deviation are taken of.
    """

    def __init__(self, known: Array) -> None:
        logs = _logs(known)
        spread = logs.std(axis=0)
        self._mean, self._spread = logs.mean(axis=0), np.where(spread > 0, spread, 1.0)

    def __call__(self, known: Array) -> Array:
        """The scaled `(k, q)` metrics."""
        return (_logs(known) - self._mean) / self._spread

    def inverse(self, scaled: Array) -> Array:
        """The metrics that were scaled to `(k, q)`."""
        logs = scaled * self._spread + self._mean
        return np.sign(logs) * np.expm1(np.abs(logs))


@dataclass(frozen=True)
class Predictions:
    """What is expected of candidates.

    Attributes:
        means: `(n, m)`, of what is predicted as scores.
        spreads: `(n, m)` standard deviations; 0 for what is known.
        chances: `(n,)` probabilities of meeting the limits.
    """

    means: Array
    spreads: Array
    chances: Array


@dataclass(frozen=True)
class Foresight:
    """Candidates that the predictors have looked at.

    Attributes:
        means: `(n, m)`, of the objectives that are known; 0 for the others.
        chances: `(n,)` probabilities of meeting the limits.
        foreseen: Objective → the candidates as its predictor sees them.
    """

    means: Array
    chances: Array
    foreseen: Mapping[int, Foreseen]


@dataclass(frozen=True)
class Predictors:
    """What was learnt of the metrics.

    Attributes:
        scores: Objective → the scores that its predictor gives; objectives that are missing are known.
        predicted: Objective → its predictor.
        static_metrics: Objective → its column of the known metrics, and the sign that turns it to be minimised.
        scale: Of the known metrics.
        guesses: Predictors of the scaled known metrics from decisions alone.
        feasible: Predicts 1 for what meets the limits and -1 for what does not; None where nothing was refused.
        reference: `(m,)` the worst that counts, in scores or known metrics.
    """

    scores: Mapping[int, NormalScores]
    predicted: Mapping[int, GaussianProcess]
    static_metrics: Mapping[int, tuple[int, float]]
    scale: Scale
    guesses: Sequence[GaussianProcess]
    feasible: GaussianProcess | None
    reference: Array

    def guess(self, decisions: Array) -> Array:
        """Foresee the known metrics `(n, q)` of candidates `(n, p)`, to choose whose are asked for."""
        inputs = Inputs(decisions, np.zeros((len(decisions), 0)))
        scaled = [guess.means(inputs) for guess in self.guesses]
        return self.scale.inverse(np.stack(scaled, axis=1)) if scaled else np.zeros((len(decisions), 0))

    def scored(self, values: Array) -> Array:
        """Objective values `(n, m)` as they are predicted."""
        columns = [
            self.scores[objective](column) if objective in self.scores else column
            for objective, column in enumerate(values.T)
        ]
        return np.stack(columns, axis=1)

    def inputs(self, decisions: Array, known: Array) -> Inputs:
        """Points from `(n, p)` decisions and `(n, q)` known metrics."""
        return Inputs(decisions, self.scale(known))

    def foresee(self, decisions: Array, known: Array) -> Foresight:
        """Look at candidates once, to predict their objectives again and again.

        Args:
            decisions: `(n, p)`.
            known: `(n, q)` metrics.
        """
        inputs = self.inputs(decisions, known)
        means = np.zeros((len(decisions), len(self.reference)))
        for objective, (column, sign) in self.static_metrics.items():
            means[:, objective] = sign * known[:, column]
        chances = np.ones(len(decisions))
        if self.feasible is not None:
            mean, spread = self.feasible.predict(self.feasible.foresee(inputs))
            chances = ndtr(mean / spread)
        return Foresight(means, chances, {k: gaussian.foresee(inputs) for k, gaussian in self.predicted.items()})

    def predict(self, foresight: Foresight, awaited: Inputs | None = None) -> Predictions:
        """Predict the objectives of candidates, more certain near others that are awaited."""
        means, spreads = foresight.means.copy(), np.zeros_like(foresight.means)
        for objective, foreseen in foresight.foreseen.items():
            means[:, objective], spreads[:, objective] = self.predicted[objective].predict(foreseen, awaited)
        return Predictions(means, spreads, foresight.chances)


class Acquisition:
    """Expected gain of hypervolume in scores, times the chance to meet the limits.

    With three objectives and more a large front is thinned, evenly along its first objective.

    Args:
        reference: `(m,)` the worst that counts, in scores.
        front: `(n, m)` what there is already, in scores.
        objectives: The columns that count; by default all. With one it is the expected improvement of the best, by
            predictions that are taken to be three times as uncertain. How well each point is foretold from all others
            is how well a neighbour is, and what is far away, where a better region may be, is less certain than that;
            a front spreads trials by itself, a single best does not.
    """

    def __init__(self, reference: Array, front: Array, objectives: Sequence[int] = ()) -> None:
        self._columns = list(objectives or range(front.shape[1]))
        front = front[:, self._columns]
        front = front[pareto.front(front)]
        most = _LARGEST_FRONT if front.shape[1] == 3 else _LARGEST_WITH_FOUR
        if front.shape[1] > 2 and len(front) > most:
            spread = np.linspace(0, len(front) - 1, most).astype(int)
            front = front[np.argsort(front[:, 0], kind="stable")[spread]]
        self._boxes = boxes(front, reference[self._columns])
        self._boldness = _BOLDNESS if len(self._columns) == 1 else 1.0

    def __call__(self, expected: Predictions) -> Array:
        """The gains `(n,)` of candidates."""
        means, spreads = (found[:, self._columns] for found in (expected.means, expected.spreads))
        return expected_improvement(means, self._boldness * spreads, *self._boxes) * expected.chances


def reference_point(values: Array) -> Array:
    """The worst of each objective in `(n, m)`, and a twentieth of the range more."""
    low, high = values.min(axis=0), values.max(axis=0)
    return high + 0.05 * np.where(high > low, high - low, np.abs(high) + 1.0)


def _logs(known: Array) -> Array:
    return np.sign(known) * np.log1p(np.abs(known))
