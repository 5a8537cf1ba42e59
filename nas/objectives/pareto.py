"""Dominance, fronts, crowding, hypervolume and knee of points whose every coordinate is to be minimised.

Points are rows of an `(n, m)` array, `n` points and `m` objectives. A row with a NaN is on no front. Equal rows do
not dominate each other: all of them are on a front or none is.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def front(points: Points, noise: Points | None = None) -> NDArray[np.bool_]:
    """Tell which points no other dominates.

    Args:
        points: `(n, m)`.
        noise: `(n, m)` half-widths. With it a point is dominated only by one that is no worse anywhere and better
            somewhere by more than both half-widths, so the result contains the front without noise.

    Returns:
        `(n,)` mask.
    """
    n = len(points)
    mask: NDArray[np.bool_] = np.asarray(~np.isnan(points).any(axis=1)) if n else np.zeros(0, dtype=np.bool_)
    if noise is not None and noise.any():
        for i in np.flatnonzero(mask):
            better = points[i] - points > np.maximum(noise, 0) + noise[i]
            mask[i] = not ((points <= points[i]).all(axis=1) & better.any(axis=1)).any()
        return mask
    left = np.flatnonzero(mask)
    if len(left) and points.shape[1] == 2:
        distinct, place = np.unique(points[left], axis=0, return_inverse=True)
        lowest = np.minimum.accumulate(distinct[:, 1])
        mask[left] = np.append(True, distinct[1:, 1] < lowest[:-1])[place.reshape(-1)]
        return mask
    left = left[np.lexsort(points[left].T[::-1])] if len(left) else left
    mask[:] = False
    while len(left):  # what dominates a point is sorted before it: the first one left is on the front
        first = points[left[0]]
        mask[left[0]] = True
        rest = points[left[1:]]
        left = left[1:][~((first <= rest).all(axis=1) & (first < rest).any(axis=1))]
    return mask


def ranks(points: Points) -> NDArray[np.int64]:
    """Sort points into fronts (Deb et al., 2002): 0 for the front, 1 for the front of the rest, and so on.

    Returns:
        `(n,)`; rows with a NaN get the last rank of all, alone.
    """
    result = np.full(len(points), -1, dtype=np.int64)
    left = np.flatnonzero(~np.isnan(points).any(axis=1)) if len(points) else np.zeros(0, dtype=np.int64)
    if len(left) and points.shape[1] == 2:
        found = _ranks_in_the_plane(points[left])
        result[left] = found
        left, rank = left[:0], int(found.max()) + 1
    else:
        rank = 0
    while len(left):
        members = front(points[left])
        result[left[members]] = rank
        left, rank = left[~members], rank + 1
    result[result < 0] = rank
    return result


def _ranks_in_the_plane(points: Points) -> NDArray[np.int64]:
    """The ranks of `(n, 2)` points in one sweep along the first objective (Jensen, 2003)."""
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    lowest: list[float] = []  # the second objective of the last point of each front; it rises from front to front
    found = np.zeros(len(distinct), np.int64)
    for i, second in enumerate(distinct[:, 1].tolist()):
        found[i] = rank = bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
    return found[place.reshape(-1)]


def crowding(points: Points) -> NDArray[np.float64]:
    """Distance to the neighbours along each objective, summed (Deb et al., 2002); infinite at the extremes.

    Returns:
        `(n,)`, for the points taken as one front.
    """
    n, m = points.shape
    distance = np.zeros(n)
    for k in range(m if n else 0):
        order = np.argsort(points[:, k], kind="stable")
        column = points[order, k]
        span = column[-1] - column[0]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[2:] - column[:-2]) / span
    return distance


def hypervolume(points: Points, reference: Points) -> float:
    """Volume that the points dominate within the reference point; exact, by slicing along the last objective.

    Args:
        points: `(n, m)`; those not better than the reference everywhere add nothing.
        reference: `(m,)`.
    """
    inside = points[(points < reference).all(axis=1)] if len(points) else points
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(reference[0] - inside.min())
    if inside.shape[1] == 2:
        ordered = inside[np.lexsort((inside[:, 1], inside[:, 0]))]
        depths = np.concatenate([[reference[1]], np.minimum.accumulate(ordered[:, 1])])
        return float(((reference[0] - ordered[:, 0]) * np.maximum(depths[:-1] - ordered[:, 1], 0)).sum())
    inside = inside[front(inside)]
    ordered = inside[np.argsort(inside[:, -1], kind="stable")]
    levels = np.append(ordered[:, -1], reference[-1])
    slabs = np.diff(levels)
    return float(
        sum(slab * hypervolume(ordered[: i + 1, :-1], reference[:-1]) for i, slab in enumerate(slabs) if slab > 0)
    )


def hypervolume_share(points: Points, among: Points | None = None) -> float:
    """Hypervolume as a share of the box between the best and the worst coordinates of `among`.

    Args:
        points: `(n, m)`.
        among: `(k, m)` points that span the box; by default the points themselves.

    Returns:
        Between 0 and 1; an objective without any spread counts as met, and 0 where there is no point.
    """
    points = points[~np.isnan(points).any(axis=1)] if len(points) else points
    span = points if among is None else among
    span = span[~np.isnan(span).any(axis=1)] if len(span) else span
    if not len(span) or not len(points):
        return 0.0
    ideal, worst = span.min(axis=0), span.max(axis=0)
    spread = worst > ideal
    if not spread.any():
        return 1.0
    scaled = (points[:, spread] - ideal[spread]) / (worst - ideal)[spread]
    return hypervolume(np.maximum(scaled, 0.0), np.ones(int(spread.sum())))


def knee(points: Points) -> int:
    """Find the point nearest to the ideal one, after scaling each objective to the front's range.

    This is the compromise solution of Yu (1973) with the Euclidean norm; unlike the distance to the line between the
    extremes it is defined for any number of objectives and for concave fronts. Ties go to the best first objective,
    then second, and so on.

    Args:
        points: `(n, m)`, a front of at least one point.

    Raises:
        ValueError: If there is no point.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    distances = np.linalg.norm(scaled, axis=1).round(12)
    return int(np.lexsort((*scaled.T[::-1], distances))[0])
