"""Learns the expensive metrics, and the limits, from what was evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection

from nas.samplers.bo.acquisition import NormalScores, Predictors, Scale, reference_point
from nas.samplers.bo.gaussian_process import GaussianProcess, Inputs, Kernel, kernels_for
from nas.samplers.history import History, Point
from nas.samplers.static_metrics import Known
from nas.space.indexed import Indexed
from nas.space.space import Architecture

Array = NDArray[np.float64]
_ACTIVE = 256
_FITTED = 192
_FEWEST = 2
_LIMITS = -1
"""Stands for the limits among the objectives."""


class Learner:
    """Makes predictors; the kernels that they compare architectures with are kept while little is new.

    Args:
        codes: The space's decisions as columns.
        known: The cheap metrics.
    """

    def __init__(self, codes: Indexed, known: Known) -> None:
        self._codes = codes
        self._known = known
        self._kernels: dict[int, tuple[Sequence[Point], Sequence[Kernel]]] = {}

    def learn(
        self,
        told: Sequence[Point],
        refused: Sequence[Point],
        best: Sequence[Point],
        history: History,
        names: Sequence[str],
    ) -> Predictors | None:
        """Learn from some trials in the order of their numbers, and from some that break a limit.

        Trials whose cheap metrics cannot be counted are left out; None where fewer than two are left.

        Args:
            told: Those with values.
            refused: Those that break a limit, with values or without.
            best: Those that are never left out where there are too many to learn from.
            history: All trials.
            names: Of the cheap metrics.
        """
        active = self._counted(_active(told, best))
        if len(active) < _FEWEST:
            return None
        architectures = [point.architecture for point in active]
        values, known = np.array([point.values for point in active]), self._known.table(architectures, names)
        points, scale = self.points(architectures), Scale(known)
        inputs, decisions = Inputs(points, scale(known)), Inputs(points, np.zeros((len(points), 0)))
        static_metrics = _cheap_objectives(history, values, known, names)
        scores = {k: NormalScores(column) for k, column in enumerate(values.T) if k not in static_metrics}
        scored = np.stack([scores[k](column) if k in scores else column for k, column in enumerate(values.T)], axis=1)
        return Predictors(
            scores=scores,
            predicted={k: GaussianProcess(inputs, scored[:, k], self._kernels_of(k, told, names)) for k in scores},
            static_metrics=static_metrics,
            scale=scale,
            guesses=[GaussianProcess(decisions, column, [self._plain(0.25, 1e-4)]) for column in scale(known).T],
            feasible=self._feasible(told, refused, scale, names),
            reference=reference_point(scored),
        )

    def points(self, architectures: Sequence[Architecture]) -> Array:
        """The decisions of architectures as points `(n, p)`."""
        return self._codes.points(self._codes.rows(architecture.decisions for architecture in architectures))

    def _feasible(
        self, told: Sequence[Point], refused: Sequence[Point], scale: Scale, names: Sequence[str]
    ) -> GaussianProcess | None:
        """Learn what was refused: 1 for what meets the limits, and below 0 by how far another breaks them."""
        if not refused:
            return None
        met = (point for point in told if not point.violation)
        judged = list(merge(met, refused, key=lambda point: point.number))
        chosen = self._counted(_last_of_both(judged))
        if len(chosen) < _FEWEST:
            return None
        architectures = [point.architecture for point in chosen]
        inputs = Inputs(self.points(architectures), scale(self._known.table(architectures, names)))
        return GaussianProcess(inputs, _how_far(chosen), self._kernels_of(_LIMITS, judged, names))

    def _kernels_of(self, objective: int, told: Sequence[Point], names: Sequence[str]) -> Sequence[Kernel]:
        """The kernels for an objective or the limits, found anew each time that there are a twentieth more trials."""
        count = len(told) - len(told) % max(1, len(told) // 20)
        is_limits = objective == _LIMITS
        chosen = self._counted(_last_of_both(told[:count]) if is_limits else [told[i] for i in _spread(count, _FITTED)])
        kept = self._kernels.get(objective)
        if kept is None or kept[0] != chosen:
            if len(chosen) < _FEWEST:
                return [self._plain(0.25, 1e-2)]
            architectures = [point.architecture for point in chosen]
            if is_limits:
                values = _how_far(chosen)
            else:
                values = np.array([point.values[objective] for point in chosen])
                values = NormalScores(values)(values)
            known = self._known.table(architectures, names)
            inputs = Inputs(self.points(architectures), Scale(known)(known))
            kept = self._kernels[objective] = chosen, kernels_for(inputs, values, self._codes.coordinates)
        return kept[1]

    def _plain(self, decay: float, noise: float) -> Kernel:
        """A kernel of the decisions, all equally relevant."""
        relevance = np.full(len(self._codes.coordinates), decay / max(1, len(self._codes.paths)))
        return Kernel(relevance, 2.0, (1.0, 0.0, 0.0), noise)

    def _counted(self, points: Sequence[Point]) -> list[Point]:
        return [point for point in points if self._known.metrics(point.architecture) is not None]


def _meets(point: Point) -> bool:
    return bool(point.values) and not point.violation


def _last_of_both(told: Sequence[Point]) -> list[Point]:
    """The last that met the limits, then the last that did not."""
    met = [point for point in told if _meets(point)]
    refused = [point for point in told if not _meets(point)]
    return [*met[-_FITTED // 2 :], *refused[-_FITTED // 2 :]]


def _how_far(judged: Sequence[Point]) -> Array:
    """1 for what meets the limits, and below 0 by how far another breaks them, on the scale of the median."""
    broken = np.array([point.violation for point in judged])
    refused = np.array([not _meets(point) for point in judged])
    finite = broken[refused & np.isfinite(broken)]
    far = np.minimum(broken / ((float(np.median(finite)) if finite.size else 0.0) or 1.0), 2.0)
    return np.where(refused, -0.5 - 0.5 * far, 1.0)


def _active(told: Sequence[Point], elite: Sequence[Point]) -> Sequence[Point]:
    """The points to predict from: all, or the best and an even choice of the others."""
    if len(told) <= _ACTIVE:
        return told
    best = [point for point in elite if point.values]
    chosen = {p.number: p for p in (*best, *(told[i] for i in _spread(len(told), _ACTIVE - len(best))))}
    return [chosen[number] for number in sorted(chosen)]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the first `count` whole numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _cheap_objectives(
    history: History, values: Array, known: Array, names: Sequence[str]
) -> dict[int, tuple[int, float]]:
    """Which objectives are cheap metrics, which of them, and the sign that turns one to be minimised.

    They are told by name, or by value where they have no names.
    """
    signs = [1.0 if direction == StudyDirection.MINIMIZE else -1.0 for direction in history.study.directions]
    if history.metric_names:
        found = {history.metric_names.index(n): j for j, n in enumerate(names) if n in history.metric_names}
        return {objective: (j, signs[objective]) for objective, j in found.items()}
    return {
        objective: (j, sign)
        for objective, sign in enumerate(signs)
        for j in range(len(names))
        if np.allclose(values[:, objective], sign * known[:, j], rtol=1e-6, atol=0.0)
    }
