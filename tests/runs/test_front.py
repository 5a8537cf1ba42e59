"""From trials and models to their front."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from nas.objectives.objective import parse_limit, parse_objective
from nas.runs.front import (
    front_of,
    hypervolume_of,
    hypervolume_over_trials,
    interval_of,
    knee_of,
    nearest,
    number_of,
)
from nas.runs.ledger import State, Trial

BOTH = (parse_objective("accuracy"), parse_objective("latency_ms"))


def trial(number: int, accuracy: float, latency: float, state: State = "complete", **more: Any) -> Trial:
    metrics: dict[str, Any] = {"accuracy": accuracy, "latency_ms": latency}
    finished = more.pop("finished", float(number))
    return Trial(number, state, {}, metrics | more, finished=finished)


def numbers(trials: list[Trial]) -> list[int]:
    return [t.number for t in trials]


def test_more_accuracy_and_less_latency_are_better() -> None:
    trials = [trial(0, 0.9, 5.0), trial(1, 0.8, 1.0), trial(2, 0.7, 2.0), trial(3, 0.9, 6.0), trial(4, 0.95, 9.0)]
    assert numbers(front_of(trials, BOTH)) == [0, 1, 4]
    assert numbers(front_of(trials[::-1], BOTH)) == [4, 1, 0]


def test_one_objective_keeps_the_best_and_its_equals() -> None:
    trials = [trial(0, 0.9, 5.0), trial(1, 0.8, 1.0), trial(2, 0.9, 2.0)]
    assert numbers(front_of(trials, BOTH[:1])) == [0, 2]
    assert numbers(front_of(trials, BOTH[1:])) == [1]


def test_what_lacks_an_objective_is_on_no_front() -> None:
    missing = Trial(0, "complete", {}, {"accuracy": 1.0})
    trials = [missing, trial(1, math.nan, 0.1), trial(2, 0.5, 1.0)]
    assert numbers(front_of(trials, BOTH)) == [2]
    assert numbers(front_of(trials, BOTH[:1])) == [0]
    assert front_of([missing], BOTH) == []


def test_latencies_closer_than_their_intervals_are_ties() -> None:
    def pair(half: float | None) -> list[Trial]:
        def interval(middle: float) -> dict[str, Any]:
            return {} if half is None else {"latency_interval_ms": (middle - half, middle + half)}

        return [trial(0, 0.9, 1.0, **interval(1.0)), trial(1, 0.9, 1.1, **interval(1.1))]

    assert numbers(front_of(pair(None), BOTH)) == [0]
    assert numbers(front_of(pair(0.04), BOTH)) == [0]
    assert numbers(front_of(pair(0.06), BOTH)) == [0, 1]


def test_an_interval_that_is_null_is_no_noise() -> None:
    trials = [trial(0, 0.9, 1.0, latency_interval_ms=None), trial(1, 0.9, 1.1, latency_interval_ms=None)]
    assert numbers(front_of(trials, BOTH)) == [0]


def test_noise_of_the_latency_excuses_no_worse_accuracy_when_latency_is_no_objective() -> None:
    wide = {"latency_interval_ms": (0.0, 10.0)}
    trials = [trial(0, 0.9, 5.0, **wide), trial(1, 0.8, 5.0, **wide)]
    assert numbers(front_of(trials, BOTH[:1])) == [0]


def test_no_items_no_front() -> None:
    assert front_of([], BOTH) == []
    assert hypervolume_over_trials([], BOTH) == []
    assert hypervolume_of([], BOTH) == 0.0
    with pytest.raises(ValueError):
        knee_of([], BOTH)


def test_the_knee_is_the_compromise_and_never_dominated() -> None:
    trials = [trial(0, 0.99, 10.0), trial(1, 0.95, 2.0), trial(2, 0.5, 1.0), trial(3, 0.9, 3.0)]
    assert knee_of(trials, BOTH).number == 1
    assert knee_of(trials, BOTH[:1]).number == 0
    rng = random.Random(0)
    for _ in range(50):
        some = [trial(i, rng.random(), rng.random()) for i in range(8)]
        assert knee_of(some, BOTH) in front_of(some, BOTH)


def test_the_hypervolume_grows_to_its_final_value() -> None:
    rng = random.Random(1)
    trials = [trial(i, rng.random(), rng.random()) for i in range(20)]
    course = hypervolume_over_trials(trials, BOTH)
    assert len(course) == 20
    assert course == sorted(course)
    assert 0 <= course[0] < course[-1] <= 1
    assert course[-1] == pytest.approx(hypervolume_of(trials, BOTH))


def test_the_course_is_by_the_time_of_finishing() -> None:
    trials = [trial(0, 0.5, 0.5, finished=3.0), trial(1, 0.0, 1.0, finished=1.0), trial(2, 1.0, 0.0, finished=2.0)]
    assert hypervolume_over_trials(trials, BOTH) == [0.0, 1.0, 1.0]


def test_golden_share() -> None:
    trials = [trial(0, 0.0, 0.0), trial(1, 1.0, 4.0), trial(2, 0.5, 1.0)]
    assert hypervolume_of(trials, BOTH) == pytest.approx(0.5 * 0.75)


@pytest.mark.parametrize("state", ["running", "infeasible", "failed", "duplicate", "abandoned"])
def test_only_complete_trials_count(state: State) -> None:
    trials = [trial(0, 0.0, 1.0), trial(1, 0.5, 0.5), trial(2, 0.9, 2.0)]
    with_another = [*trials, trial(3, 1.0, 0.0, state=state)]
    assert hypervolume_of(with_another, BOTH) == hypervolume_of(trials, BOTH)
    assert hypervolume_over_trials(with_another, BOTH) == hypervolume_over_trials(trials, BOTH)


def test_a_hopeful_front_keeps_what_may_have_been_disturbed() -> None:
    slow = {"latency_quality": "noisy", "reference_ms": 2.0, "best_reference_ms": 1.0}
    trials = [
        trial(0, 0.9, 1.0),
        trial(1, 0.8, 1.9, **slow),
        trial(2, 0.8, 2.1, **slow),
        trial(3, 0.7, 1.5),
        trial(4, 0.7, 1.9, latency_quality="noisy"),
    ]
    assert numbers(front_of(trials, BOTH)) == [0]
    assert numbers(front_of(trials, BOTH, hopeful=True)) == [0, 1]


@pytest.mark.parametrize("value", [None, "n/a", [1.0], math.inf, -math.inf, math.nan, True, 10**400])
def test_what_is_no_finite_number_is_unknown(value: Any) -> None:
    trials = [trial(0, 0.9, value), trial(1, 0.5, 1.0)]
    assert numbers(front_of(trials, BOTH, hopeful=True)) == [1]
    assert hypervolume_of(trials, BOTH) == 1.0
    assert knee_of(trials, BOTH).number == 1
    assert math.isnan(number_of({"x": value}, "x"))


@pytest.mark.parametrize("interval", [None, [], [1.0], [1.0, None], [1, 2, 3], "ab", 3.0, [math.nan, 1.0]])
def test_half_an_interval_is_none(interval: Any) -> None:
    trials = [trial(0, 0.9, 1.0, latency_interval_ms=interval), trial(1, 0.9, 1.1, latency_interval_ms=[0.9, 1.3])]
    assert interval_of(trials[0].metrics) is None
    assert numbers(front_of(trials, BOTH)) == [0, 1]
    assert interval_of({"latency_interval_ms": [1, 2.5]}) == (1.0, 2.5)


def test_there_is_one_hypervolume() -> None:
    rng = random.Random(1)
    trials = [trial(i, rng.random(), rng.random(), finished=rng.random()) for i in range(12)]
    trials += [trial(12, 2.0, 0.0, "failed")]
    curve = hypervolume_over_trials(trials, BOTH)
    assert curve[-1] == hypervolume_of(trials, BOTH)
    assert curve == sorted(curve)
    wider = hypervolume_over_trials(trials, BOTH, [*trials, trial(13, 0.0, 5.0)])
    assert wider[-1] > curve[-1]


def test_the_nearest_breaks_the_limits_least() -> None:
    limits = [parse_limit("latency_ms<=1"), parse_limit("accuracy>=0.8")]
    refused = [
        trial(0, 0.8, 3.0, "infeasible"), trial(1, 0.4, 1.5, "infeasible"), trial(2, 0.8, 2.0, "infeasible"),
        Trial(3, "infeasible", {}, {}, "constraint"), trial(4, 0.9, 1.1), trial(5, 0.8, 1.1, "failed"),
    ]  # fmt: skip
    found = nearest(refused, limits)
    assert found is not None
    assert found.number == 1
    assert nearest(refused[3:], limits) is None
    assert nearest([], limits) is None
