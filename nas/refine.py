"""Train the front's members to the end, with several seeds."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.choices import Label
from nas.errors import RunError
from nas.evaluate import Measure, Outcome, attempt
from nas.execution import cluster, run_jobs
from nas.export import score_onnx
from nas.front import front_of
from nas.holding import writing
from nas.ledger import Ledger, Model, Trial, replace_folder, write_model
from nas.run import Context, open_run
from nas.settle import settle


@dataclass(frozen=True)
class RefineJob:
    """One member of the front and one seed."""

    trial: int
    decisions: Mapping[str, Label]
    seed: int


@dataclass(frozen=True)
class Refusal:
    """A model that could not be made, and why."""

    model: str
    reason: str


def refine(
    run: str | Path,
    *,
    seeds: int = 3,
    epochs: int | None = None,
    members: int | None = None,
    data: str | Path | None = None,
    workers: int | None = None,
    address: str | None = None,
    storage: str = "",
    on_model: Callable[[Model | Refusal], None] = lambda _: None,
) -> Ledger:
    """Train each member of the search's front from scratch with several seeds, and keep the best one by validation.

    A member whose refined model is already there, with as many seeds and epochs, is not trained again.

    Args:
        run: The run folder.
        seeds: Trainings of each member.
        epochs: Of each training; default four times those of the search.
        members: At most so many, the most accurate first; default all.
        data: Where the run's data are now, if not where they were.
        workers: Trainings at a time; default one for each core.
        address: Of a running Ray cluster.
        storage: URL of the database that holds the study, if one does.
        on_model: Called with each finished model, and with each member that could not be trained.

    Returns:
        The ledger; the models' `accuracy` is of the file kept, `accuracy_mean` and `accuracy_std` of all seeds.

    Raises:
        RunError: If there is no run or no complete trial.
    """
    folder = Path(run)
    with writing(folder):
        ledger, context = open_run(folder, data, storage)
        settle(ledger)
        context = replace(context, training=replace(context.training, epochs=epochs or 4 * context.training.epochs))
        wanted = [trial for trial in _members(ledger, members) if not _is_done(ledger, trial, seeds, context)]
        jobs = [RefineJob(t.number, t.decisions, context.training.seed + s) for t in wanted for s in range(seeds)]
        outcomes: dict[int, list[tuple[RefineJob, Outcome]]] = {trial.number: [] for trial in wanted}
        if jobs:
            with cluster(context.target, workers, address) as running:
                for position, outcome in run_jobs(running, jobs, refine_job, context):
                    job = jobs[position]
                    outcomes[job.trial].append((job, outcome))
                    if len(outcomes[job.trial]) == seeds:
                        on_model(_keep_best(ledger, context, outcomes[job.trial]))
        shutil.rmtree(folder / "refining", ignore_errors=True)
    return ledger


def refine_job(context: Context, job: RefineJob, measure: Measure) -> Outcome:
    """Train one member with one seed in a worker; the test split is scored once, on the file."""
    draft = _draft(context, job)
    training = replace(context.training, seed=job.seed)
    outcome = attempt(context.space(), job.decisions, context.task, training, (), measure, draft)
    if outcome.state != "complete":
        return outcome
    test = context.task.test
    score = {"test_accuracy": score_onnx(draft / "model.onnx", test.inputs, test.targets)}
    return replace(outcome, metrics={**outcome.metrics, **score})


def _members(ledger: Ledger, count: int | None) -> list[Trial]:
    complete = [trial for trial in ledger.trials() if trial.state == "complete"]
    if not complete:
        raise RunError(f"{ledger.folder}: has no complete trial to refine.", "Search first: nas search.")
    front = front_of(complete, ledger.record.parsed_objectives)
    return sorted(front, key=lambda t: -t.metrics.get("accuracy", 0.0))[:count]


def _is_done(ledger: Ledger, trial: Trial, seeds: int, context: Context) -> bool:
    return any(
        model.trial == trial.number
        and model.stage == "refined"
        and len(model.metrics["seeds"]) >= seeds
        and model.metrics["epochs"] >= context.training.epochs
        for model in ledger.models()
    )


def _keep_best(ledger: Ledger, context: Context, outcomes: list[tuple[RefineJob, Outcome]]) -> Model | Refusal:
    complete = sorted(
        ((job, outcome) for job, outcome in outcomes if outcome.state == "complete"), key=lambda pair: pair[0].seed
    )
    trial = outcomes[0][0].trial
    name = f"{trial}-refined"
    if not complete:
        return Refusal(name, f"every training failed; the last one: {outcomes[-1][1].reason}")
    best, outcome = max(complete, key=lambda pair: pair[1].metrics["accuracy"])
    folder = ledger.folder / "models" / name
    folder.parent.mkdir(exist_ok=True)
    replace_folder(_draft(context, best), folder)
    metrics = {
        **outcome.metrics,
        **_spread("accuracy", complete),
        **_spread("test_accuracy", complete),
        "seeds": [job.seed for job, _ in complete],
        "seed": best.seed,
        "failed_seeds": {job.seed: o.reason for job, o in outcomes if o.state != "complete"},
        "epochs": context.training.epochs,
    }
    model = Model(name, trial, "refined", (), None, best.decisions, metrics, folder)
    write_model(folder, model)
    return model


def _spread(metric: str, outcomes: list[tuple[RefineJob, Outcome]]) -> dict[str, Any]:
    values = [outcome.metrics[metric] for _, outcome in outcomes]
    return {
        f"{metric}_mean": statistics.fmean(values),
        f"{metric}_std": statistics.stdev(values) if values[1:] else 0.0,
    }


def _draft(context: Context, job: RefineJob) -> Path:
    return context.folder / "refining" / f"{job.trial}-{job.seed}"
