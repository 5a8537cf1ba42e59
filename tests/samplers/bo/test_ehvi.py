"""The boxes and the expectation over them, held against hypervolume and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.objectives.pareto import hypervolume
from nas.samplers.bo.ehvi import boxes, expected_improvement


@given(st.integers(1, 4), st.integers(0, 12), st.integers(0, 10_000))
def test_what_a_known_point_gains_is_the_difference_of_hypervolumes(m: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front, reference = rng.integers(0, 6, (n, m)).astype(float), np.full(m, 5.0)
    candidates = rng.integers(-2, 7, (5, m)).astype(float)
    gains = expected_improvement(candidates, np.zeros((5, m)), *boxes(front, reference))
    before = hypervolume(front, reference)
    after = [hypervolume(np.vstack([front, candidate]), reference) for candidate in candidates]
    assert gains == pytest.approx(np.array(after) - before, abs=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_expectation_is_the_mean_over_samples(m: int) -> None:
    rng = np.random.default_rng(m)
    front, reference = rng.random((6, m)), np.full(m, 1.2)
    mean, spread = rng.random((1, m)), np.full((1, m), 0.3)
    if m > 1:
        spread[0, -1] = 0.0
    expected = expected_improvement(mean, spread, *boxes(front, reference))[0]
    drawn = mean + spread * rng.standard_normal((20_000, m))
    gains = expected_improvement(drawn, np.zeros_like(drawn), *boxes(front, reference))
    assert expected == pytest.approx(gains.mean(), abs=4 * gains.std() / np.sqrt(len(drawn)))


def test_nothing_is_gained_beyond_the_reference() -> None:
    corners = boxes(np.zeros((0, 2)), np.array([1.0, 1.0]))
    assert expected_improvement(np.array([[1.5, 0.0], [0.0, 2.0]]), np.zeros((2, 2)), *corners).tolist() == [0.0, 0.0]
