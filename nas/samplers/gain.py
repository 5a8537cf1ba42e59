"""What candidates are expected to add to the front, from what was evaluated and what is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nas import pareto
from nas.samplers.gaussian import Gaussian, Inputs
from nas.samplers.improvement import boxes, expected_improvement

Array = NDArray[np.float64]

_LARGEST_FRONT = 40


@dataclass(frozen=True)
class Gain:
    """Expected gain of hypervolume, times the chance to meet the limits.

    Attributes:
        predicted: Objective → its predictor; those that are missing are known.
        known: Objective → its column of the known metrics.
        scale: Mean and standard deviation of the known metrics' logarithms, each `(q,)`.
        feasible: Predicts 1 for what meets the limits and -1 for what does not; None where nothing was refused.
        lower: `(k, m)` corners of what is not dominated.
        upper: `(k, m)`.
    """

    predicted: Mapping[int, Gaussian]
    known: Mapping[int, int]
    scale: tuple[Array, Array]
    feasible: Gaussian | None
    lower: Array
    upper: Array

    def __call__(self, decisions: Array, known: Array) -> Array:
        """Expect the gain of candidates.

        Args:
            decisions: `(n, p)` as `Codes.points` gives them.
            known: `(n, q)` metrics.

        Returns:
            `(n,)`.
        """
        inputs = Inputs(decisions, scaled(known, self.scale))
        means, spreads = np.zeros((2, len(decisions), self.lower.shape[1]))
        for objective, column in self.known.items():
            means[:, objective] = known[:, column]
        for objective, gaussian in self.predicted.items():
            means[:, objective], spreads[:, objective] = gaussian.predict(inputs)
        gain = expected_improvement(means, spreads, self.lower, self.upper)
        if self.feasible is not None:
            mean, spread = self.feasible.predict(inputs)
            gain *= ndtr(mean / spread)
        return gain


def undominated(values: Array) -> tuple[Array, Array]:
    """The boxes that a candidate may gain, given evaluated points `(n, m)`.

    The reference point is the worst of each objective, and a twentieth of the range more. With three objectives and
    more a large front is thinned, evenly along its first objective.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    reference = high + 0.05 * np.where(high > low, high - low, np.abs(high) + 1.0)
    if values.shape[1] > 2:
        front = values[pareto.front(values)]
        if len(front) > _LARGEST_FRONT:
            spread = np.linspace(0, len(front) - 1, _LARGEST_FRONT).astype(int)
            front = front[np.argsort(front[:, 0], kind="stable")[spread]]
        values = front
    return boxes(values, reference)


def winsorised(values: Array) -> Array:
    """Values `(n,)` with bad outliers drawn in, so that networks that cannot learn do not hide what others differ by."""
    first, third = np.quantile(values, (0.25, 0.75))
    return np.minimum(values, third + (third - first))


def scale_of(known: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the logarithms of `(n, q)` metrics."""
    logs = _logs(known)
    spread = logs.std(axis=0)
    return logs.mean(axis=0), np.where(spread > 0, spread, 1.0)


def scaled(known: Array, scale: tuple[Array, Array]) -> Array:
    """Standardised logarithms of `(n, q)` metrics."""
    return (_logs(known) - scale[0]) / scale[1]


def unscaled(standard: Array, scale: tuple[Array, Array]) -> Array:
    """The metrics that standardised logarithms `(n, q)` stand for."""
    logs = standard * scale[1] + scale[0]
    return np.sign(logs) * np.expm1(np.abs(logs))


def _logs(known: Array) -> Array:
    return np.sign(known) * np.log1p(np.abs(known))
