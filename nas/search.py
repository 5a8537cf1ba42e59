"""The search loop: a sampler proposes, Ray Tune evaluates, the ledger remembers.

What counts: an architecture that was evaluated, refused by a limit, or failed. What does not: a repeated proposal,
which is answered from the ledger. Killing the driver loses the trials in flight at most; they are run again under
their own numbers when the run is opened again.
"""

from __future__ import annotations

import platform
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna

from nas.choices import Label
from nas.devices import load_target
from nas.errors import ObjectiveError, RunError, SamplerError, SpaceError, TaskError
from nas.evaluate import Measure, Outcome, attempt
from nas.execution import cluster, run_trials
from nas.front import front_of
from nas.ledger import Ledger, RunRecord, Trial, create_ledger, open_ledger, read_record, writing
from nas.objective import Limit, parse_limit, parse_objective
from nas.samplers import sampler as make_sampler
from nas.samplers import unseen
from nas.space import Architecture, Space
from nas.space_file import load_space, space_from_source
from nas.tasks import Task, load_table, load_task
from nas.training import Training

COUNTED = ("complete", "infeasible", "failed")
_DUPLICATES_IN_A_ROW = 20


@dataclass(frozen=True)
class Context:
    """What every worker of a run needs; shipped once.

    Attributes:
        space_source: Text of the space's file.
        space_file: Its name, for errors and imports from its folder.
        task: What is learnt.
        training: How long and how.
        limits: Bounds on metrics.
        folder: The run folder, which workers write to.
    """

    space_source: str
    space_file: Path
    task: Task
    training: Training
    limits: tuple[Limit, ...]
    folder: Path

    def space(self) -> Space:
        """The space, made from its text."""
        return space_from_source(self.space_source, self.space_file)


@dataclass(frozen=True)
class Job:
    """One architecture to evaluate."""

    number: int
    decisions: Mapping[str, Label]


OnTrial = Callable[[Ledger, Trial], None]
"""Called after each trial that was told."""


def search(
    space: str | Path,
    run: str | Path,
    *,
    task: str | None = None,
    data: str | Path | None = None,
    label: str | None = None,
    trials: int = 50,
    time_s: float | None = None,
    sampler: str | optuna.samplers.BaseSampler | None = None,
    objectives: Sequence[str] | None = None,
    limits: Sequence[str] | None = None,
    target: str | None = None,
    training: Training | None = None,
    seed: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    storage: str = "",
    command: str = "nas.search(...)",
    on_trial: OnTrial = lambda _ledger, _trial: None,
) -> Ledger:
    """Search a space, or go on with a run; what is None is as the run was begun, or the default for a new one.

    Args:
        space: The space's Python file.
        run: The run folder; one that holds a run is resumed.
        task: A built-in task; default `digits`.
        data: Data folder of the task, or with `label` the user's own table.
        label: The table's column to predict.
        trials: Architectures to evaluate in all, those of earlier sittings included.
        time_s: Seconds after which no further trial is begun.
        sampler: Name of a sampler, or one that proposes from this space; default `nsga2`.
        objectives: Metrics; default accuracy, latency_ms, size_bytes.
        limits: For example `latency_ms<=2`.
        target: Name of the target; default `local`.
        training: How long and how candidates are trained.
        seed: Seed of everything random; default 0.
        workers: Trials at a time; default one for each core.
        address: Of a running Ray cluster; its workers must see the run folder.
        storage: URL of a database for the study; default a journal file in the run folder.
        command: What is recorded as the command that began the run.
        on_trial: Called after each trial that was told.

    Returns:
        The ledger of the run.

    Raises:
        SpaceError: If the space's file is wrong.
        TaskError: If the task is unknown or its data are missing.
        ObjectiveError: If an objective or limit cannot be understood, or no trial meets the limits.
        SamplerError: If the sampler is unknown.
        RunError: If the folder's run has other terms, another process writes to it, or the disk is full.
    """
    folder, space_path = Path(run), Path(space)
    loaded = load_space(space_path)
    with writing(folder):
        begun = read_record(folder) if (folder / "run.json").exists() else None
        learnt = _load_task(task, data, label, begun)
        terms = _terms(
            begun,
            folder,
            space_path,
            loaded,
            learnt,
            objectives,
            limits,
            target,
            sampler,
            seed,
            training,
            storage,
            command,
        )
        proposer = (
            make_sampler(terms.sampler, loaded, terms.seed)
            if not isinstance(sampler, optuna.samplers.BaseSampler)
            else sampler
        )
        device = load_target(terms.target)
        if begun is None:
            ledger = create_ledger(folder, terms, space_path.read_text(encoding="utf-8"), proposer, storage)
        else:
            ledger = open_ledger(folder, proposer, storage)
        context = Context(
            ledger.space_source, space_path, learnt, Training(**terms.training), terms.parsed_limits, folder.resolve()
        )
        proposals = Proposals(ledger, loaded, trials, time_s, on_trial)
        if not proposals.ended:
            with cluster(device, workers, address) as running:
                run_trials(running, proposals, evaluate_job, context)
    _check_limits_met(ledger)
    return ledger


