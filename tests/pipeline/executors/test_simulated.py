"""The loop on a virtual clock: what is told when, and that nothing depends on more than the clock says."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from nas import Space, choose, integer
from nas.errors import RunError
from nas.evaluation.outcome import Outcome
from nas.pipeline.executors.simulated import Evaluate, MemoryLedger, memory_ledger, simulate
from nas.pipeline.loop import COUNTED, Job, SearchLoop
from nas.runs.ledger import Trial
from nas.samplers import sampler


@dataclass(frozen=True)
class Net:
    width: Any
    depth: Any
    kind: Any = "a"


SPACE = Space(Net(integer(1, 30), integer(1, 20), choose("a", "b", "c")))
LARGE = Space(Net(integer(1, 200), integer(1, 200), choose("a", "b", "c")))
TINY = Space(Net(integer(1, 3), integer(1, 3)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def judge(job: Job) -> tuple[Outcome, float]:
    width, depth = int(job.decisions["width"] or 0), int(job.decisions["depth"] or 0)
    return Outcome("complete", {"accuracy": width / (depth + 1), "latency_ms": float(width * depth)}), 1.0 + width % 7


def run(
    proposing: str | optuna.samplers.BaseSampler = "random",
    space: Space = SPACE,
    wanted: int = 40,
    workers: int = 1,
    evaluate: Evaluate = judge,
) -> tuple[MemoryLedger, list[int], float]:
    asked = sampler(proposing, space, 0) if isinstance(proposing, str) else proposing
    ledger = memory_ledger(space, ("accuracy", "latency_ms"), asked)
    order: list[int] = []
    proposals = SearchLoop(ledger, space, wanted, on_trial=lambda _, trial: order.append(trial.number))
    return ledger, order, simulate(proposals, evaluate, workers)


def counted(ledger: MemoryLedger) -> list[Trial]:
    return [t for t in ledger.trials() if t.state in COUNTED]


def test_jobs_are_told_when_the_clock_reaches_their_end() -> None:
    durations = [9.0, 1.0, 4.0, 1.0, 1.0, 2.0]
    _, order, seconds = run(wanted=6, workers=2, evaluate=lambda job: (judge(job)[0], durations[job.number]))
    # 0: 0-9; 1: 0-1; 2: 1-5; 3: 5-6; 4: 6-7; 5: 7-9, and 0 is told before it
    assert order == [1, 2, 3, 4, 0, 5]
    assert seconds == 9.0


def test_equal_ends_are_told_in_the_order_of_their_numbers() -> None:
    _, order, seconds = run(wanted=12, workers=4, evaluate=lambda job: (judge(job)[0], 2.0))
    assert order == list(range(12))
    assert seconds == 6.0


@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_one_worker_is_the_sequential_search(name: str) -> None:
    simulated, order, seconds = run(name)
    proposing = sampler(name, SPACE, 0)
    sequential = SearchLoop(memory_ledger(SPACE, ("accuracy", "latency_ms"), proposing), SPACE, 40)
    spent = 0.0
    while (given := sequential.next()) is not None:
        outcome, lasting = judge(given[1])
        spent += lasting
        sequential.finish(given[0], outcome)
    told = [(t.number, t.decisions, t.metrics) for t in sequential.ledger.trials()]
    assert [(t.number, t.decisions, t.metrics) for t in simulated.trials()] == told
    assert order == sorted(order)
    assert seconds == spent


@pytest.mark.parametrize("workers", [1, 7])
def test_the_same_search_twice(workers: int) -> None:
    first, second = (run("nsga2", workers=workers) for _ in range(2))
    assert first[1:] == second[1:]
    assert [t.decisions for t in first[0].trials()] == [t.decisions for t in second[0].trials()]


def foreign() -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=0)


def test_a_thousand_workers_finish_and_share_the_work() -> None:
    ledger, order, seconds = run(foreign(), LARGE, 3000, 1000, lambda job: (judge(job)[0], 5.0))
    assert len(order) == len({LARGE.architecture(t.decisions) for t in counted(ledger)}) == 3000
    assert seconds == 15.0


def test_more_workers_than_architectures() -> None:
    ledger, _, _ = run(space=TINY, wanted=9, workers=1000)
    assert len({TINY.architecture(t.decisions) for t in counted(ledger)}) == TINY.size == 9


def test_a_foreign_samplers_repetitions_are_answered() -> None:
    ledger, order, _ = run(foreign(), TINY, wanted=9, workers=3)
    assert len(order) == len({TINY.architecture(t.decisions) for t in counted(ledger)}) == 9
    assert any(t.state == "duplicate" for t in ledger.trials())


def test_failed_and_refused_candidates_are_told_as_such() -> None:
    def evaluate(job: Job) -> tuple[Outcome, float]:
        if job.number % 3 == 0:
            return Outcome("failed", reason="TrainingError: loss became NaN"), 1.0
        if job.number % 3 == 1:
            return Outcome("infeasible", {"latency_ms": 9.0}, "breaks latency_ms<=2", {"latency_ms<=2": 7.0}), 0.0
        return judge(job)

    ledger, _, _ = run("nsga2", wanted=30, workers=3, evaluate=evaluate)
    states = [t.state for t in ledger.trials()]
    assert states == ["failed", "infeasible", "complete"] * 10
    assert ledger.study.trials[1].constraints == {"latency_ms<=2": 7.0}


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_an_impossible_time_is_refused(seconds: float) -> None:
    with pytest.raises(RunError, match=f"trial 0 takes {seconds} s; expected a finite time, 0 or more"):
        run(evaluate=lambda job: (judge(job)[0], seconds))


def test_no_worker_is_refused() -> None:
    with pytest.raises(RunError, match="0 workers; expected at least one"):
        run(workers=0)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger, _, _ = run(evaluate=lambda job: (Outcome("failed", reason="no"), 1.0) if job.number % 2 else judge(job))
    assert not list(tmp_path.iterdir())
    assert ledger.models() == []


def test_files_are_deleted_once_when_their_trial_leaves_the_front() -> None:
    class Watched(MemoryLedger):
        def discard_weights(self, number: int) -> None:
            deleted.append(number)

    deleted: list[int] = []
    made = memory_ledger(LARGE, ("accuracy", "latency_ms"), sampler("random", LARGE, 0))
    simulate(SearchLoop(Watched(made.folder, made.record, made.study), LARGE, 300), judge)
    points = {t.number: (-t.metrics["accuracy"], t.metrics["latency_ms"]) for t in made.trials()}

    def dominated(number: int) -> bool:
        mine = points[number]
        return any(p != mine and p[0] <= mine[0] and p[1] <= mine[1] for p in points.values())

    assert len(deleted) == len(set(deleted))
    assert set(deleted) == {number for number in points if dominated(number)}


@pytest.mark.timeout(120)
def test_five_thousand_trials_do_not_slow_down() -> None:
    begun = time.process_time()
    run(space=LARGE, wanted=1000)
    first = time.process_time() - begun
    run(space=LARGE, wanted=5000)
    assert time.process_time() - begun - first < 15 * first


class Odd:
    """Stops trials of odd numbers after their second epoch."""

    rungs = (1,)

    def reason_to_stop(self, number: int, epoch: int, metrics: Mapping[str, float]) -> str:
        return f"loss {metrics['loss']} in epoch {epoch}" if number % 2 else ""


def test_a_stopped_job_ends_at_its_rung_and_another_takes_its_worker() -> None:
    ledger = memory_ledger(SPACE, ("accuracy", "latency_ms"), sampler("random", SPACE, 0))
    loop = SearchLoop(ledger, SPACE, 4, scheduler=Odd())
    told = [{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.0}, {"loss": 0.5}]
    seconds = simulate(loop, lambda job: (judge(job)[0], 4.0), 1, lambda _: told)
    assert seconds == 4.0 + 2.0 + 4.0 + 2.0
    assert [t.state for t in ledger.trials()] == ["complete", "stopped", "complete", "stopped"]
    assert ledger.trials()[1].reason == "loss 2.0 in epoch 1"
