"""What the surrogate makes of cheap metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nas import Architecture, Space, choose, sampler
from nas.errors import BlockError, SamplerError
from nas.evaluation.outcome import Outcome
from nas.pipeline.executors.simulated import memory_ledger, simulate
from nas.pipeline.loop import SearchLoop
from nas.samplers.bo.acquisition import Acquisition, Predictions
from nas.samplers.bo.surrogate import sought

SPACE = Space({"width": choose(1, 2, 4, 8, 16), "kind": choose("a", "b", "c"), "depth": choose(1, 2, 3, 4)})


def static_metrics(architecture: Architecture) -> dict[str, float]:
    """Known without training; what is of kind c cannot be built."""
    if architecture.network["kind"] == "c":
        raise BlockError("kind c: cannot be built")
    return {"params": float(architecture.network["width"] * architecture.network["depth"])}


def test_what_breaks_a_limit_or_cannot_be_counted_is_not_proposed() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=sampler("surrogate", SPACE, static_metrics=static_metrics, limits=["params<=16"]),
    )
    for _ in range(26):
        trial = study.ask()
        architecture = SPACE.ask(trial)
        assert architecture.network["kind"] != "c"
        params = static_metrics(architecture)["params"]
        assert params <= 16
        study.tell(trial, (params**0.5 + (architecture.network["kind"] == "a"), params))


def test_no_trial_is_lost_to_a_limit_that_cheap_metrics_tell() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=sampler("surrogate", SPACE, static_metrics=static_metrics, limits=["params<=4"])
    )
    allowed = [a for a in SPACE.enumerate() if a.network["kind"] != "c" and static_metrics(a)["params"] <= 4]
    proposed: list[str] = []
    for _ in allowed:
        trial = study.ask()
        architecture = SPACE.ask(trial)
        proposed.append(architecture.key)
        study.tell(trial, static_metrics(architecture)["params"])
    assert sorted(proposed) == sorted(a.key for a in allowed)


@pytest.mark.parametrize("countable", [0, 1, 12])
def test_trials_that_cannot_be_counted_are_left_out_of_what_is_learnt(countable: int) -> None:
    """The user enqueues what the surrogate would not propose, one finished, one refused, one in flight."""
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=sampler("surrogate", SPACE, static_metrics=static_metrics)
    )
    fine = [a for a in SPACE.enumerate() if a.network["kind"] != "c"][:countable]
    odd = [a for a in SPACE.enumerate() if a.network["kind"] == "c"]
    for architecture in (*odd[:12], *fine):
        study.enqueue_trial(dict(architecture.decisions))
        trial = study.ask()
        assert SPACE.ask(trial) == architecture
        study.tell(trial, (float(architecture.network["width"]), 1.0))
    for architecture in odd[12:14]:
        study.enqueue_trial(dict(architecture.decisions))
        trial = study.ask()
        SPACE.ask(trial)
        trial.set_constraint("latency_ms<=1", 2.0)
        study.tell(trial, state=TrialState.PRUNED)
    study.enqueue_trial(dict(odd[14].decisions))
    SPACE.ask(study.ask())
    for _ in range(6):
        assert SPACE.ask(study.ask()).network["kind"] != "c"


def test_cheap_metrics_that_are_no_numbers_cannot_be_counted() -> None:
    def odd(architecture: Architecture) -> dict[str, float]:
        return {"params": {"a": 1.0, "b": float("nan"), "c": float("inf")}[architecture.network["kind"]]}

    study = optuna.create_study(sampler=sampler("surrogate", SPACE, static_metrics=odd))
    for _ in range(20):
        trial = study.ask()
        assert SPACE.ask(trial).network["kind"] == "a"
        study.tell(trial, float(trial.number))


def test_cheap_metrics_are_the_same_for_all() -> None:
    def changing(architecture: Architecture) -> dict[str, float]:
        return {"params" if architecture.network["width"] > 2 else "macs": 1.0}

    study = optuna.create_study(sampler=sampler("surrogate", SPACE, static_metrics=changing))
    with pytest.raises(SamplerError, match="static_metrics: .*; expected the same metrics of all"):
        for _ in range(30):
            trial = study.ask()
            SPACE.ask(trial)
            study.tell(trial, 1.0)


@pytest.mark.filterwarnings("ignore:.*set_metric_names")
@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_cheap_objective_is_known_in_its_direction(direction: str, is_named: bool) -> None:
    space = Space({f"d{i}": choose(0, 1, 2, 3) for i in range(6)})
    sign = 1.0 if direction == "maximize" else -1.0

    def gain(architecture: Architecture) -> dict[str, float]:
        return {"params": sign * sum(architecture.network.values())}

    study = optuna.create_study(
        directions=["minimize", direction], sampler=sampler("surrogate", space, static_metrics=gain)
    )
    if is_named:
        study.set_metric_names(["loss", "params"])
    found: list[int] = []
    for i in range(40):
        trial = study.ask()
        architecture = space.ask(trial)
        found.append(sum(architecture.network.values()))
        study.tell(trial, (i * 37 % 100 / 100, gain(architecture)["params"]))
    assert np.mean(found[15:]) > 10  # 9 is the mean of the space


def test_where_all_break_a_limit_some_with_values_and_some_without_it_goes_on() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler("surrogate", SPACE))
    for i in range(30):
        trial = study.ask()
        width = SPACE.ask(trial).network["width"]
        trial.set_constraint("latency_ms<=1", float(width))
        if i % 2:
            study.tell(trial, (1.0 * width, 2.0))
        else:
            study.tell(trial, state=TrialState.PRUNED)


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (("accuracy", "params", "latency_ms"), [0, 0, 0]),
        (("latency_ms", "params", "accuracy"), [2, 2, 2]),
        (("loss", "params", "accuracy"), [0, 2, 0]),
        ((), [0, 2, 0]),
    ],
)
def test_one_trial_in_four_seeks_one_objective_alone_that_needs_training(
    names: Sequence[str], alone: list[int]
) -> None:
    found = [sought(number, {0, 2}, names) for number in range(12)]
    assert found[::4] == [(k,) for k in alone]
    assert not any(found[i] for i in range(12) if i % 4)


def test_where_nothing_needs_training_all_objectives_are_sought_together() -> None:
    assert [sought(number, {0, 1}, ("latency_ms", "size_bytes")) for number in range(5)] == 5 * [()]
    assert [sought(number, (), ("accuracy",)) for number in range(5)] == 5 * [()]


def test_a_search_with_measured_latency_and_size_seeks_the_most_accurate_too() -> None:
    """Accuracy is hard to foretell, latency and size are not; none of them is known beforehand."""
    space = Space({f"d{i}": choose(*range(4)) for i in range(8)})
    most: list[float] = []
    for seed in range(4):
        run = memory_ledger(space, OBJECTIVES, sampler("surrogate", space, seed))
        simulate(SearchLoop(run, space, 60), lambda job: (Outcome("complete", judged(job.decisions)), 1.0))
        most.append(max(trial.metrics["accuracy"] for trial in run.trials()))
    assert np.mean(most) > 0.9


OBJECTIVES = ("accuracy", "latency_ms", "size_bytes")


def judged(decisions: Mapping[str, Any]) -> dict[str, float]:
    total = sum(decisions.values())
    odd = sum(3 * i * label % 7 == 5 for i, label in enumerate(decisions.values(), 1))
    return {"accuracy": total / 24 - 0.02 * odd, "latency_ms": 1.0 + total, "size_bytes": 100.0 + total**2}


def test_the_gain_of_one_objective_is_its_expected_improvement_with_thrice_the_uncertainty() -> None:
    expected = Predictions(
        np.array([[0.0, 5.0], [0.5, -5.0]]), np.array([[1.0, 0.0], [0.2, 0.0]]), np.array([1.0, 0.5])
    )
    gains = Acquisition(np.array([3.0, 3.0]), np.array([[0.5, 1.0], [2.0, 0.0]]), (0,))(expected)
    draws = np.random.default_rng(0).normal(size=(2, 400_000))
    improved = np.maximum(0.5 - (expected.means[:, :1] + 3 * expected.spreads[:, :1] * draws), 0).mean(axis=1)
    assert gains == pytest.approx(improved * expected.chances, rel=0.01)
