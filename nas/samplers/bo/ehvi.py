"""Expected improvement of the hypervolume, exact for independent normal predictions, some of which may be certain.

After Emmerich et al. (2006) and Yang et al. (2019). What a new point can gain is cut into boxes; over a box the
expectation is a product of one-dimensional ones. A metric that is known beforehand, such as a latency that does not
depend on weights, is a prediction without spread.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from nas.objectives import pareto

Array = NDArray[np.float64]


def boxes(points: Array, reference: Array) -> tuple[Array, Array]:
    """Cut what no point dominates, and the reference point bounds, into boxes that do not overlap.

    Args:
        points: `(n, m)`, to be minimised.
        reference: `(m,)`.

    Returns:
        Lower and upper corners `(k, m)`; a lower corner may be minus infinity.
    """
    inside = points[(points < reference).all(axis=1)]
    return _cut(inside[pareto.front(inside)], reference)


def _cut(front: Array, reference: Array) -> tuple[Array, Array]:
    m = len(reference)
    if m == 1:
        best = min(front[:, 0].min(), reference[0]) if len(front) else reference[0]
        return np.array([[-np.inf]]), np.array([[best]])
    if m == 2:
        ordered = front[np.argsort(front[:, 0])]
        edges = np.concatenate([[-np.inf], ordered[:, 0], reference[:1]])
        below = np.concatenate([reference[1:], ordered[:, 1]])
        lower = np.stack([edges[:-1], np.full(len(below), -np.inf)], axis=1)
        return lower, np.stack([edges[1:], below], axis=1)
    levels = np.unique(front[:, -1])
    edges = np.concatenate([[-np.inf], levels, reference[-1:]])
    corners: list[tuple[Array, Array]] = []
    for low, high in pairwise(edges):
        below = front[front[:, -1] <= low, :-1]
        low_corners, high_corners = _cut(below[pareto.front(below)], reference[:-1])
        corners.append((_with(low_corners, low), _with(high_corners, high)))
    return np.concatenate([low for low, _ in corners]), np.concatenate([high for _, high in corners])


def _with(corners: Array, last: float) -> Array:
    return np.column_stack([corners, np.full(len(corners), last)])


def expected_improvement(means: Array, spreads: Array, lower: Array, upper: Array) -> Array:
    """Expected hypervolume that each candidate adds.

    Args:
        means: `(n, m)`.
        spreads: `(n, m)` standard deviations; 0 for what is known.
        lower: `(k, m)` corners of `boxes`.
        upper: `(k, m)`.

    Returns:
        `(n,)`.
    """
    gains = np.ones((len(means), len(lower)))
    for j in range(means.shape[1]):
        edges, places = np.unique(np.concatenate([lower[:, j], upper[:, j]]), return_inverse=True)
        below = _expected_below(means[:, j, None], spreads[:, j, None], edges)
        gains *= below[:, places[len(lower) :]] - below[:, places[: len(lower)]]
    return gains.sum(axis=1)


def _expected_below(mean: Array, spread: Array, edge: Array) -> Array:
    """How far a normal variable stays below an edge, in expectation: E max(0, edge - y)."""
    finite = np.isfinite(edge)
    distance = np.where(finite, edge, 0.0) - mean
    if not spread.any():
        return np.where(finite, np.maximum(distance, 0.0), 0.0)
    scale = np.maximum(spread, 1e-12)
    z = np.clip(distance / scale, -40.0, 40.0)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    expected = np.where(spread > 1e-12, distance * ndtr(z) + scale * density, np.maximum(distance, 0.0))
    return np.where(finite, np.maximum(expected, 0.0), 0.0)