def evaluate_job(context: Context, job: Job, measure: Measure) -> Outcome:
    """Evaluate one architecture in a worker."""
    folder = context.folder / "trials" / str(job.number)
    return attempt(context.space(), job.decisions, context.task, context.training, context.limits, measure, folder)


class Proposals:
    """The loop without its executor: asks the study, answers repetitions, counts, resumes.

    Args:
        ledger: The run.
        space: Its space.
        wanted: Trials that count, in all.
        time_s: Seconds after which no further job is given.
        on_trial: Called after each trial that was told.
    """

    def __init__(
        self,
        ledger: Ledger,
        space: Space,
        wanted: int,
        time_s: float | None = None,
        on_trial: OnTrial = lambda _ledger, _trial: None,
    ) -> None:
        self.ledger = ledger
        self.space = space
        self.wanted = wanted
        self.deadline = time.monotonic() + time_s if time_s is not None else None
        self.on_trial = on_trial
        self.exhausted = ""
        self._told: dict[str, Trial] = {}
        self._flying: dict[str, Job] = {}
        self._waiting: dict[str, list[int]] = {}
        self._unfinished: list[Trial] = []
        for trial in ledger.trials():
            if trial.state in COUNTED:
                self._told[Architecture(trial.decisions).key] = trial
            elif trial.state == "running":
                self._unfinished.append(trial)

    @property
    def counted(self) -> int:
        """Trials told so far that count."""
        return len(self._told)

    @property
    def ended(self) -> bool:
        """Whether no further job will come."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or bool(self.exhausted) or self.counted + len(self._flying) >= self.wanted

    def next(self) -> tuple[int, Job] | None:
        """Give the next architecture that the ledger cannot answer, or None if the search has ended."""
        repeated = 0
        while not self.ended:
            job = self._resume() if self._unfinished else self._ask(repeated)
            if job is not None:
                self._flying[Architecture(job.decisions).key] = job
                return job.number, job
            repeated += 1
        return None

    def finish(self, number: int, result: Outcome | None) -> None:
        """Tell a job's outcome, also to those that proposed the same meanwhile."""
        key = next(key for key, job in self._flying.items() if job.number == number)
        outcome = result or Outcome("failed", reason="its worker died twice while it ran (killed, or out of memory)")
        if outcome.state == "complete":
            self.ledger.complete(number, outcome.metrics)
        elif outcome.state == "infeasible":
            self.ledger.refuse(number, outcome.metrics, outcome.reason, outcome.violations)
        else:
            self.ledger.fail(number, outcome.reason)
        del self._flying[key]
        self._told[key] = self.ledger.trial(number)
        for waiting in self._waiting.pop(key, []):
            self.ledger.answer(waiting, self._told[key])
        self._collect()
        self.on_trial(self.ledger, self._told[key])

    def _ask(self, repeated: int) -> Job | None:
        try:
            if repeated >= _DUPLICATES_IN_A_ROW:
                fresh = unseen(self.space, {*self._told, *self._flying}, random.Random(self.counted))
                self.ledger.study.enqueue_trial(dict(fresh.decisions))
            trial = self.ledger.study.ask()
        except SamplerError as error:
            self.exhausted = error.message
            return None
        try:
            return self._admit(trial.number, self.space.ask(trial))
        except SpaceError as error:
            self.ledger.refuse(trial.number, {}, error.message, {"constraint": 1.0})
            told = self.ledger.trial(trial.number)
            self._told.setdefault(Architecture(told.decisions).key, told)
            return None

    def _resume(self) -> Job | None:
        """Take up a trial that was in flight when the driver died, under its own number."""
        trial = self._unfinished.pop(0)
        architecture = Architecture(trial.decisions)
        try:
            self.space.decode(architecture)
        except SpaceError:
            self.ledger.abandon(trial.number)
            return None
        return self._admit(trial.number, architecture)

    def _admit(self, number: int, architecture: Architecture) -> Job | None:
        """Make a job of an architecture that is new; answer one that is not."""
        if architecture.key in self._told:
            self.ledger.answer(number, self._told[architecture.key])
            return None
        if architecture.key in self._flying:
            self._waiting.setdefault(architecture.key, []).append(number)
            return None
        return Job(number, architecture.decisions)

    def _collect(self) -> None:
        """Delete the large files of trials that are no longer on the front."""
        complete = [trial for trial in self._told.values() if trial.state == "complete"]
        front = {trial.number for trial in front_of(complete, self.ledger.record.parsed_objectives)}
        for trial in complete:
            if trial.number not in front:
                self.ledger.discard_weights(trial.number)


