"""Filters around every sampler of ours: limits on cheap metrics, and a screen that chooses."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import optuna
import pytest

from nas import Architecture, Space, choose, integer, repeat, sampler
from nas.errors import ExhaustedError, ObjectiveError, SamplerError, TrainingError
from nas.objectives.objective import parse_limit
from nas.samplers import SAMPLERS, Filtered, Random
from nas.samplers.bo.surrogate import Surrogate

NAMES = [*SAMPLERS, "optuna:NSGAIISampler"]


@dataclass(frozen=True)
class Net:
    kind: Any
    layers: Any = ()


@dataclass(frozen=True)
class Layer:
    width: Any
    expand: Any = None


SPACE = Space(Net(choose("a", "b"), repeat(Layer(integer(1, 6), choose(None, 2, 4)), 1, 3)))
SMALL = Space(Net(choose("a", "b", "c"), integer(1, 4)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def size(architecture: Architecture) -> float:
    return float(sum(label for label in architecture.decisions.values() if isinstance(label, int)))


def static_metrics(architecture: Architecture) -> dict[str, float]:
    return {"params": size(architecture)}


def run(made: optuna.Study, trials: int, space: Space) -> list[Architecture]:
    asked: list[Architecture] = []
    for _ in range(trials):
        trial = made.ask()
        asked.append(space.ask(trial))
        made.tell(trial, [size(asked[-1]), len(asked[-1].decisions)])
    return asked


def study(by: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=by)


def screened(name: str, space: Space, seed: int = 0) -> optuna.Study:
    return study(sampler(name, space, seed, static_metrics, ["params<=9"], screen=size, proposals=3))


@pytest.mark.parametrize("name", NAMES)
def test_never_repeats_until_the_space_is_exhausted(name: str) -> None:
    made = screened(name, SMALL)
    assert len(set(run(made, 12, SMALL))) == 12
    with pytest.raises(ExhaustedError, match="the space is exhausted"):
        made.ask()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_proposals(name: str) -> None:
    assert run(screened(name, SPACE), 25, SPACE) == run(screened(name, SPACE), 25, SPACE)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_goes_on_identically(name: str) -> None:
    whole = run(screened(name, SPACE), 25, SPACE)
    begun = screened(name, SPACE)
    first = run(begun, 18, SPACE)
    begun.sampler = screened(name, SPACE).sampler
    assert first + run(begun, 7, SPACE) == whole


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_kept_while_something_meets_them(name: str) -> None:
    asked = run(study(sampler(name, SPACE, 0, static_metrics, [parse_limit("params<=9")])), 25, SPACE)
    assert max(map(size, asked)) <= 9


@pytest.mark.parametrize("limit", ["params<=0", "params>=100"])
def test_where_all_break_a_limit_the_one_that_breaks_it_least_is_given(limit: str) -> None:
    asked = run(study(Filtered(Random(SMALL), static_metrics, [parse_limit(limit)])), 12, SMALL)
    sizes = [*map(size, asked)]
    assert sizes == sorted(sizes, reverse=">" in limit)
    assert len(set(asked)) == 12


def test_limits_are_weighed_as_shares_of_their_bounds() -> None:
    def both(architecture: Architecture) -> dict[str, float]:
        wide = architecture.decisions["kind"] == "a"
        return {"params": 1e6 + (1e4 if wide else 0), "latency_ms": 2.0 if wide else 4.0}

    made = Filtered(Random(SMALL), both, [parse_limit("params<=1000000"), parse_limit("latency_ms<=1.9")])
    assert run(study(made), 1, SMALL)[0].decisions["kind"] == "a"


def test_a_limit_that_is_not_cheap_is_left_to_the_evaluation() -> None:
    asked = run(study(Filtered(Random(SMALL), static_metrics, [parse_limit("accuracy>=0.9")])), 12, SMALL)
    assert asked != sorted(asked, key=size)


def test_the_screen_takes_the_best_of_its_proposals() -> None:
    best = run(study(Filtered(Random(SMALL), screen=size, proposals=12)), 12, SMALL)
    assert [*map(size, best)] == sorted(map(size, best), reverse=True)

    def mean(proposals: int) -> float:
        asked = run(study(Filtered(Random(SPACE), screen=size, proposals=proposals)), 30, SPACE)
        return sum(map(size, asked)) / 30

    assert mean(1) + 2 < mean(4) < mean(16)


@pytest.mark.parametrize("fail", [False, True])
def test_what_cannot_be_scored_comes_last(fail: bool) -> None:
    def score(architecture: Architecture) -> float:
        if architecture.decisions["kind"] != "b":
            return 1.0
        if fail:
            raise TrainingError("no gradient")
        return math.nan

    asked = run(study(Filtered(Random(SMALL), screen=score, proposals=12)), 12, SMALL)
    assert [a.decisions["kind"] for a in asked[-4:]] == ["b"] * 4


def test_what_has_no_cheap_metrics_comes_last() -> None:
    def some(architecture: Architecture) -> dict[str, float]:
        if architecture.decisions["kind"] == "b":
            raise TrainingError("cannot be built")
        return {"params": 5.0}

    asked = run(study(Filtered(Random(SMALL), some, [parse_limit("params<=2")])), 12, SMALL)
    assert [a.decisions["kind"] for a in asked[-4:]] == ["b"] * 4


def test_nothing_is_scored_twice() -> None:
    scored: Counter[str] = Counter()

    def score(architecture: Architecture) -> float:
        scored[architecture.key] += 1
        return size(architecture)

    run(study(Filtered(Random(SMALL), screen=score, proposals=12)), 12, SMALL)
    assert set(scored.values()) == {1}


def test_who_knows_cheap_metrics_gets_them() -> None:
    made = sampler("surrogate", SMALL, static_metrics=static_metrics, limits=["params<=3"])
    assert isinstance(made, Surrogate)
    assert (made.static_metrics, made.limits) == (static_metrics, (parse_limit("params<=3"),))
    filtered = sampler("surrogate", SMALL, static_metrics=static_metrics, limits=["params<=3"], screen=size)
    assert isinstance(filtered, Filtered)
    assert isinstance(filtered.inner, Surrogate)
    assert (filtered.inner.limits, filtered.limits) == (made.limits, ())
    assert isinstance(sampler("random", SMALL, static_metrics=static_metrics, limits=["params<=3"]), Filtered)
    assert isinstance(sampler("random", SMALL, static_metrics=static_metrics), Random)


def test_mistakes() -> None:
    with pytest.raises(SamplerError, match="proposals: 0; expected at least 1"):
        sampler("random", SMALL, screen=size, proposals=0)
    with pytest.raises(SamplerError, match="limits: params<=3, and no cheap metrics to hold against them"):
        sampler("random", SMALL, limits=["params<=3"])
    with pytest.raises(SamplerError, match=r"limits: 'params<=3'; expected a list, for example \['params<=3'\]"):
        sampler("random", SMALL, static_metrics=static_metrics, limits="params<=3")
    with pytest.raises(SamplerError, match="candidates: 0; expected at least 1"):
        sampler("surrogate", SMALL, static_metrics=static_metrics, candidates=0)
    with pytest.raises(ObjectiveError, match="unknown metric 'parms'"):
        sampler("random", SMALL, static_metrics=static_metrics, limits=["parms<=3"])
    with pytest.raises(SamplerError, match="CmaEsSampler: cannot propose"):
        study(sampler("optuna:CmaEsSampler", SMALL, screen=size)).ask()
