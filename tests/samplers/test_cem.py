"""The cross-entropy method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest

from nas import Space, choose, integer
from nas.samplers.cem import CrossEntropy, drawn, frequencies
from nas.space.indexed import Indexed


@dataclass(frozen=True)
class Net:
    layers: Any


@dataclass(frozen=True)
class Fancy:
    expand: Any


SPACE = Space(Net((choose(None, Fancy(choose(1, 2))), *(choose(*range(5)) for _ in range(4)))))


def test_frequencies_count_only_the_rows_that_decide() -> None:
    codes = Indexed(SPACE)
    rows = np.array([[0, -1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [1, 1, 0, 0, 0, 1], [0, -1, 0, 0, 0, 1]], np.int16)
    first, inside, *_, last = frequencies(codes, rows, 0.5)
    assert first == pytest.approx([0.5, 0.5])
    assert inside == pytest.approx([0.5 / 3, 2.5 / 3])
    assert last == pytest.approx(np.array([1.5, 3.5, 0.5, 0.5, 0.5]) / 6.5)


def test_what_nobody_decides_is_uniform() -> None:
    codes = Indexed(SPACE)
    _, inside, *_ = frequencies(codes, np.array([[0, -1, 0, 0, 0, 0]], np.int16), 0.5)
    assert inside == pytest.approx([0.5, 0.5])


def test_rows_are_drawn_by_the_probabilities() -> None:
    codes = Indexed(SPACE)
    rng = np.random.default_rng(0)
    marginals = [np.array([0.2, 0.8]), np.array([1.0, 0.0]), *[np.array([0.0, 1.0, 0.0, 0.0, 0.0])] * 4]
    rows = np.vstack([drawn(codes, marginals, rng) for _ in range(200)])
    assert (rows[:, 0] == 1).mean() == pytest.approx(0.8, abs=0.05)
    assert np.array_equal(rows[:, 1], np.where(rows[:, 0] == 1, 0, -1))
    assert (rows[:, 2:] == 1).all()


def test_decisions_of_the_elite_spread() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=CrossEntropy(SPACE))
    sums: list[int] = []
    for _ in range(100):
        trial = study.ask()
        sums.append(sum(SPACE.decode(SPACE.ask(trial)).layers[1:]))
        study.tell(trial, -sums[-1])
    assert np.mean(sums[:20]) == pytest.approx(8, abs=1.5)
    assert np.mean(sums[-20:]) > 12


def test_a_space_of_one_choice_is_searched_to_its_end() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = Space(Net(integer(1, 30)))
    study = optuna.create_study(sampler=CrossEntropy(space, start=5))
    seen: set[int] = set()
    for _ in range(30):
        trial = study.ask()
        seen.add(space.decode(space.ask(trial)).layers)
        study.tell(trial, 1.0)
    assert len(seen) == 30
