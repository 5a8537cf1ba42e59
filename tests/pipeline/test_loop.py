"""The loop without its executor: what counts, what is answered, what is taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from example_runs import LOCAL

from nas import Space, choose, integer
from nas.evaluation.outcome import Outcome
from nas.pipeline.loop import COUNTED, Job, SearchLoop
from nas.runs.ledger import Ledger, Trial, create_ledger, open_ledger
from nas.runs.record import RunRecord, read_record
from nas.samplers import sampler


@dataclass(frozen=True)
class Net:
    width: Any
    depth: Any


SPACE = Space(Net(choose(1, 2, 3, 4), integer(1, 4)))


def ledger(folder: Path, name: str = "random", space: Space = SPACE) -> Ledger:
    record = RunRecord(
        name="run", command="", space_file="", space_fingerprint=space.fingerprint, task="t", data="",
        label=(), output={"type": "Classification", "labels": ["no", "yes"]}, scores=("accuracy",),
        task_fingerprint="", objectives=("accuracy", "latency_ms"), limits=(), target=LOCAL, sampler=name, seed=0,
        training={}, storage="journal", versions={}, revision="", created="",
    )  # fmt: skip
    return create_ledger(folder, record, "", sampler(name, space, 0))


def judge(job: Job) -> Outcome:
    """Any function of the architecture will do: here one with a known front."""
    width, depth = job.decisions["width"], job.decisions["depth"]
    return Outcome("complete", {"accuracy": width / depth, "latency_ms": float(width)})


def drive(proposals: SearchLoop, workers: int = 2) -> None:
    flying: list[tuple[int, Job]] = []
    while True:
        while len(flying) < workers and (given := proposals.next()) is not None:
            flying.append(given)
        if not flying:
            return
        number, job = flying.pop(0)
        proposals.finish(number, judge(job))


def counted(run: Ledger) -> list[Trial]:
    return [t for t in run.trials() if t.state in COUNTED]


def test_counts_exactly_and_repeats_nothing(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    drive(SearchLoop(run, SPACE, 10))
    assert len({SPACE.architecture(t.decisions) for t in counted(run)}) == len(counted(run)) == 10


def test_duplicates_of_a_foreign_sampler_are_answered_and_do_not_count(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    run.study.sampler = optuna.samplers.RandomSampler(seed=0)
    drive(SearchLoop(run, SPACE, 16))
    assert len({SPACE.architecture(t.decisions) for t in counted(run)}) == 16
    by_number = {t.number: t for t in run.trials()}
    repeated = [t for t in run.trials() if t.state == "duplicate"]
    assert repeated
    for trial in repeated:
        original = by_number[trial.duplicate_of or 0]
        assert original.decisions == trial.decisions
        assert original.metrics == trial.metrics
        assert run.study.trials[trial.number].values == run.study.trials[original.number].values


def test_a_foreign_sampler_that_is_named_repeats_nothing(tmp_path: Path) -> None:
    run = ledger(tmp_path, "optuna:RandomSampler")
    drive(SearchLoop(run, SPACE, 16))
    assert [t.state for t in run.trials()] == ["complete"] * 16


def test_a_record_of_before_there_were_screens_has_none(tmp_path: Path) -> None:
    file = ledger(tmp_path).folder / "run.json"
    values = json.loads(file.read_text())
    assert (values.pop("screen"), values.pop("proposals")) == ("", 8)
    file.write_text(json.dumps(values))
    assert (read_record(tmp_path).screen, read_record(tmp_path).proposals) == ("", 8)


def test_a_repetition_of_a_trial_in_flight_waits_for_it(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    fixed = {"width": 2, "depth": 3}
    run.study.enqueue_trial(fixed)
    run.study.enqueue_trial(fixed)
    proposals = SearchLoop(run, SPACE, 5)
    first, second = proposals.next(), proposals.next()
    assert first is not None and second is not None
    assert first[1].decisions == fixed
    assert second[1].decisions != fixed
    proposals.finish(first[0], judge(first[1]))
    assert [t.duplicate_of for t in run.trials() if t.state == "duplicate"] == [first[0]]


def test_trials_in_flight_are_run_again_under_their_own_numbers(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    proposals = SearchLoop(run, SPACE, 8)
    lost = [proposals.next(), proposals.next()]
    again = SearchLoop(open_ledger(tmp_path, sampler("random", SPACE, 0)), SPACE, 8)
    taken = [again.next(), again.next()]
    assert taken == lost
    for number, job in (t for t in taken if t is not None):
        again.finish(number, judge(job))
    drive(again)
    assert len(counted(run)) == 8
    assert all(t.state != "running" for t in run.trials())


def test_a_proposal_cut_off_in_the_middle_is_abandoned(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    half = run.study.ask()
    half.suggest_categorical("width", (1, 2, 3, 4))
    drive(SearchLoop(open_ledger(tmp_path, sampler("random", SPACE, 0)), SPACE, 4))
    assert [t.state for t in run.trials() if t.number == half.number] == ["abandoned"]
    assert len(counted(run)) == 4


def test_a_worker_that_died_is_a_failure_that_counts(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    proposals = SearchLoop(run, SPACE, 1)
    given = proposals.next()
    assert given is not None
    proposals.finish(given[0], None)
    assert proposals.ended
    assert "worker died twice" in counted(run)[0].reason


def test_exhausted_space_ends_with_a_word(tmp_path: Path) -> None:
    run = ledger(tmp_path, "optuna:RandomSampler")
    proposals = SearchLoop(run, SPACE, 100)
    drive(proposals)
    assert len(counted(run)) == SPACE.size == 16
    assert "exhausted" in proposals.exhausted


def test_refused_by_a_constraint_is_infeasible(tmp_path: Path) -> None:
    space = Space(SPACE.network, {"even": lambda net: (net.width + net.depth) % 2 == 0})
    run = ledger(tmp_path, space=space)
    run.study.sampler = optuna.samplers.RandomSampler(seed=0)
    drive(SearchLoop(run, space, 12))
    states = {t.state for t in counted(run)}
    assert states == {"complete", "infeasible"}
    assert all("constraint 'even'" in t.reason for t in run.trials() if t.state == "infeasible")


def test_only_the_front_keeps_its_weights(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    proposals = SearchLoop(run, SPACE, 16)
    while (given := proposals.next()) is not None:
        folder = run.trial_folder(given[0])
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").touch()
        (folder / "metrics.json").touch()
        proposals.finish(given[0], judge(given[1]))
    kept = {int(f.parent.name) for f in tmp_path.glob("trials/*/weights.safetensors")}
    assert kept == {t.number for t in run.trials() if t.decisions["depth"] == 1}
    assert len(list(tmp_path.glob("trials/*/metrics.json"))) == 16


def test_no_job_after_the_deadline(tmp_path: Path) -> None:
    proposals = SearchLoop(ledger(tmp_path), SPACE, 10, time_s=-1.0)
    assert proposals.ended
    assert proposals.next() is None


def test_a_search_is_done_when_every_job_that_was_given_is_told(tmp_path: Path) -> None:
    proposals = SearchLoop(ledger(tmp_path), SPACE, 1)
    assert not proposals.is_done
    given = proposals.next()
    assert given is not None
    proposals.deadline = 0.0
    assert proposals.ended
    assert not proposals.is_done, "whoever ends now interrupts a trial"
    proposals.finish(given[0], judge(given[1]))
    assert proposals.is_done


def test_a_trial_whose_objective_is_unknown_fails(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    proposals = SearchLoop(run, SPACE, 1)
    given = proposals.next()
    assert given is not None
    proposals.finish(given[0], Outcome("complete", {"accuracy": 0.5}))
    (trial,) = counted(run)
    assert (trial.state, trial.reason) == ("failed", "objective latency_ms: cannot be told of this network")
    assert trial.metrics == {"accuracy": 0.5}


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class AfterOne:
    """Stops narrow networks after their first epoch."""

    rungs = (0,)

    def reason_to_stop(self, number: int, epoch: int, metrics: Mapping[str, float]) -> str:
        return f"loss {metrics['loss']} after epoch {epoch}" if metrics["loss"] > 1 else ""


def test_a_scheduler_stops_a_trial_which_counts_and_says_why(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    loop = SearchLoop(run, SPACE, 2, scheduler=AfterOne())
    given = [loop.next(), loop.next()]
    numbers = [number for number, _ in filter(None, given)]
    assert loop.rungs == (0,)
    assert [loop.hear(number, 0, {"loss": loss}) for number, loss in zip(numbers, (2.0, 0.5), strict=True)] == [
        False,
        True,
    ]
    loop.finish(numbers[0], None)
    loop.finish(numbers[1], Outcome("complete", {"accuracy": 1.0, "latency_ms": 1.0}))
    stopped, complete = open_ledger(tmp_path).trials()
    assert (stopped.state, stopped.reason) == ("stopped", "loss 2.0 after epoch 0")
    assert stopped.metrics == {"loss": 2.0, "epochs": 1}
    assert (complete.state, loop.counted, loop.is_done) == ("complete", 2, True)
    assert SearchLoop(open_ledger(tmp_path), SPACE, 2).is_done
