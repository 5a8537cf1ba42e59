"""One contract for every sampler that can be named."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from nas import Architecture, Space, choose, integer, repeat, sampler
from nas.errors import SamplerError, SpaceError
from nas.pareto import hypervolume
from nas.samplers import SAMPLERS

OURS = list(SAMPLERS)
ALL = [*OURS, "tpe", "optuna:NSGAIISampler"]


@dataclass(frozen=True)
class Net:
    kind: Any
    layers: Any = ()


@dataclass(frozen=True)
class Layer:
    width: Any
    block: Any = None


@dataclass(frozen=True)
class Fancy:
    expand: Any


SPACE = Space(
    Net(
        choose("a", "b"),
        repeat(Layer(integer(1, 6), choose(None, Fancy(choose(1, 2, 4)))), 1, 3),
    )
)
SMALL = Space(Net(choose("a", "b", "c"), integer(1, 4)))


def judge(architecture: Architecture) -> tuple[float, float]:
    """Accuracy saturates with width and likes expansion in late layers; cost adds up."""
    network = SPACE.decode(architecture)
    gain = cost = 0.0
    for depth, layer in enumerate(network.layers):
        expand = layer.block.expand if layer.block else 0
        gain += np.sqrt(layer.width) * (1 + 0.2 * expand * (depth > 0)) / (1 + 0.3 * depth)
        cost += layer.width * (1 + 0.5 * expand)
    return float(gain if network.kind == "b" else 0.8 * gain), cost


def study(name: str, space: Space = SPACE, seed: int = 0) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler(name, space, seed=seed))


def run(made: optuna.Study, trials: int, space: Space = SPACE) -> list[Architecture]:
    asked: list[Architecture] = []
    for _ in range(trials):
        trial = made.ask()
        asked.append(space.ask(trial))
        made.tell(trial, judge(asked[-1]) if space is SPACE else (1.0, 1.0))
    return asked


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", ALL)
def test_never_leaves_the_space(name: str) -> None:
    for architecture in run(study(name), 40):
        SPACE.decode(architecture)


@pytest.mark.parametrize("name", OURS)
def test_same_seed_and_ledger_give_the_same_proposals(name: str) -> None:
    assert run(study(name, seed=1), 40) == run(study(name, seed=1), 40)
    assert run(study(name, seed=1), 40) != run(study(name, seed=2), 40)


@pytest.mark.parametrize("name", OURS)
def test_a_restored_study_goes_on_identically(name: str) -> None:
    first = study(name)
    run(first, 30)
    restored = study(name)
    restored.add_trials(first.trials)
    assert run(restored, 10) == run(first, 10)


@pytest.mark.parametrize("name", OURS)
def test_told_in_any_order_is_the_same_state(name: str) -> None:
    def told(order: list[int]) -> Architecture:
        made = study(name)
        trials = [made.ask() for _ in range(30)]
        asked = [SPACE.ask(trial) for trial in trials]
        for i in order:
            made.tell(trials[i], judge(asked[i]))
        return SPACE.ask(made.ask())

    order = list(range(30))
    random.Random(0).shuffle(order)
    assert told(order) == told(list(range(30)))


@pytest.mark.parametrize("name", OURS)
def test_never_repeats_until_the_space_is_exhausted(name: str) -> None:
    made = study(name, SMALL)
    asked = run(made, SMALL.size, SMALL)
    assert len(set(asked)) == SMALL.size == 12
    with pytest.raises(SamplerError, match="the space is exhausted: all of its 12 architectures were proposed"):
        made.ask()


@pytest.mark.parametrize("name", OURS)
def test_parallel_asks_differ(name: str) -> None:
    made = study(name)
    run(made, 25)
    assert len({SPACE.ask(made.ask()) for _ in range(8)}) == 8


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_survives_a_history_without_a_result(name: str, state: TrialState) -> None:
    made = study(name)
    for _ in range(30):
        trial = made.ask()
        SPACE.ask(trial)
        made.tell(trial, state=state)
    SPACE.decode(SPACE.ask(made.ask()))


@pytest.mark.parametrize("name", ALL)
def test_a_space_with_a_single_architecture(name: str) -> None:
    space = Space(Net(choose("a")))
    assert space.ask(study(name, space).ask()).decisions == {}


@pytest.mark.parametrize("name", OURS)
def test_another_spaces_question_is_refused(name: str) -> None:
    trial = study(name).ask()
    with pytest.raises(SpaceError, match="other: the sampler's space has no such decision in trial 0"):
        trial.suggest_categorical("other", (1, 2))


def test_nsga2_is_better_than_random() -> None:
    def volume(name: str, seed: int) -> float:
        points = np.array([(-a, c) for a, c in map(judge, run(study(name, seed=seed), 120))])
        return hypervolume(points, np.array([0.0, 60.0]))

    seeds = range(5)
    ours, chance = (np.array([volume(name, seed) for seed in seeds]) for name in ("nsga2", "random"))
    assert ours.mean() > 1.03 * chance.mean()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nsga22", "unknown sampler 'nsga22'; known: .*Did you mean 'nsga2'"),
        ("TPESampler", "unknown sampler 'TPESampler'.*Did you mean 'optuna:TPESampler'"),
        ("optuna:Nothing", "unknown sampler 'optuna:Nothing'"),
        ("optuna:GridSampler", "sampler 'optuna:GridSampler': needs search_space"),
    ],
)
def test_names_that_make_no_sampler(name: str, message: str) -> None:
    with pytest.raises(SamplerError, match=message):
        sampler(name, SPACE)
