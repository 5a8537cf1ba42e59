"""The laws of fronts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.pareto import crowding, front, hypervolume, hypervolume_share, knee, ranks

GRID = st.integers(0, 6).map(float)
POINTS = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(lambda shape: arrays(float, shape, elements=GRID))
quick = settings(max_examples=150, deadline=None)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@quick
@given(POINTS)
def test_a_front_is_what_nobody_dominates(points: np.ndarray) -> None:
    mask = front(points)
    assert list(mask) == [not any(dominates(q, p) for q in points) for p in points]


@quick
@given(POINTS, st.randoms())
def test_order_does_not_matter(points: np.ndarray, rng: object) -> None:
    order = np.random.default_rng(0).permutation(len(points))
    assert list(front(points[order])) == list(front(points)[order])
    assert list(ranks(points[order])) == list(ranks(points)[order])
    reference = np.full(points.shape[1], 7.0)
    assert hypervolume(points[order], reference) == pytest.approx(hypervolume(points, reference))


@quick
@given(POINTS, st.floats(0, 3))
def test_noise_only_adds(points: np.ndarray, width: float) -> None:
    noisy = front(points, np.full(points.shape, width))
    assert (noisy | ~front(points)).all()
    assert list(front(points, np.zeros(points.shape))) == list(front(points))


@quick
@given(POINTS)
def test_ranks_peel_fronts(points: np.ndarray) -> None:
    rank = ranks(points)
    assert list(rank == 0) == list(front(points))
    for i, r in enumerate(rank):
        if r:
            assert any(dominates(q, points[i]) for q in points[rank == r - 1])


@quick
@given(POINTS)
def test_hypervolume_is_the_number_of_dominated_cells(points: np.ndarray) -> None:
    m = points.shape[1]
    corners = np.array(list(itertools.product(range(7), repeat=m)), dtype=float)
    cells = (points[:, None, :] <= corners[None]).all(axis=2).any(axis=0).sum()
    assert hypervolume(points, np.full(m, 7.0)) == pytest.approx(cells)


@quick
@given(POINTS, POINTS)
def test_hypervolume_never_falls_and_ignores_the_dominated(points: np.ndarray, more: np.ndarray) -> None:
    m = min(points.shape[1], more.shape[1])
    few, many = points[:, :m], np.vstack([points[:, :m], more[:, :m]])
    reference = np.full(m, 7.0)
    assert hypervolume(many, reference) >= hypervolume(few, reference) - 1e-9
    assert hypervolume(many[front(many)], reference) == pytest.approx(hypervolume(many, reference))
    assert 0 <= hypervolume_share(few, among=many) <= 1 + 1e-9


def test_golden_values() -> None:
    points = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 1.0], [4.0, 4.0]])
    assert list(front(points)) == [True, True, True, False]
    assert hypervolume(points, np.array([6.0, 6.0])) == 5 + 8 + 4
    assert list(crowding(points[:3])) == [np.inf, pytest.approx(2.0), np.inf]
    assert knee(points[:3]) == 1
    assert hypervolume(np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 0.0]]), np.full(3, 3.0)) == 8 + 9 - 4
    assert hypervolume_share(np.array([[0.0, 1.0], [1.0, 0.0]])) == 0.0
    assert hypervolume_share(np.array([[3.0, 3.0]])) == 1.0


def test_ties_and_missing_values() -> None:
    points = np.array([[1.0, 1.0], [1.0, 1.0], [np.nan, 0.0], [2.0, 2.0]])
    assert list(front(points)) == [True, True, False, False]
    assert list(ranks(points)) == [0, 0, 2, 1]
    assert list(front(points, np.full(points.shape, 0.1))) == [True, True, False, False]


def test_closer_than_noise_is_a_tie() -> None:
    points = np.array([[1.0, 1.0], [1.1, 1.0], [1.5, 1.0]])
    noise = np.array([[0.1, 0.0]] * 3)
    assert list(front(points)) == [True, False, False]
    assert list(front(points, noise)) == [True, True, False]


def test_nothing_in_nothing_out() -> None:
    empty = np.zeros((0, 2))
    assert len(front(empty)) == len(ranks(empty)) == len(crowding(empty)) == 0
    assert hypervolume(empty, np.ones(2)) == hypervolume_share(empty) == 0.0
    with pytest.raises(ValueError):
        knee(empty)


def test_knee_of_one_point_and_of_flat_objectives() -> None:
    assert knee(np.array([[3.0, 4.0, 5.0]])) == 0
    assert knee(np.array([[1.0, 2.0], [1.0, 2.0]])) == 0
    assert knee(np.array([[2.0, 1.0], [1.0, 2.0]])) == 1
