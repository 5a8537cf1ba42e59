"""What is kept of a member's trainings, and what is not trained again."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from example_runs import LOCAL

from nas.errors import RunError
from nas.evaluation.outcome import Outcome
from nas.pipeline.context import WorkerContext
from nas.pipeline.refine import FAILED_FILE, RefineJob, Refusal, _failed_before, _is_done, _kept, refine_job
from nas.runs.ledger import Ledger, Trial, create_ledger
from nas.runs.models import Model
from nas.runs.record import RunRecord
from nas.targets import Latency, LocalTarget
from nas.tasks import Classification, Task
from nas.tasks.task import Modality, Split
from nas.training import Training

SPACE = """
from nas import Space, choose
from nas.blocks import Dense, Network
space = Space(Network({"table": Dense(choose(4, 8))}))
"""
DECISIONS = {"encoders.table.width": 4}


def split(n: int) -> Split:
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    return Split({"table": x}, (x[:, 0] > 0).astype(np.int64))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    record = RunRecord(
        name="run", command="nas search", space_file="s.py", space_fingerprint="f", task="t", data="",
        label=(), output={"type": "Classification", "labels": ["no", "yes"]}, scores=("accuracy",),
        task_fingerprint="g", objectives=("accuracy",), limits=(), target=LOCAL, sampler="random", seed=0,
        training=asdict(Training()), storage="journal", versions={}, revision="", created="now",
    )  # fmt: skip
    return create_ledger(tmp_path / "run", record, SPACE)


@pytest.fixture
def context(ledger: Ledger) -> WorkerContext:
    task = Task(
        "made",
        {"table": Modality("vector", (6,), 0.0, 1.0, {})},
        Classification(("no", "yes")),
        split(64),
        split(32),
        split(32),
    )
    return WorkerContext(SPACE, Path("s.py"), task, LocalTarget(), Training(epochs=2), (), ledger.folder)


TRIAL = Trial(4, "complete", DECISIONS, {})


def outcomes(context: WorkerContext, **states: str) -> list[tuple[RefineJob, Outcome]]:
    """Of seeds by what became of them; a number is an accuracy, all else a reason."""
    told: list[tuple[RefineJob, Outcome]] = []
    for name, state in states.items():
        job = RefineJob(4, DECISIONS, int(name[1:]), 2)
        if state.startswith("0."):
            folder = context.folder / "refining" / f"4-{job.seed}"
            folder.mkdir(parents=True)
            (folder / "model.onnx").write_text(name)
            told.append((job, Outcome("complete", {"accuracy": float(state), "test_accuracy": float(state)})))
        else:
            told.append((job, Outcome("failed", {}, state)))
    return told


def test_the_best_seed_is_kept_and_failed_ones_with_their_reasons(ledger: Ledger, context: WorkerContext) -> None:
    kept = _kept(ledger, context, outcomes(context, s0="0.5", s1="it broke", s2="0.75"))
    assert isinstance(kept, Model)
    assert (kept.folder / "model.onnx").read_text() == "s2"
    (model,) = ledger.models()
    assert model.metrics["accuracy_mean"] == 0.625
    assert model.metrics["failed_seeds"] == {"1": "it broke"}


def test_a_seed_that_fails_is_not_trained_for_ever(ledger: Ledger, context: WorkerContext) -> None:
    _kept(ledger, context, outcomes(context, s0="0.5", s1="it broke", s2="0.75"))
    assert _is_done(ledger, TRIAL, 3, 2)
    assert not _is_done(ledger, TRIAL, 4, 2)


def test_where_every_seed_failed_the_reason_is_kept_with_how_to_try_again(
    ledger: Ledger, context: WorkerContext
) -> None:
    assert _failed_before(ledger, TRIAL, 2, 2) is None
    refused = _kept(ledger, context, outcomes(context, s0="first", s1="second"))
    assert refused == Refusal("4-refined", "every training failed; the last one: second")
    assert not ledger.models()
    assert _failed_before(ledger, TRIAL, 2, 2) == Refusal(
        "4-refined",
        "every training failed before (to try again give more than 2 seeds or 2 epochs); the last one: second",
    )
    assert _failed_before(ledger, TRIAL, 3, 2) is None
    assert isinstance(_kept(ledger, context, outcomes(context, s0="0.5")), Model)
    assert _failed_before(ledger, TRIAL, 2, 2) is None


@pytest.mark.parametrize("content", ["", "[]", '{"failed_seeds": 3}', '{"failed_seeds": {"0": "x"}}'])
def test_a_damaged_record_of_failures_is_no_record(ledger: Ledger, context: WorkerContext, content: str) -> None:
    folder = ledger.folder / "models" / "4-refined"
    folder.mkdir(parents=True)
    (folder / FAILED_FILE).write_text(content)
    assert _failed_before(ledger, TRIAL, 1, 2) is None


def test_what_goes_wrong_in_keeping_a_model_is_its_refusal(ledger: Ledger, context: WorkerContext) -> None:
    told = outcomes(context, s0="0.5")
    (context.folder / "refining" / "4-0" / "model.onnx").unlink()
    (context.folder / "refining" / "4-0").rmdir()
    kept = _kept(ledger, context, told)
    assert isinstance(kept, Refusal)
    assert "FileNotFoundError" in kept.reason


def measure(paths: Sequence[Path]) -> Sequence[Latency]:
    return [Latency(1.0, (1.0, 1.0), 1.0, 1.0, 1.0, 1.0, 8, "good", 10, 10, {}) for _ in paths]


def test_a_test_split_that_cannot_be_scored_fails_the_seed_alone(context: WorkerContext) -> None:
    job = RefineJob(4, DECISIONS, 0, 2)
    first = refine_job(context, job, measure)
    assert first.state == "complete", first.reason
    assert first.metrics["test_accuracy"] >= 0
    context.task.test.inputs["table"] = np.zeros((3, 5), np.float32)  # pyright: ignore[reportIndexIssue]
    outcome = refine_job(context, job, measure)
    assert outcome.state == "failed"
    assert outcome.reason
    assert outcome.metrics["accuracy"] >= 0


def test_a_full_disk_ends_the_command(context: WorkerContext) -> None:
    def full(_: Sequence[Path]) -> Sequence[Latency]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="no space left on the disk"):
        refine_job(context, RefineJob(4, DECISIONS, 0, 2), full)
