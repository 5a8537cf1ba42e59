"""Bayesian optimisation over architectures that knows which metrics are cheap.

What needs training is predicted from what was trained, with its uncertainty (`gaussian`); latency, size and the like do
not depend on weights, so they are known before a candidate is trained and are not predicted where they decide. The
candidate with the largest expected gain of hypervolume is proposed (`gain`, `improvement`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.codes import Codes, Rows
from nas.errors import SpaceError
from nas.objective import Limit
from nas.samplers.base import Fold, History, Point, Sampler, unseen
from nas.samplers.gain import Gain, scale_of, scaled, undominated, unscaled, winsorised
from nas.samplers.gaussian import Gaussian, Inputs, Kernel, kernels_for
from nas.samplers.selection import bred, ordered
from nas.space import Architecture, Space

Array = NDArray[np.float64]
Cheap = Callable[[Architecture], Mapping[str, float]]
"""Metrics of an architecture that cost nothing to know, by name."""

_ACTIVE = 384
_FITTED = 256
_CANDIDATES = 512
_PARENTS = 24
_FEWEST_WEIGHED, _MOST_WEIGHED = 32, 256
_TRIES = 200


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
            down to 32.
    """

    uses_cheap: ClassVar[bool] = True

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
        self._metrics: dict[str, Mapping[str, float]] = {}
        self._kernels: dict[str, tuple[tuple[int, int], Sequence[Kernel]]] = {}
        self._elite: Fold[Sequence[Point]] = Fold((), lambda best, born: ordered([*best, *born])[: _ACTIVE // 2])

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give the unseen candidate with the largest expected gain; draw or breed while too little is known."""
        told = [point for point in history.told if point.values]
        if len(told) < max(2, self.random_trials):
            return self._begin(history, rng)
        chances = np.random.default_rng(rng.getrandbits(64))
        names = sorted(self._metrics_of(told[0].architecture))
        active = self._active(told, history)
        known = self._known([point.architecture for point in active], names)
        gain = self._gain(told, active, known, history, names)
        rows = self._candidates(history, chances)
        points = self._codes.points(rows)
        guessed = self._guess(active, known, points)
        finalists = self._finalists(rows[np.argsort(-gain(points, guessed), kind="stable")], len(told), history)
        if not finalists:
            return unseen(self.space, history.seen, rng)
        if self.cheap is None:
            return finalists[0]
        broken = np.array([self._violation(architecture) for architecture in finalists])
        gains = gain(self._points(finalists), self._known(finalists, names))
        return finalists[int(np.lexsort((-gains, broken))[0])]

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

    def _candidates(self, history: History, chances: np.random.Generator) -> Rows:
        """Changes of the best, crosses of them, and random ones."""
        elite = self._elite.over(history.told)[:_PARENTS]
        parents = self._rows([point.architecture for point in elite])
        first, second = (parents[chances.integers(len(parents), size=_CANDIDATES)] for _ in range(2))
        once, twice, crossed, drawn = (int(share * _CANDIDATES) for share in (0.4, 0.2, 0.15, 0.25))
        codes = self._codes
        made = (
            codes.mutate(first[:once], chances),
            codes.mutate(codes.mutate(first[once : once + twice], chances), chances),
            codes.crossover(first[-crossed:], second[-crossed:], chances),
            codes.sample(drawn, chances),
        )
        return np.unique(np.concatenate(made), axis=0)

    def _finalists(self, best_first: Rows, told: int, history: History) -> list[Architecture]:
        """The first candidates that are allowed and unseen: one, or as many as cheap metrics are asked for."""
        count = self.weighed or int(np.clip(20_000 // told, _FEWEST_WEIGHED, _MOST_WEIGHED))
        found: dict[str, Architecture] = {}
        for row in best_first:
            try:
                architecture = self.space.architecture(self._codes.decisions(row))
            except SpaceError:  # a constraint refuses it
                continue
            if architecture.key not in history.seen:
                found.setdefault(architecture.key, architecture)
            if len(found) == (count if self.cheap else 1):
                break
        return list(found.values())

    def _active(self, told: Sequence[Point], history: History) -> Sequence[Point]:
        """The points to predict from: all, or the best and an even choice of the others."""
        if len(told) <= _ACTIVE:
            return told
        best = [point for point in self._elite.over(history.told) if point.values]
        spread = np.linspace(0, len(told) - 1, _ACTIVE - len(best)).astype(int)
        chosen = {point.number: point for point in (*best, *(told[i] for i in spread))}
        return [chosen[number] for number in sorted(chosen)]

    def _gain(
        self, told: Sequence[Point], active: Sequence[Point], known: Array, history: History, names: Sequence[str]
    ) -> Gain:
        """Fit what is to be predicted, as if pending trials had given what is expected of them."""
        scale = scale_of(known)
        inputs = Inputs(self._points([point.architecture for point in active]), scaled(known, scale))
        values = np.array([point.values for point in active])
        cheap = self._cheap_objectives(history, values, known, names)
        pending = self._points(history.pending)
        known_pending = self._known(history.pending, names)
        awaited = Inputs(pending, scaled(known_pending, scale))
        expected = np.zeros((len(pending), values.shape[1]))
        predicted: dict[int, Gaussian] = {}
        for objective in range(values.shape[1]):
            if objective in cheap:
                expected[:, objective] = known_pending[:, cheap[objective]]
                continue
            values[:, objective] = winsorised(values[:, objective])
            kernels = self._kernels_of(objective, told, names)
            predicted[objective] = Gaussian(inputs, values[:, objective], kernels)
            if len(pending):
                expected[:, objective] = predicted[objective].means(awaited)
                both = np.concatenate([values[:, objective], expected[:, objective]])
                predicted[objective] = Gaussian(inputs.joined(awaited), both, kernels)
        meeting = np.array([not point.violation for point in active])
        front = np.concatenate([values[meeting] if meeting.any() else values, expected])
        return Gain(predicted, cheap, scale, self._feasible(history, scale, names), *undominated(front))

    def _feasible(self, history: History, scale: tuple[Array, Array], names: Sequence[str]) -> Gaussian | None:
        """Learn what was refused, where that is not known beforehand."""
        refused = history.infeasible[-_FITTED // 2 :]
        if not refused:
            return None
        points = [*history.complete[-_FITTED // 2 :], *refused]
        known = self._known([point.architecture for point in points], names)
        inputs = Inputs(self._points([point.architecture for point in points]), scaled(known, scale))
        met = np.array([-1.0 if point.violation else 1.0 for point in points])
        return Gaussian(inputs, met, [self._plain(decay=1.0, noise=0.1, known=bool(names))])

    def _kernels_of(self, objective: int, told: Sequence[Point], names: Sequence[str]) -> Sequence[Kernel]:
        """The kernels for an objective, found anew each time that there are some per cent more trials."""
        count = len(told) - len(told) % max(1, len(told) // 32)
        state = count, told[count - 1].number
        kept = self._kernels.get(str(objective))
        if kept is None or kept[0] != state:
            chosen = [told[i] for i in np.unique(np.linspace(0, count - 1, min(count, _FITTED)).astype(int))]
            known = self._known([point.architecture for point in chosen], names)
            inputs = Inputs(self._points([point.architecture for point in chosen]), scaled(known, scale_of(known)))
            values = winsorised(np.array([point.values[objective] for point in chosen]))
            kept = self._kernels[str(objective)] = state, kernels_for(inputs, values, self._codes.coordinates)
        return kept[1]

    def _guess(self, active: Sequence[Point], known: Array, points: Array) -> Array:
        """Foresee the cheap metrics `(n, q)` of candidates, to choose whose are asked for."""
        scale = scale_of(known)
        inputs = Inputs(self._points([point.architecture for point in active]), np.zeros((len(active), 0)))
        asked = Inputs(points, np.zeros((len(points), 0)))
        standard = scaled(known, scale)
        smooth = self._plain(decay=0.25, noise=1e-4, known=False)
        columns = [Gaussian(inputs, standard[:, j], [smooth]).means(asked) for j in range(known.shape[1])]
        return unscaled(np.stack(columns, axis=1), scale) if columns else np.zeros((len(points), 0))

    def _cheap_objectives(
        self, history: History, values: Array, known: Array, names: Sequence[str]
    ) -> dict[int, int]:
        """Which objectives are cheap metrics, and which of them: by name, or by value where they have no names."""
        if history.metric_names:
            return {history.metric_names.index(n): j for j, n in enumerate(names) if n in history.metric_names}
        return {
            objective: j
            for objective in range(values.shape[1])
            for j in range(len(names))
            if np.allclose(values[:, objective], known[:, j], rtol=1e-6, atol=0.0)
        }

    def _plain(self, decay: float, noise: float, known: bool) -> Kernel:
        """A kernel with all decisions equally relevant."""
        relevance = np.full(len(self._codes.coordinates), decay / max(1, len(self._codes.paths)))
        return Kernel(relevance, 2.0, (1.0, float(known), 0.0), noise)

    def _violation(self, architecture: Architecture) -> float:
        metrics = self._metrics_of(architecture)
        return sum(limit.violation(metrics) for limit in self.limits if limit.metric in metrics)

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
