"""What rewards prefer."""

from __future__ import annotations

import numpy as np
import pytest

from nas.samplers.rl.rewards import Absolute, Chebyshev, Hard, Soft, Weighted

# accuracy 0.9, 0.9, 0.9, 0.95, negated, at latencies 5, 10, 20, 20
VALUES = np.array([(-0.9, 5.0), (-0.9, 10.0), (-0.9, 20.0), (-0.95, 20.0)])


def test_weighted_is_the_first_objective_or_the_sum() -> None:
    assert Weighted()(VALUES) == pytest.approx([0.9, 0.9, 0.9, 0.95])
    assert Weighted((1.0, 0.01))(VALUES) == pytest.approx([0.85, 0.8, 0.7, 0.75])


def test_soft_trades_twice_the_latency_for_five_percent_of_accuracy() -> None:
    rewards = Soft(target=10.0)(VALUES)
    assert rewards[1] == pytest.approx(0.9)
    assert rewards[2] / rewards[1] == pytest.approx(2**-0.07)
    assert rewards[0] > rewards[1] > rewards[2]
    assert rewards[3] / rewards[1] == pytest.approx(1.0, abs=0.01)


def test_hard_does_not_reward_what_is_faster_than_the_target() -> None:
    assert Hard(target=10.0)(VALUES) == pytest.approx([0.9, 0.9, 0.45, 0.475])


def test_absolute_is_best_on_the_target() -> None:
    assert Absolute(target=10.0, factor=-0.1)(VALUES) == pytest.approx([0.85, 0.9, 0.8, 0.85])


def test_chebyshev_finds_each_point_of_a_concave_front() -> None:
    front = np.array([(0.0, 1.0), (0.6, 0.6), (1.0, 0.0)])
    best = [int(Chebyshev((w, 1 - w))(front).argmax()) for w in (0.95, 0.5, 0.05)]
    assert best == [0, 1, 2]


def test_chebyshev_takes_an_objective_without_a_range_as_met() -> None:
    rewards = Chebyshev((0.5, 0.5))(np.array([(0.0, 3.0), (1.0, 3.0), (2.0, 3.0)]))
    assert rewards == pytest.approx([0.0, -0.2625, -0.525])
    assert Chebyshev((0.5, 0.5))(np.array([(1.0, 3.0)])) == pytest.approx([0.0])


def test_chebyshev_prefers_what_dominates() -> None:
    first, second = Chebyshev((0.9, 0.1))(np.array([(0.5, 0.1), (0.5, 0.2)]))
    assert first > second


def test_chebyshev_is_not_moved_by_how_bad_the_worst_is() -> None:
    front = [(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)]
    mild, awful = (Chebyshev((0.7, 0.3))(np.array([*front, (worst, 3.0)])) for worst in (3.0, 1e9))
    assert mild == pytest.approx(awful)
