"""The laws of fronts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.objectives.pareto import crowding, front, hypervolume, hypervolume_share, knee, ranks

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


@quick
@given(POINTS)
def test_the_knee_is_the_same_point_in_any_order(points: np.ndarray) -> None:
    members = points[front(points)]
    turned = members[::-1]
    assert list(turned[knee(turned)]) == list(members[knee(members)])


def test_knee_of_one_point_and_of_flat_objectives() -> None:
    assert knee(np.array([[3.0, 4.0, 5.0]])) == 0
    assert knee(np.array([[1.0, 2.0], [1.0, 2.0]])) == 0
    assert knee(np.array([[2.0, 1.0], [1.0, 2.0]])) == 1


HOLED = st.tuples(st.integers(1, 10), st.integers(1, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=st.one_of(GRID, st.just(np.nan)))
)


@quick
@given(HOLED)
def test_members_do_not_dominate_each_other_and_dominate_all_others(points: np.ndarray) -> None:
    mask = front(points)
    members, complete = points[mask], ~np.isnan(points).any(axis=1)
    assert not any(dominates(a, b) for a in members for b in members)
    assert all(any(dominates(a, p) for a in members) for p in points[complete & ~mask])
    assert mask.any() == complete.any()
    assert not (mask & ~complete).any()


@quick
@given(HOLED)
def test_rows_with_a_hole_change_nothing(points: np.ndarray) -> None:
    complete = ~np.isnan(points).any(axis=1)
    assert list(front(points)[complete]) == list(front(points[complete]))
    assert list(ranks(points)[complete]) == list(ranks(points[complete]))
    last = ranks(points)[~complete]
    assert (last == (ranks(points)[complete].max() + 1 if complete.any() else 0)).all()
    reference = np.full(points.shape[1], 7.0)
    assert hypervolume(points, reference) == hypervolume(points[complete], reference)
    assert hypervolume_share(points) == hypervolume_share(points[complete])
    assert hypervolume_share(points, among=points[complete]) == hypervolume_share(points)


@quick
@given(POINTS, st.floats(0, 3))
def test_a_noisy_front_is_what_nobody_dominates_by_more_than_the_noise(points: np.ndarray, width: float) -> None:
    def clearly(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a <= b).all() and (b - a > 2 * width).any())

    expected = [not any(clearly(q, p) for q in points) for p in points]
    assert list(front(points, np.full(points.shape, width))) == expected


@quick
@given(POINTS)
def test_noise_in_one_row_counts_for_its_rivals_too(points: np.ndarray) -> None:
    noise = np.zeros(points.shape)
    noise[0] = 10.0
    mask = front(points, noise)
    assert mask[0]
    alone = front(points[1:]) if len(points) > 1 else np.zeros(0, dtype=bool)
    assert list(mask[1:]) == list(alone)


@quick
@given(st.integers(1, 4).flatmap(lambda m: arrays(float, st.tuples(st.integers(1, 6), st.just(m)), elements=GRID)))
def test_hypervolume_by_inclusion_and_exclusion(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 5.0)
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            total -= (-1) ** size * float(np.maximum(reference - np.max(some, axis=0), 0).prod())
    assert hypervolume(points, reference) == pytest.approx(total)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_of_uneven_points_by_monte_carlo(m: int) -> None:
    rng = np.random.default_rng(m)
    points, samples = rng.random((12, m)), rng.random((40_000, m))
    hit = (points[:, None, :] <= samples[None]).all(axis=2).any(axis=0).mean()
    assert hypervolume(points, np.ones(m)) == pytest.approx(hit, abs=0.01)


@quick
@given(POINTS)
def test_a_dominated_point_adds_nothing_and_a_dominating_one_something(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], 7.0)
    before = hypervolume(points, reference)
    assert hypervolume(np.vstack([points, points[:1] + 0.5]), reference) == pytest.approx(before)
    assert hypervolume(np.vstack([points, points.min(axis=0) - 1]), reference) > before + 0.9


@quick
@given(POINTS)
def test_crowding_is_infinite_at_the_extremes(points: np.ndarray) -> None:
    distance = crowding(points)
    assert (distance >= 0).all()
    for column in points.T:
        assert np.isinf(distance[column == column.min()]).any()
        assert np.isinf(distance[column == column.max()]).any()
    assert np.isinf(distance).sum() <= 2 * points.shape[1]


def test_crowding_adds_the_scaled_gaps_of_all_objectives() -> None:
    points = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 5.0], [4.0, 0.0]])
    assert list(crowding(points)) == [np.inf, 3 / 4 + 5 / 10, 3 / 4 + 6 / 10, np.inf]
    assert list(crowding(points[[2, 0, 3, 1]])) == list(crowding(points)[[2, 0, 3, 1]])


def test_the_share_of_an_objective_without_spread_counts_as_met() -> None:
    among = np.array([[1.0, 5.0], [1.0, 7.0]])
    assert hypervolume_share(among[:1], among=among) == 1.0
    assert hypervolume_share(among[1:], among=among) == 0.0
    assert hypervolume_share(np.array([[np.nan, 5.0]]), among=among) == 0.0
    assert hypervolume_share(np.array([[1.0, 6.0]]), among=among) == 0.5


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[1.0, 9.0], [2.0, 2.0]]), np.array([2.0, 3.0])) == 0.0
    assert hypervolume(np.array([[1.0, 9.0], [1.0, 2.0]]), np.array([2.0, 3.0])) == 1.0


@quick
@given(POINTS)
def test_the_knee_is_on_the_front(points: np.ndarray) -> None:
    members = points[front(points)]
    low, high = members.min(axis=0), members.max(axis=0)
    scaled = (members - low) / np.where(high > low, high - low, 1.0)
    distances = np.linalg.norm(scaled, axis=1)
    assert distances[knee(members)] == pytest.approx(distances.min())
