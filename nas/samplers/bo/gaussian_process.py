"""An ensemble of Gaussian processes that predicts a metric from an architecture (Rasmussen & Williams, 2006).

A kernel sees the decisions, as points whose squared distance is the number of decisions that differ, each as relevant
as the data say, and what is known of the network without training it. Members of the ensemble are the most probable
kernels from several starts, and weigh as much as the evidence for them. The uncertainty is calibrated on predictions
of each point from all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

_STARTS = ((1.0, 1e-2), (0.3, 1e-1))
"""Decay of likeness with the average difference, and noise, that the search for a kernel begins with."""
_STEPS = 20
_NEGLIGIBLE = 0.05
_SAME = 0.05
_JITTER = 1e-6


@dataclass(frozen=True)
class Inputs:
    """Architectures as points.

    Attributes:
        decisions: `(n, p)`, with the squared distance 1 for each decision that differs.
        known: `(n, q)`, standardised.
    """

    decisions: Array
    known: Array

    def __len__(self) -> int:
        return len(self.decisions)


@dataclass(frozen=True)
class Kernel:
    """How alike two architectures are taken to be: the sum of the mix for an architecture with itself.

    Attributes:
        relevance: `(p,)` how fast likeness falls with each coordinate of the decisions.
        length: How far apart what is known may be, in standard deviations.
        mix: Weights of the decisions, of what is known, and of their product.
        noise: Variance of what neither explains.
        weight: Of the kernel in an ensemble.
    """

    relevance: Array
    length: float
    mix: tuple[float, float, float]
    noise: float
    weight: float = 1.0

    def parts(self, first: Inputs, second: Inputs) -> tuple[Array, Array]:
        """Likeness `(n, k)` by decisions alone, and by what is known alone."""
        scale = np.sqrt(self.relevance)
        alike = _decayed(first.decisions * scale, second.decisions * scale)
        if not first.known.shape[1]:
            return alike, np.ones((1, 1))
        unit = np.sqrt(0.5) / self.length
        return alike, _decayed(first.known * unit, second.known * unit)

    def likeness(self, first: Inputs, second: Inputs) -> Array:
        """The covariances `(n, k)` without noise."""
        alike, near = self.parts(first, second)
        decisions, known, both = self.mix
        total = both * near
        total += decisions
        total = total * alike
        near *= known
        total += near
        return total


@dataclass(frozen=True)
class _Member:
    kernel: Kernel
    inverse: Array
    solved: Array
    calibration: float


@dataclass(frozen=True)
class _Glance:
    """What a member makes of `k` points.

    Attributes:
        centre: `(k,)` their values.
        explained: `(k,)` variances that what is known explains.
        weights: `(k, n)` of each value that is known.
    """

    centre: Array
    explained: Array
    weights: Array


@dataclass(frozen=True)
class Foreseen:
    """Points that an ensemble has looked at.

    Attributes:
        inputs: `k` points.
        glances: What each member makes of them.
    """

    inputs: Inputs
    glances: Sequence[_Glance]


class GaussianProcess:
    """The predictions of an ensemble, given points and values.

    Args:
        inputs: `n` architectures.
        values: `(n,)`.
        kernels: Of the members; as `kernels_for` finds them.
    """

    def __init__(self, inputs: Inputs, values: Array, kernels: Sequence[Kernel]) -> None:
        self._inputs = inputs
        self._mean, self._spread = float(values.mean()), float(values.std()) or 1.0
        standard = (values - self._mean) / self._spread
        self._members = [_member(kernel, inputs, standard) for kernel in kernels]

    def means(self, inputs: Inputs) -> Array:
        """Predict `(k,)` values without their uncertainty."""
        total = np.zeros(len(inputs))
        for member in self._members:
            total += member.kernel.weight * (member.kernel.likeness(inputs, self._inputs) @ member.solved)
        return self._mean + self._spread * total

    def foresee(self, inputs: Inputs) -> Foreseen:
        """Look at `k` points once, to predict them again and again."""
        return Foreseen(inputs, [self._glance(member, inputs) for member in self._members])

    def predict(self, foreseen: Foreseen, awaited: Inputs | None = None) -> tuple[Array, Array]:
        """Predict `(k,)` values and the standard deviations of what would be measured.

        Args:
            foreseen: The points.
            awaited: `(m,)` points whose values will be known. They are taken to be what is predicted of them, which
                moves no other prediction and makes those nearby more certain (the kriging believer of Ginsbourger et
                al., 2010).
        """
        mean, square = np.zeros(len(foreseen.inputs)), np.zeros(len(foreseen.inputs))
        for member, glance in zip(self._members, foreseen.glances, strict=True):
            kernel = member.kernel
            explained = glance.explained
            if awaited is not None:
                explained = explained + self._told_by(awaited, member, foreseen.inputs, glance)
            variance = np.maximum(sum(kernel.mix) - explained, 0.0) + kernel.noise
            mean += kernel.weight * glance.centre
            square += kernel.weight * (variance * member.calibration + glance.centre**2)
        return self._mean + self._spread * mean, self._spread * np.sqrt(np.maximum(square - mean**2, 1e-12))

    def _glance(self, member: _Member, inputs: Inputs) -> _Glance:
        like = member.kernel.likeness(inputs, self._inputs)
        weights = like @ member.inverse
        return _Glance(like @ member.solved, np.einsum("ij,ij->i", weights, like), weights)

    def _told_by(self, awaited: Inputs, member: _Member, inputs: Inputs, glance: _Glance) -> Array:
        """How much variance of points `m` awaited ones explain beyond what is known."""
        kernel = member.kernel
        like = kernel.likeness(awaited, self._inputs)
        among = kernel.likeness(awaited, awaited) - like @ member.inverse @ like.T
        covariance = kernel.likeness(awaited, inputs) - like @ glance.weights.T
        factor = cholesky(among + np.eye(len(awaited)) * (kernel.noise + _JITTER), lower=True)
        return (solve_triangular(factor, covariance, lower=True) ** 2).sum(axis=0)


def kernels_for(inputs: Inputs, values: Array, columns: NDArray[np.int64]) -> list[Kernel]:
    """Find the most probable kernels from several starts.

    Args:
        inputs: `n` architectures.
        values: `(n,)`.
        columns: `(p,)` the decision that each coordinate belongs to.

    Returns:
        The members of an ensemble, with weights that sum to 1.
    """
    standard = (values - values.mean()) / (values.std() or 1.0)
    search = _Search(inputs, standard, columns)
    found = [search.best(decay, noise) for decay, noise in _STARTS]
    if _is_same(found[0][1], found[-1][1]):
        found = [min(found, key=lambda pair: pair[0])]
    least = min(loss for loss, _ in found)
    weights = np.exp([least - loss for loss, _ in found])
    weights = np.where(weights < _NEGLIGIBLE * weights.sum(), 0.0, weights)
    return [
        replace(kernel, weight=float(weight / weights.sum()))
        for (_, kernel), weight in zip(found, weights, strict=True)
        if weight
    ]


def _is_same(first: Kernel, second: Kernel) -> bool:
    """Whether two searches ended at the same kernel."""
    return np.allclose(first.relevance, second.relevance, rtol=_SAME, atol=1e-3) and np.allclose(
        (first.length, *first.mix, first.noise), (second.length, *second.mix, second.noise), rtol=_SAME, atol=1e-3
    )


def evidence_of(inputs: Inputs, standard: Array, columns: NDArray[np.int64]) -> Callable[[Array], tuple[float, Array]]:
    """The negative log evidence for a kernel, and its gradient, from the logarithms of the kernel's parts.

    Args:
        inputs: `n` architectures.
        standard: `(n,)` standardised values.
        columns: `(p,)` the decision, of `d`, that each coordinate belongs to.

    Returns:
        A function of `(d + 5,)`: relevance of each decision, length, the mix's three weights, noise.
    """
    return _Search(inputs, standard, columns).loss


@dataclass(frozen=True)
class _Search:
    inputs: Inputs
    standard: Array
    columns: NDArray[np.int64]

    def best(self, decay: float, noise: float) -> tuple[float, Kernel]:
        """Go downhill from a start, held by a prior; gives the negative log posterior and the kernel."""
        count = int(self.columns.max()) + 1 if len(self.columns) else 0
        unit = float(_squared(self.inputs.decisions, self.inputs.decisions).mean()) or 1.0
        third = np.log(1 / 3)
        mix, loose = ((third,) * 3, 1.0) if self.inputs.known.shape[1] else ((0.0, -20.0, -20.0), 1e-3)
        centre = np.array([*np.full(count, -np.log(unit)), np.log(2.0), *mix, np.log(1e-2)])
        spread = np.array([*np.ones(count), 0.7, 1.0, loose, loose, 1.5])
        start = centre.copy()
        start[:count] += np.log(decay)
        start[-1] = np.log(noise)

        def posterior(logs: Array) -> tuple[float, Array]:
            loss, gradient = self.loss(logs)
            away = (logs - centre) / spread
            return loss + 0.5 * float(away @ away), gradient + away / spread

        result = minimize(posterior, start, method="L-BFGS-B", jac=True, options={"maxiter": _STEPS})
        return float(result.fun), self._kernel(result.x)

    def _kernel(self, logs: Array) -> Kernel:
        length, first, second, third, noise = np.exp(np.clip(logs[-5:], -20, 8))
        relevance = np.exp(np.clip(logs[:-5], -20, 8))
        return Kernel(relevance[self.columns], float(length), (float(first), float(second), float(third)), float(noise))

    def loss(self, logs: Array) -> tuple[float, Array]:
        """Negative log evidence and its gradient; see `evidence_of`."""
        kernel, n = self._kernel(logs), len(self.standard)
        alike, near = kernel.parts(self.inputs, self.inputs)
        decisions, known, both = kernel.mix
        product = both * alike * near
        try:
            factor = cholesky(
                decisions * alike + known * near + product + np.eye(n) * (kernel.noise + _JITTER), lower=True
            )
        except LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = cho_solve((factor, True), np.eye(n))
        solved = inverse @ self.standard
        evidence = -0.5 * self.standard @ solved - np.log(np.diag(factor)).sum()
        pull = 0.5 * (np.outer(solved, solved) - inverse)
        by_decisions, by_known = pull * (decisions * alike + product), pull * (known * near + product)
        relevance = np.bincount(
            self.columns, -kernel.relevance * _weighed(self.inputs.decisions, by_decisions), len(logs) - 5
        )
        length = _weighed(self.inputs.known, by_known).sum() / kernel.length**2
        mixed = [decisions * (pull * alike).sum(), known * (pull * near).sum(), (pull * product).sum()]
        gradient = np.array([*relevance, length, *mixed, kernel.noise * np.trace(pull)])
        return -float(evidence), -gradient


def _weighed(points: Array, weights: Array) -> Array:
    """For each coordinate of `(n, p)` points, the sum over all pairs of weight `(n, n)` times squared difference."""
    total = weights.sum(axis=1) @ points**2
    return 2 * (total - (points * (weights @ points)).sum(axis=0))


def _member(kernel: Kernel, inputs: Inputs, standard: Array) -> _Member:
    covariance = kernel.likeness(inputs, inputs) + np.eye(len(inputs)) * (kernel.noise + _JITTER)
    inverse = cho_solve((cholesky(covariance, lower=True), True), np.eye(len(inputs)))
    solved = inverse @ standard
    left_out = solved**2 / np.diag(inverse)
    return _Member(kernel, inverse, solved, float(np.clip(left_out.mean(), 0.5, 4.0)))


def _squared(first: Array, second: Array) -> Array:
    """Squared distances `(n, k)` between `(n, p)` and `(k, p)` points."""
    distances = first @ (-2 * second.T)
    distances += (first**2).sum(axis=1)[:, None]
    distances += (second**2).sum(axis=1)
    return np.maximum(distances, 0.0, out=distances)


def _decayed(first: Array, second: Array) -> Array:
    """Likeness `(n, k)` of points, which falls with the exponential of their squared distance."""
    distances = _squared(first, second)
    np.negative(distances, out=distances)
    return np.exp(distances, out=distances)
