"""Train the front's members to the end, with several seeds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.errors import RunError
from nas.evaluation.assess import Measure, assess
from nas.evaluation.border import at_border
from nas.evaluation.candidate import candidate_of
from nas.evaluation.context import Report, go_on
from nas.evaluation.evaluator import attempt
from nas.evaluation.outcome import WORKER_DIED, Outcome
from nas.objectives.metrics import mean_of, on_test, std_of
from nas.pipeline.context import WorkerContext
from nas.pipeline.device_change import note_device
from nas.pipeline.executors.ray_tune import cluster, run_jobs
from nas.pipeline.run import open_run
from nas.pipeline.settle import settle
from nas.runs.files import replace_folder, write_json
from nas.runs.front import front_of, goodness
from nas.runs.ledger import Ledger, Trial
from nas.runs.lock import writing
from nas.runs.models import Model, write_model
from nas.space.choices import Label
from nas.space.space import Space

FAILED_FILE = "failed.json"
"""What stands in the place of a model of which every training failed: why, by seed, and of how many epochs."""


@dataclass(frozen=True)
class RefineJob:
    """One member of the front and one seed."""

    trial: int
    decisions: Mapping[str, Label]
    seed: int
    epochs: int


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

    A member that was trained with as many seeds and epochs is not trained again, also where trainings failed: what
    fails once fails with the same seed again.

    Args:
        run: The run folder.
        seeds: Trainings of each member.
        epochs: Of each training; default four times those of the search, or of the candidate's own recipe.
        members: At most so many, the best by the main metric first; default all.
        data: Where the run's data are now, if not where they were.
        workers: Trainings at a time; default one for each core.
        address: Of a running Ray cluster.
        storage: URL of the database that holds the study, if one does.
        on_model: Called with each finished model, and with each member that could not be trained.

    Returns:
        The ledger; the models' scores are of the file kept, those that end in `_mean` and `_std` of all seeds.

    Raises:
        RunError: If there is no run or no complete trial.
    """
    folder = Path(run)
    with writing(folder):
        ledger, context = open_run(folder, data, storage)
        note_device(ledger, context.target)
        settle(ledger)
        space, jobs = context.space(), list[RefineJob]()
        for trial in _members(ledger, members):
            wanted = epochs or 4 * _own_epochs(space, trial, context)
            if refusal := _failed_before(ledger, trial, seeds, wanted):
                on_model(refusal)
            elif not _is_done(ledger, trial, seeds, wanted):
                first = context.training.seed
                jobs += [RefineJob(trial.number, trial.decisions, first + s, wanted) for s in range(seeds)]
        outcomes: dict[int, list[tuple[RefineJob, Outcome]]] = {job.trial: [] for job in jobs}
        if jobs:
            with cluster(context.target, workers, address) as running:
                for position, outcome in run_jobs(running, jobs, refine_job, context):
                    job = jobs[position]
                    outcomes[job.trial].append((job, outcome or WORKER_DIED))
                    if len(outcomes[job.trial]) == seeds:
                        on_model(_kept(ledger, context, outcomes[job.trial]))
    return ledger


def refine_job(context: WorkerContext, job: RefineJob, measure: Measure | None, report: Report = go_on) -> Outcome:
    """Train one member with one seed in a worker; the test split is scored once, on the file."""
    draft = _draft(context, job)
    training = replace(context.training, seed=job.seed)
    terms = replace(context.evaluation(measure), training=training, limits=(), epochs=job.epochs)
    outcome = attempt(context.space(), job.decisions, draft, terms, report)
    if outcome.state != "complete":
        return outcome

    def score() -> Outcome:
        scores = assess(draft / "model.onnx", context.task.output, {"test_": context.task.test})
        return replace(outcome, metrics={**outcome.metrics, **scores})

    return at_border(score, lambda reason: Outcome("failed", outcome.metrics, reason), draft)


