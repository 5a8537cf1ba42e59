"""The search loop: a sampler proposes, Ray Tune evaluates, the ledger remembers.

What counts: an architecture that was evaluated, refused by a limit, or failed. What does not: a repeated proposal,
which is answered from the ledger. Killing the driver loses the trials in flight at most; they are run again under
their own numbers when the run is opened again.
"""

from __future__ import annotations

import errno
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from nas.choices import Label
from nas.errors import ObjectiveError, SamplerError, SpaceError
from nas.evaluate import Measure, Outcome, attempt, disk_full
from nas.execution import cluster, run_trials
from nas.front import front_of
from nas.ledger import Ledger, RunRecord, Trial, writing
from nas.run import Asked, Context, begin_run
from nas.samplers import Filtered, Sampler, unseen
from nas.samplers import sampler as make_sampler
from nas.space import Architecture, Space
from nas.space_file import load_space
from nas.tasks import Task
from nas.training import Training, proxy_score

COUNTED = ("complete", "infeasible", "failed")
_DUPLICATES_IN_A_ROW = 20


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
    screen: str | None = None,
    proposals: int | None = None,
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
        screen: Name of a proxy that scores untrained networks: the best of some proposals is evaluated; default none.
        proposals: How many the screen chooses from; default 8.
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
        SamplerError: If the sampler is unknown, or is an object that cannot be screened.
        TrainingError: If the screen is unknown.
        RunError: If the folder's run has other terms, another process writes to it, or the disk is full.
    """
    folder, space_path = Path(run), Path(space)
    if isinstance(sampler, str):
        make_sampler(sampler, load_space(space_path))
    _check_screened(sampler, screen)
    asked = Asked(task, data, label, objectives, limits, target, _name(sampler), seed, training, screen, proposals)
    with writing(folder):
        ledger, context = begin_run(folder, space_path, asked, storage, command)
        loaded = context.space()
        ledger.study.sampler = _sampler(sampler, loaded, ledger.record, context.task)
        loop = Proposals(ledger, loaded, trials, time_s, on_trial)
        if not loop.ended:
            with cluster(context.target, workers, address) as running:
                try:
                    run_trials(running, loop, evaluate_job, context)
                except OSError as error:
                    raise disk_full(folder) if error.errno == errno.ENOSPC else error from None
    if loop.exhausted:
        raise SamplerError(f"{folder}: {loop.counted} of {trials} trials are done, and {loop.exhausted}")
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
                self._told[self._key(trial.decisions)] = trial
            elif trial.state == "running":
                self._unfinished.append(trial)
        self._kept = [trial for trial in self._told.values() if trial.state == "complete"]

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
        if outcome.state != "complete":
            self.ledger.discard_draft(number)
        del self._flying[key]
        self._told[key] = self.ledger.trial(number)
        for waiting in self._waiting.pop(key, []):
            self.ledger.answer(waiting, self._told[key])
        self._collect(self._told[key])
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
            self._told.setdefault(self._key(told.decisions), told)
            return None

    def _resume(self) -> Job | None:
        """Take up a trial that was in flight when the driver died, under its own number."""
        trial = self._unfinished.pop(0)
        try:
            architecture = self.space.architecture(trial.decisions)
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
        job = Job(number, architecture.decisions)
        self._flying[architecture.key] = job
        return job

    def _key(self, decisions: Mapping[str, Label]) -> str:
        """What a told trial is known by; decisions that a constraint refuses lead to no architecture."""
        try:
            return self.space.architecture(decisions).key
        except SpaceError:
            return json.dumps(dict(decisions), sort_keys=True)

    def _collect(self, told: Trial) -> None:
        """Delete the large files of trials that have left the front, once each.

        A new trial is held against those that are kept. All of the front is among them; where noise differs it can be
        a few more, which the next sitting deletes.
        """
        if told.state != "complete":
            return
        self._kept.append(told)
        front = front_of(self._kept, self.ledger.record.parsed_objectives)
        numbers = {trial.number for trial in front}
        for trial in self._kept:
            if trial.number not in numbers:
                self.ledger.discard_weights(trial.number)
        self._kept = front


def _sampler(
    given: str | optuna.samplers.BaseSampler | None, space: Space, record: RunRecord, task: Task
) -> optuna.samplers.BaseSampler:
    """Who proposes, through the run's screen if it has one."""
    screen = proxy_score(record.screen, task, record.seed) if record.screen else None
    if not isinstance(given, optuna.samplers.BaseSampler):
        return make_sampler(record.sampler, space, record.seed, screen=screen, proposals=record.proposals)
    _check_screened(given, record.screen)
    return (
        Filtered(given, screen=screen, proposals=record.proposals) if isinstance(given, Sampler) and screen else given
    )


def _check_screened(sampler: str | optuna.samplers.BaseSampler | None, screen: str | None) -> None:
    if screen and isinstance(sampler, optuna.samplers.BaseSampler) and not isinstance(sampler, Sampler):
        raise SamplerError(
            f"screen {screen}: cannot be put before a {type(sampler).__name__}; expected a sampler of nas.",
            "Give its name, or wrap it: nas.samplers.Foreign(space, lambda seed: ...).",
        )


def _name(sampler: str | optuna.samplers.BaseSampler | None) -> str | None:
    if sampler is None or isinstance(sampler, str):
        return sampler
    kind = type(sampler)
    return f"optuna:{kind.__name__}" if kind.__module__.startswith("optuna.") else kind.__name__


def _check_limits_met(ledger: Ledger) -> None:
    trials = [trial for trial in ledger.trials() if trial.state in COUNTED]
    refused = [trial for trial in trials if trial.state == "infeasible"]
    if trials and len(refused) == len(trials):
        raise ObjectiveError(
            f"limits {', '.join(ledger.record.limits) or '(constraints)'}: refused all {len(refused)} architectures; "
            f"the last one: {refused[-1].reason}.",
            "Loosen the limit, or give the space smaller options.",
        )
