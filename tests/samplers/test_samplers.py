"""One contract for every sampler that can be named."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import threadpool_info

from nas import Architecture, Space, choose, integer, load_space, repeat, sampler
from nas.errors import ExhaustedError, SamplerError, SpaceError
from nas.objectives.objective import parse_limit
from nas.objectives.pareto import hypervolume
from nas.pipeline.executors.simulated import memory_ledger
from nas.runs.ledger import Ledger
from nas.samplers import SAMPLERS
from nas.samplers.base import Sampler
from nas.samplers.history import History, Record
from nas.samplers.selection import ordered

OURS = list(SAMPLERS)
ALL = [*OURS, "tpe", "optuna:NSGAIISampler"]
BLIND = ("random", "grid")
"""Those that do not look at results."""
ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("NAS_DATA", ROOT.parent / "shared" / "data"))


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


def study(name: str, space: Space = SPACE, seed: int = 0, objectives: int = 2) -> optuna.Study:
    directions = ["maximize", "minimize"][:objectives]
    return optuna.create_study(directions=directions, sampler=sampler(name, space, seed=seed))


def run(made: optuna.Study, trials: int, space: Space = SPACE) -> list[Architecture]:
    asked: list[Architecture] = []
    for _ in range(trials):
        trial = made.ask()
        asked.append(space.ask(trial))
        values = judge(asked[-1]) if space is SPACE else (1.0, 1.0)
        made.tell(trial, values[: len(made.directions)])
    return asked


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("name", ALL)
def test_never_leaves_the_space(name: str) -> None:
    for architecture in run(study(name), 40):
        SPACE.decode(architecture)


@pytest.mark.parametrize("name", ALL)
def test_keeps_to_the_constraints(name: str) -> None:
    narrow = Space(SPACE.network, {"starts with b": lambda net: net.kind == "b"})
    made = study(name, narrow)
    for _ in range(30):
        trial = made.ask()
        architecture = narrow.ask(trial)
        assert architecture.decisions["kind"] == "b"
        made.tell(trial, judge(architecture))


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("name", ALL)
def test_same_seed_and_ledger_give_the_same_proposals(name: str, objectives: int) -> None:
    first = run(study(name, seed=1, objectives=objectives), 40)
    assert first == run(study(name, seed=1, objectives=objectives), 40)
    if name != "grid":
        assert first != run(study(name, seed=2, objectives=objectives), 40)


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("name", OURS)
def test_a_restored_study_goes_on_identically(name: str, objectives: int) -> None:
    first = study(name, objectives=objectives)
    run(first, 45)
    restored = study(name, objectives=objectives)
    restored.add_trials(first.trials)
    assert run(restored, 10) == run(first, 10)


@pytest.mark.parametrize("name", OURS)
def test_two_studies_with_one_sampler_go_on_as_if_each_had_its_own(name: str) -> None:
    shared = sampler(name, SPACE)
    pair = [optuna.create_study(directions=d, sampler=shared) for d in (["maximize", "minimize"], ["minimize"] * 2)]
    apart = [optuna.create_study(directions=made.directions, sampler=sampler(name, SPACE)) for made in pair]

    def proposals(studies: list[optuna.Study]) -> list[list[Architecture]]:
        found: list[list[Architecture]] = []
        for _ in range(25):
            trials = [made.ask() for made in studies]
            found.append([SPACE.ask(trial) for trial in trials])
            for made, trial, architecture in zip(studies, trials, found[-1], strict=True):
                made.tell(trial, judge(architecture))
        return found

    assert proposals(pair) == proposals(apart)


@pytest.mark.parametrize("name", OURS)
def test_told_in_any_order_is_the_same_state(name: str) -> None:
    def told(order: list[int]) -> Architecture:
        made = study(name)
        trials = [made.ask() for _ in range(45)]
        asked = [SPACE.ask(trial) for trial in trials]
        for i in order:
            made.tell(trials[i], judge(asked[i]))
        return SPACE.ask(made.ask())

    order = list(range(45))
    random.Random(0).shuffle(order)
    assert told(order) == told(list(range(45)))


@pytest.mark.parametrize("name", OURS)
def test_a_trial_that_is_told_late_changes_nothing_but_what_is_known(name: str) -> None:
    late, restored = study(name), study(name)
    trials = [late.ask() for _ in range(5)]
    asked = [SPACE.ask(trial) for trial in trials]
    for trial, architecture in list(zip(trials, asked, strict=True))[1:]:
        late.tell(trial, judge(architecture))
    run(late, 40)
    late.tell(trials[0], judge(asked[0]))
    restored.add_trials(late.trials)
    assert run(restored, 3) == run(late, 3)


@pytest.mark.parametrize("name", ALL)
def test_never_repeats_until_the_space_is_exhausted(name: str) -> None:
    made = study(name, SMALL)
    asked = run(made, SMALL.size, SMALL)
    assert len(set(asked)) == SMALL.size == 12
    with pytest.raises(ExhaustedError, match="the space is exhausted: all of its 12 architectures were proposed"):
        made.ask()


@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("name", ALL)
def test_parallel_asks_differ(name: str, objectives: int) -> None:
    made = study(name, objectives=objectives)
    run(made, 25)
    assert len({SPACE.ask(made.ask()) for _ in range(8)}) == 8


@pytest.mark.parametrize("name", ALL)
def test_decisions_that_the_user_enqueues_are_taken(name: str) -> None:
    made = study(name)
    run(made, 12)
    for width in range(1, 7):
        made.enqueue_trial({"layers": 3, "layers.2.width": width})
        trial = made.ask()
        decisions = SPACE.ask(trial).decisions
        assert (decisions["layers"], decisions["layers.2.width"]) == (3, width)
        made.tell(trial, (1.0, 1.0))
    run(made, 3)


@pytest.mark.parametrize("name", ALL)
def test_finds_what_lies_deep_in_a_space(name: str) -> None:
    """Draws that decide each choice evenly meet the innermost one once in 256 times."""
    deep: Any = integer(1, 1000)
    for _ in range(8):
        deep = choose(None, Fancy(deep))
    space = Space(Net("a", deep))
    assert len(set(run(study(name, space), 30, space))) == 30


@pytest.mark.parametrize("name", ALL)
def test_finds_the_few_that_a_constraint_allows(name: str) -> None:
    space = Space(Net(tuple(choose(0, 1, 2) for _ in range(8))), {"rare": lambda net: sum(net.kind) < 2})
    made = study(name, space)
    assert len(set(run(made, 9, space))) == 9
    with pytest.raises(ExhaustedError, match="the space is exhausted: all of its 9 architectures were proposed"):
        made.ask()


@pytest.mark.parametrize("name", ALL)
def test_an_enqueued_trial_needs_no_architecture_that_is_left(name: str) -> None:
    made = study(name, SMALL)
    run(made, SMALL.size, SMALL)
    made.enqueue_trial({"kind": "a", "layers": 2})
    assert SMALL.ask(made.ask()).decisions == {"kind": "a", "layers": 2}


@pytest.mark.filterwarnings("ignore:Fixed parameter")
@pytest.mark.parametrize("decisions", [{"kind": "d"}, {"layers": 9}])
def test_an_enqueued_decision_that_the_space_has_not_is_refused(decisions: dict[str, Any]) -> None:
    made = study("random", SMALL)
    made.enqueue_trial(decisions)
    with pytest.raises(
        SpaceError, match=f"{next(iter(decisions))}: trial 0 proposes another value .*; expected one of"
    ):
        SMALL.ask(made.ask())


@pytest.mark.parametrize("name", ALL)
def test_parallel_asks_differ_before_they_are_answered(name: str) -> None:
    made = study(name, SMALL)
    trials = [made.ask() for _ in range(SMALL.size)]
    assert len({SMALL.ask(trial) for trial in trials}) == SMALL.size


@pytest.mark.parametrize("name", ALL)
def test_threads_of_one_process_never_ask_for_the_same(name: str) -> None:
    made, asked = study(name, objectives=1), list[Architecture]()

    def objective(trial: optuna.Trial) -> float:
        asked.append(SPACE.ask(trial))
        return judge(asked[-1])[0]

    made.optimize(objective, n_trials=36, n_jobs=3)
    assert len(set(asked)) == len(asked) == 36


def test_a_proposal_leaves_the_other_cores_alone() -> None:
    """A pool of threads for its linear algebra would wait for cores that training has."""

    class Counting(Sampler):
        threads: frozenset[int] = frozenset()

        def propose(self, history: History, rng: random.Random) -> Architecture:
            self.threads |= blas_threads()
            return self.space.sample(rng)

    before, counting = blas_threads(), Counting(SPACE)
    SPACE.ask(optuna.create_study(sampler=counting).ask())
    assert counting.threads == {1}
    assert blas_threads() == before


def blas_threads() -> frozenset[int]:
    """How many threads the libraries for linear algebra take."""
    return frozenset(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_survives_a_history_without_a_result(name: str, state: TrialState) -> None:
    made = study(name)
    for _ in range(45):
        trial = made.ask()
        SPACE.ask(trial)
        if state == TrialState.PRUNED:
            trial.set_constraint("latency_ms<=2", 1.0 + trial.number)
        made.tell(trial, state=state)
    SPACE.decode(SPACE.ask(made.ask()))


@pytest.mark.parametrize("name", ALL)
def test_survives_metrics_that_are_no_numbers(name: str) -> None:
    made = study(name)
    asked: list[Architecture] = []
    for i in range(45):
        trial = made.ask()
        asked.append(SPACE.ask(trial))
        accuracy, cost = judge(asked[-1])
        if i % 3 == 0:
            made.tell(trial, (math.inf if i % 2 else -math.inf, cost))
        elif i % 3 == 1:
            made.tell(trial, state=TrialState.FAIL)
        else:
            made.tell(trial, (accuracy, cost))
    assert len(set(asked)) == 45


@pytest.mark.parametrize("name", OURS)
def test_what_is_refused_is_left(name: str) -> None:
    """Where a limit refuses half of the space, most of what is proposed later meets it."""
    made = study(name, objectives=1)
    refused: list[bool] = []
    for _ in range(90):
        trial = made.ask()
        architecture = SPACE.ask(trial)
        refused.append(architecture.network.kind == "b")
        if refused[-1]:
            trial.set_constraint("size_bytes<=100", 20.0 + judge(architecture)[1])
            made.tell(trial, state=TrialState.PRUNED)
        else:
            made.tell(trial, judge(architecture)[0])
    if name not in BLIND:
        assert np.mean(refused[50:]) < 0.4


def test_a_number_with_too_many_values_is_refused_by_those_that_learn() -> None:
    wide = Space(Net(choose("a", "b"), integer(1, 40_000)))
    assert wide.ask(study("evolution", wide).ask())
    with pytest.raises(SpaceError, match=r"layers: 40,000 options; expected at most 4,096 by this sampler") as refused:
        sampler("surrogate", wide)
    assert "integer(low, high, step)" in str(refused.value)


@pytest.mark.parametrize("name", ALL)
def test_a_space_with_a_single_architecture(name: str) -> None:
    space = Space(Net(choose("a")))
    made = study(name, space)
    assert space.ask(made.ask()).decisions == {}
    with pytest.raises(ExhaustedError, match="the space is exhausted: all of its 1 architectures were proposed"):
        made.ask()


@pytest.mark.parametrize("name", OURS)
def test_another_spaces_question_is_refused(name: str) -> None:
    trial = study(name).ask()
    with pytest.raises(SpaceError, match="other: the sampler's space has no such decision in trial 0"):
        trial.suggest_categorical("other", (1, 2))


@pytest.mark.parametrize("name", ALL)
def test_a_trial_of_another_sampler_is_refused(name: str) -> None:
    made = optuna.create_study()
    trial = made.ask()
    made.sampler = sampler(name, SPACE)
    with pytest.raises(SamplerError, match="trial 0: this sampler made no proposal for it"):
        SPACE.ask(trial)


@pytest.mark.parametrize("name", OURS)
def test_survives_odd_seeds_and_infinite_violations(name: str) -> None:
    made = study(name, seed=-3)
    for i in range(40):
        trial = made.ask()
        architecture = SPACE.ask(trial)
        if i % 2:
            trial.set_constraint("latency_ms<=1", math.inf)
        made.tell(trial, judge(architecture))


def test_what_breaks_limits_by_the_smallest_shares_is_the_best_of_what_is_refused() -> None:
    limits = [parse_limit("latency_ms<=1"), parse_limit("params<=100000")]
    run = memory_ledger(SPACE, ("accuracy", "latency_ms"), sampler("random", SPACE), [str(limit) for limit in limits])
    for metrics in ({"latency_ms": 30.0, "params": 1e5}, {"latency_ms": 1.0, "params": 100_100.0}):
        trial = run.study.ask()
        SPACE.ask(trial)
        broken = {str(limit): limit.violation(metrics) for limit in limits}
        run.refuse(trial.number, metrics, "too large or too slow", broken)
    history = Record(run.study).read(SPACE, asking(run), {})
    assert [point.violation for point in ordered(history.told)] == pytest.approx([0.001, 29.0])


def asking(run: Ledger) -> FrozenTrial:
    number = run.study.ask().number
    return run.study.get_trials(deepcopy=False)[number]


@pytest.mark.parametrize("name", ALL)
def test_goes_with_a_pruner_that_shows_it_a_part_of_the_study(name: str) -> None:
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    made = optuna.create_study(sampler=sampler(name, SPACE), pruner=pruner)
    asked: list[Architecture] = []
    trials = [made.ask() for _ in range(3)]
    for _ in range(40):
        trials.append(made.ask())
        trial = trials.pop(0)
        asked.append(SPACE.ask(trial))
        made.tell(trial, judge(asked[-1])[1])
    assert len(set(asked)) > 30


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("name", [name for name in OURS if name not in BLIND])
def test_is_better_than_random_on_a_published_table(name: str, objectives: int) -> None:
    """Best accuracy of the NAS-Bench-201 cells seen, or the hypervolume with latency, after 150 evaluations."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is not there; NAS_DATA may name the data folder")
    table = pd.read_parquet(DATA / "nasbench201" / "nb201.parquet").set_index("arch_str")
    accuracy, latency = table["c10_val_e12"].to_dict(), table["lat_eyeriss"].to_dict()
    cells = load_space(ROOT / "search_spaces" / "nasbench201.py")
    reference = np.array([-60.0, max(latency.values())])

    def reached(name: str, seed: int) -> float:
        made, points = study(name, cells, seed, objectives), []
        for _ in range(150):
            trial = made.ask()
            row = cells.ask(trial).network.encoders["image"].name
            points.append((-accuracy[row], latency[row]))
            made.tell(trial, (accuracy[row], latency[row])[:objectives])
        return -min(points)[0] if objectives == 1 else hypervolume(np.array(points), reference)

    seeds = range(8)
    ours, chance = (np.array([reached(each, seed) for seed in seeds]) for each in (name, "random"))
    error = np.hypot(ours.std(ddof=1), chance.std(ddof=1)) / np.sqrt(len(seeds))
    assert ours.mean() > chance.mean() + error


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nsga22", "unknown sampler 'nsga22'; known: .*Did you mean 'nsga2'"),
        ("NSGA2", "unknown sampler 'NSGA2'.*Did you mean 'nsga2'"),
        ("TPESampler", "unknown sampler 'TPESampler'.*Did you mean 'optuna:TPESampler'"),
        ("optuna:Nothing", "unknown sampler 'optuna:Nothing'"),
        ("optuna:GridSampler", "sampler 'optuna:GridSampler': needs search_space"),
    ],
)
def test_names_that_make_no_sampler(name: str, message: str) -> None:
    with pytest.raises(SamplerError, match=message):
        sampler(name, SPACE)


@pytest.mark.parametrize("seed", [None, 1.5, "a"])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(SamplerError, match=f"seed: {seed!r}; expected a whole number"):
        sampler("surrogate", SPACE, seed=seed)
    assert sampler("surrogate", SPACE, seed=np.int64(3)).seed == 3  # pyright: ignore[reportArgumentType]
