"""REINFORCE and PPO on the controller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nas import Architecture, Space, choose
from nas.errors import SamplerError
from nas.samplers import Point
from nas.samplers.rl.reinforce import Reinforce, advantages
from nas.samplers.rl.rewards import Absolute, Weighted

WIDTH = 6


@dataclass(frozen=True)
class Net:
    layers: Any


SPACE = Space(Net(tuple(choose(*range(5)) for _ in range(WIDTH))))


def total(architecture: Architecture) -> float:
    return float(sum(SPACE.decode(architecture).layers))


def run(
    sampler: Reinforce, judge: Callable[[Architecture], tuple[float, ...]], trials: int, objectives: int = 1
) -> tuple[optuna.Study, list[Architecture]]:
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    asked: list[Architecture] = []
    for _ in range(trials):
        trial = study.ask()
        asked.append(sampler.space.ask(trial))
        study.tell(trial, judge(asked[-1]))
    return study, asked


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo"])
def test_the_policy_goes_where_the_reward_is(algorithm: Any) -> None:
    _, asked = run(Reinforce(SPACE, algorithm=algorithm), lambda a: (-total(a),), 200)
    assert np.mean([total(a) for a in asked[-20:]]) > 3 * WIDTH


def test_preferences_lead_to_different_ends_of_the_front() -> None:
    sampler = Reinforce(SPACE)

    def judge(architecture: Architecture) -> tuple[float, float]:
        return -np.sqrt(total(architecture)), total(architecture)

    _, asked = run(sampler, judge, 250, 2)
    wanted = np.array([sampler.preferences(number, 2)[0] for number in range(100, 250)])
    size = np.array([total(architecture) for architecture in asked[100:]])
    assert size[wanted > 0.7].mean() > size[wanted < 0.3].mean() + 3


def test_preferences_follow_from_the_number() -> None:
    first, again, other = Reinforce(SPACE, 1), Reinforce(SPACE, 1), Reinforce(SPACE, 2)
    assert first.preferences(7, 3) == again.preferences(7, 3) != other.preferences(7, 3)
    assert sum(first.preferences(7, 3)) == pytest.approx(1.0)


def test_a_reward_with_a_target_keeps_the_policy_there() -> None:
    sampler = Reinforce(SPACE, reward=Absolute(target=16.0, factor=-100.0))
    _, asked = run(sampler, lambda a: (-total(a), total(a)), 200, 2)
    assert np.mean([total(a) for a in asked[-20:]]) == pytest.approx(16.0, abs=1.5)


def test_the_policy_avoids_what_fails_and_what_breaks_a_limit() -> None:
    sampler = Reinforce(SPACE)
    study = optuna.create_study(sampler=sampler)
    asked: list[int] = []
    for _ in range(120):
        trial = study.ask()
        first = SPACE.decode(SPACE.ask(trial)).layers[0]
        asked.append(first)
        if first in (3, 4):
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_constraint("latency", float(first == 2))
            study.tell(trial, 0.0)
    assert np.mean([first < 2 for first in asked[-30:]]) > 0.7


def point(number: int, values: tuple[float, ...] = (), violation: float = 0.0) -> Point:
    return Point(number, Architecture({}, None), values, violation)


def test_advantages_are_normalised_and_unmoved_by_outliers() -> None:
    near, far = ([point(i, (v,)) for i, v in enumerate([*range(99), last])] for last in (99.0, 1e9))
    scores = advantages(near, Weighted())
    assert np.array_equal(scores, advantages(far, Weighted()))
    assert scores.mean() == pytest.approx(0.0)
    assert scores.std() == pytest.approx(1.0, abs=0.1)
    assert list(np.argsort(-scores)) == list(range(100))


def test_advantages_put_the_refused_below_and_the_failed_last() -> None:
    points = [point(0), point(1, (5.0,), 2.0), point(2, (), 1.0), point(3, (9.0,)), point(4, (8.0,))]
    assert list(np.argsort(-advantages(points, Weighted()))) == [4, 3, 2, 1, 0]


def test_equals_share_their_advantage() -> None:
    assert not advantages([point(i) for i in range(5)], Weighted()).any()
    first, second, third = advantages([point(0, (1.0,)), point(1, (1.0,)), point(2, (2.0,))], Weighted())
    assert first == second > 0 > third


def test_an_unknown_algorithm_is_refused() -> None:
    wrong: Any = "pp0"
    with pytest.raises(SamplerError, match="unknown algorithm 'pp0'.*Did you mean 'ppo'"):
        Reinforce(SPACE, algorithm=wrong)


def test_another_study_is_another_lesson() -> None:
    sampler = Reinforce(SPACE)
    run(sampler, lambda a: (-total(a),), 60)
    _, again = run(sampler, lambda a: (total(a),), 60)
    _, fresh = run(Reinforce(SPACE), lambda a: (total(a),), 60)
    assert again == fresh


def test_the_samplers_can_be_named_without_torch() -> None:
    script = "import sys, nas.samplers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