def _load_task(task: str | None, data: str | Path | None, label: str | None, begun: RunRecord | None) -> Task:
    if label is not None:
        if data is None:
            raise TaskError("--label: names a column, but no table is given.", "Give --data TABLE.csv.")
        return load_table(Path(data), label)
    name = task or (begun.task if begun else "digits")
    return load_task(name, Path(data) if data is not None else None)


def _terms(
    begun: RunRecord | None,
    folder: Path,
    space_path: Path,
    space: Space,
    task: Task,
    objectives: Sequence[str] | None,
    limits: Sequence[str] | None,
    target: str | None,
    sampler: str | optuna.samplers.BaseSampler | None,
    seed: int | None,
    training: Training | None,
    storage: str,
    command: str,
) -> RunRecord:
    """The terms of a new run, or those that a run was begun under, checked against what is asked for now."""
    asked: dict[str, Any] = {
        "task": task.name,
        "space_fingerprint": space.fingerprint,
        "task_fingerprint": task.fingerprint,
        "objectives": None if objectives is None else tuple(str(parse_objective(o).metric) for o in objectives),
        "limits": None if limits is None else tuple(str(parse_limit(text)) for text in limits),
        "target": None if target is None else load_target(target).name,
        "seed": seed,
        "training": None if training is None else asdict(training),
        "sampler": None if sampler is None else sampler if isinstance(sampler, str) else type(sampler).__name__,
    }
    if begun is not None:
        for name, value in asked.items():
            was = getattr(begun, name)
            if value is not None and value != was:
                raise RunError(
                    f"{folder}: was begun with {name.replace('_', ' ')} {_readable(was)}, not {_readable(value)}.",
                    "Resume it with its own terms, or begin another run in another folder.",
                )
        return begun
    defaults: dict[str, Any] = {
        "objectives": ("accuracy", "latency_ms", "size_bytes"),
        "limits": (),
        "target": "local",
        "seed": 0,
        "training": asdict(Training(seed=seed or 0)),
        "sampler": "nsga2",
    }
    return RunRecord(
        name=folder.resolve().name,
        command=command,
        space_file=str(space_path),
        storage=storage.split(":", 1)[0].split("+", 1)[0] if storage else "journal",
        versions=versions(),
        revision=_revision(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        **{name: defaults[name] if value is None else value for name, value in asked.items()},
    )


def versions() -> Mapping[str, str]:
    """The versions of Python and of the packages whose results may depend on them."""
    packages = ("torch", "onnx", "onnxruntime", "optuna", "ray", "numpy", "torch-pruning")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _revision() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return found.stdout.strip()


def _readable(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _check_limits_met(ledger: Ledger) -> None:
    trials = [trial for trial in ledger.trials() if trial.state in COUNTED]
    refused = [trial for trial in trials if trial.state == "infeasible"]
    if trials and len(refused) == len(trials):
        raise ObjectiveError(
            f"limits {', '.join(ledger.record.limits) or '(constraints)'}: refused all {len(refused)} architectures; "
            f"the last one: {refused[-1].reason}.",
            "Loosen the limit, or give the space smaller options.",
        )