def _members(ledger: Ledger, count: int | None) -> list[Trial]:
    complete = [trial for trial in ledger.trials() if trial.state == "complete"]
    if not complete:
        raise RunError(f"{ledger.folder}: has no complete trial to refine.", "Search first: nas search.")
    front = front_of(complete, ledger.record.parsed_objectives)
    return sorted(front, key=lambda trial: -goodness(trial.metrics, ledger.record.main))[:count]


def _own_epochs(space: Space, trial: Trial, context: WorkerContext) -> int:
    """The epochs that a trial was trained for in the search."""
    return candidate_of(space.architecture(trial.decisions).network).trained_by(context.training).epochs


def _is_done(ledger: Ledger, trial: Trial, seeds: int, epochs: int) -> bool:
    return any(
        model.trial == trial.number
        and model.stage == "refined"
        and len(model.metrics["seeds"]) + len(model.metrics.get("failed_seeds", ())) >= seeds
        and model.metrics["epochs"] >= epochs
        for model in ledger.models()
    )


def _failed_before(ledger: Ledger, trial: Trial, seeds: int, wanted: int) -> Refusal | None:
    """That every training of a member failed, with as many seeds and epochs; None otherwise."""
    name = _name(trial.number)
    try:
        record = json.loads((ledger.folder / "models" / name / FAILED_FILE).read_text(encoding="utf-8"))
        reasons, epochs = list(record["failed_seeds"].values()), int(record["epochs"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if len(reasons) < seeds or epochs < wanted:
        return None
    again = f"to try again give more than {len(reasons)} seeds or {epochs} epochs"
    return Refusal(name, f"every training failed before ({again}); the last one: {reasons[-1]}")


def _name(trial: int) -> str:
    return f"{trial}-refined"


def _kept(ledger: Ledger, context: WorkerContext, outcomes: list[tuple[RefineJob, Outcome]]) -> Model | Refusal:
    """The model that is kept of a member's trainings; what goes wrong with it is its refusal."""
    name = _name(outcomes[0][0].trial)
    return at_border(lambda: _keep_best(ledger, context, outcomes), lambda reason: Refusal(name, reason), ledger.folder)


def _keep_best(ledger: Ledger, context: WorkerContext, outcomes: list[tuple[RefineJob, Outcome]]) -> Model | Refusal:
    complete = sorted(
        ((job, outcome) for job, outcome in outcomes if outcome.state == "complete"), key=lambda pair: pair[0].seed
    )
    trial = outcomes[0][0].trial
    name = _name(trial)
    failed = {job.seed: o.reason for job, o in outcomes if o.state != "complete"}
    if not complete:
        place = ledger.folder / "models" / name
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / FAILED_FILE, {"failed_seeds": failed, "epochs": outcomes[0][0].epochs})
        return Refusal(name, f"every training failed; the last one: {outcomes[-1][1].reason}")
    best, outcome = max(complete, key=lambda pair: goodness(pair[1].metrics, ledger.record.main))
    folder = ledger.folder / "models" / name
    folder.parent.mkdir(exist_ok=True)
    replace_folder(_draft(context, best), folder)
    metrics = {
        **outcome.metrics,
        **_spread(ledger.record.scores, complete),
        "seeds": [job.seed for job, _ in complete],
        "seed": best.seed,
        "failed_seeds": failed,
        "epochs": best.epochs,
    }
    passes = candidate_of(context.space().architecture(best.decisions).network).chain
    model = Model(name, trial, "refined", passes, None, best.decisions, metrics, folder)
    return write_model(folder, model)


def _spread(names: Sequence[str], outcomes: list[tuple[RefineJob, Outcome]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of some metrics, on validation and on test data."""
    spread: dict[str, Any] = {}
    for name in (each for score in names for each in (score, on_test(score))):
        values = [outcome.metrics[name] for _, outcome in outcomes]
        spread |= {
            mean_of(name): statistics.fmean(values),
            std_of(name): statistics.stdev(values) if values[1:] else 0.0,
        }
    return spread


def _draft(context: WorkerContext, job: RefineJob) -> Path:
    return context.folder / "refining" / f"{job.trial}-{job.seed}"
