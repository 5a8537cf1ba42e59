"""The ensemble: its gradient, what it learns, and whether its uncertainty can be believed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import spearmanr

from nas import Space, choose, integer
from nas.samplers.bo.acquisition import NormalScores, Scale
from nas.samplers.bo.gaussian_process import GaussianProcess, Inputs, Kernel, evidence_of, kernels_for
from nas.space.indexed import Indexed

CODES = Indexed(Space({"a": choose("x", "y", "z"), "b": choose("x", "y", "z"), "c": integer(1, 6), "d": choose(0, 1)}))


def drawn(n: int, seed: int) -> tuple[Inputs, np.ndarray]:
    """Architectures whose metric depends on two decisions of four, and on what is known."""
    rng = np.random.default_rng(seed)
    rows = CODES.sample(n, rng)
    known = rng.normal(size=(n, 1))
    values = 3.0 * (rows[:, 0] == 1) + 0.8 * rows[:, 2] + known[:, 0] + 0.05 * rng.normal(size=n)
    return Inputs(CODES.points(rows), known), values


def test_the_gradient_is_that_of_the_evidence() -> None:
    inputs, values = drawn(25, 0)
    loss = evidence_of(inputs, (values - values.mean()) / values.std(), CODES.coordinates)
    at = np.random.default_rng(1).normal(size=4 + 5) * 0.3 - 1.0
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], at) < 1e-3 * np.linalg.norm(loss(at)[1])


def test_predicts_what_it_has_not_seen() -> None:
    inputs, values = drawn(80, 0)
    others, truth = drawn(200, 1)
    gaussian = GaussianProcess(inputs, values, kernels_for(inputs, values, CODES.coordinates))
    means, spreads = gaussian.predict(gaussian.foresee(others))
    assert spearmanr(means, truth)[0] > 0.97
    assert gaussian.means(others) == pytest.approx(means)
    assert 0.85 < np.mean(np.abs(truth - means) < 1.96 * spreads) <= 1.0


def test_finds_which_decisions_matter() -> None:
    inputs, values = drawn(100, 2)
    relevance = kernels_for(inputs, values, CODES.coordinates)[0].relevance
    by_decision = [relevance[CODES.coordinates == column].mean() for column in range(4)]
    assert min(by_decision[0], by_decision[2]) > 3 * max(by_decision[1], by_decision[3])


def test_weights_of_the_ensemble_sum_to_one_and_equal_values_do_no_harm() -> None:
    inputs, values = drawn(30, 3)
    assert sum(kernel.weight for kernel in kernels_for(inputs, values, CODES.coordinates)) == pytest.approx(1.0)
    same = np.full(30, 2.5)
    gaussian = GaussianProcess(inputs, same, kernels_for(inputs, same, CODES.coordinates))
    means, spreads = gaussian.predict(gaussian.foresee(inputs))
    assert means == pytest.approx(same)
    assert np.isfinite(spreads).all()


def test_points_that_are_awaited_are_as_if_they_had_given_what_is_predicted_of_them() -> None:
    inputs, values = drawn(30, 4)
    awaited, _ = drawn(5, 5)
    others, _ = drawn(20, 6)
    kernels = [Kernel(np.full(inputs.decisions.shape[1], 0.2), 2.0, (0.4, 0.4, 0.2), 0.01)]
    gaussian = GaussianProcess(inputs, values, kernels)
    both = Inputs(np.concatenate([inputs.decisions, awaited.decisions]), np.concatenate([inputs.known, awaited.known]))
    told = GaussianProcess(both, np.concatenate([values, gaussian.means(awaited)]), kernels)
    means, spreads = gaussian.predict(gaussian.foresee(others), awaited)
    after, certain = told.predict(told.foresee(others))
    assert means == pytest.approx(after, abs=1e-3)
    before = gaussian.predict(gaussian.foresee(others))[1]
    assert (spreads < before).all()
    # Scale and calibration were made anew: one factor for all.
    ratio = certain / spreads
    assert ratio == pytest.approx(np.full(20, ratio.mean()), rel=1e-3)


def test_scores_are_ranks_and_go_beyond_the_best() -> None:
    scores = NormalScores(np.array([3.0, 1.0, 1.0, 1000.0]))
    given = scores(np.array([-5.0, 1.0, 2.0, 3.0, 1000.0, 2000.0]))
    assert (np.diff(given) > 0).all()
    assert scores(np.array([3.0]))[0] == pytest.approx(0.31863936)


def test_known_metrics_are_found_again() -> None:
    known = np.array([[1.0, -3.0], [10.0, 0.0], [1000.0, 5.0]])
    scale = Scale(known)
    assert scale.inverse(scale(known)) == pytest.approx(known)
    assert scale(known).mean(axis=0) == pytest.approx([0.0, 0.0])
