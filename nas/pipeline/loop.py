"""The search loop without its executor: asks the study, answers repetitions, counts, resumes.

What counts: an architecture that was evaluated, stopped on its way, refused by a limit, or failed. What does not: a
repeated proposal, which is answered from the ledger.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from nas.errors import SamplerError, SpaceError
from nas.evaluation.outcome import WORKER_DIED, Outcome
from nas.pipeline.scheduler import GoOn, Scheduler
from nas.runs.front import front_of
from nas.runs.ledger import Ledger, Trial
from nas.samplers import unseen
from nas.space.choices import Label
from nas.space.space import Architecture, Space
from nas.targets import doubted

COUNTED = ("complete", "infeasible", "stopped", "failed")
_DUPLICATES_IN_A_ROW = 20


@dataclass(frozen=True)
class Job:
    """One architecture to evaluate."""

    number: int
    decisions: Mapping[str, Label]


OnTrial = Callable[[Ledger, Trial], None]
"""Called after each trial that was told."""


class SearchLoop:
    """Gives jobs and takes their outcomes, until as many as were wanted were told.

    Args:
        ledger: The run.
        space: Its space.
        wanted: Trials that count, in all.
        time_s: Seconds after which no further job is given.
        on_trial: Called after each trial that was told.
        scheduler: Decides after an epoch whether a trial goes on.
    """

    def __init__(
        self,
        ledger: Ledger,
        space: Space,
        wanted: int,
        time_s: float | None = None,
        on_trial: OnTrial = lambda _ledger, _trial: None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self.ledger = ledger
        self.space = space
        self.wanted = wanted
        self.deadline = time.monotonic() + time_s if time_s is not None else None
        self.on_trial = on_trial
        self.scheduler: Scheduler = scheduler or GoOn()
        self.exhausted = ""
        self._told: dict[str, Trial] = {}
        self._flying: dict[str, Job] = {}
        self._stopped: dict[int, Outcome] = {}
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
    def is_done(self) -> bool:
        """Whether what was wanted is done, and every job that was given is told."""
        return self.ended and not self._flying

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

    @property
    def rungs(self) -> Collection[int] | None:
        """Epochs, counted from 0, after which the scheduler is asked; None for all."""
        return self.scheduler.rungs

    def hear(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Hear what a job told of an epoch, counted from 0; whether it goes on. If not it is finished with None."""
        reason = self.scheduler.reason_to_stop(number, epoch, metrics)
        if reason:
            self._stopped[number] = Outcome("stopped", {**metrics, "epochs": epoch + 1}, reason)
        return not reason

    def finish(self, number: int, result: Outcome | None) -> None:
        """Tell a job's outcome, also to those that proposed the same meanwhile.

        Args:
            number: Of the job.
            result: What became of it; None where it was stopped, or else its worker died twice.
        """
        key = next(key for key, job in self._flying.items() if job.number == number)
        outcome = self._with_objectives(self._stopped.pop(number, None) or result or WORKER_DIED)
        if outcome.state == "complete":
            self.ledger.complete(number, outcome.metrics)
        elif outcome.state == "infeasible":
            self.ledger.refuse(number, outcome.metrics, outcome.reason, outcome.violations)
        elif outcome.state == "stopped":
            self.ledger.stop(number, outcome.metrics, outcome.reason)
        else:
            self.ledger.fail(number, outcome.reason, outcome.metrics)
        if outcome.state != "complete":
            self.ledger.discard_draft(number)
        del self._flying[key]
        self._told[key] = self.ledger.trial(number)
        for waiting in self._waiting.pop(key, []):
            self.ledger.answer(waiting, self._told[key])
        self._collect(self._told[key])
        self.on_trial(self.ledger, self._told[key])

    def _with_objectives(self, outcome: Outcome) -> Outcome:
        """The outcome; failed where an objective is unknown, as MACs that cannot be counted are."""
        names = [name for name in self.ledger.record.objectives if name not in outcome.metrics]
        if outcome.state != "complete" or not names:
            return outcome
        return Outcome("failed", outcome.metrics, f"objective {names[0]}: cannot be told of this network")

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
        a few more, which the next sitting deletes. What may join the front when it is measured again is kept too.
        """
        if told.state != "complete":
            return
        self._kept = [replace(trial, metrics=doubted(trial.metrics)) for trial in (*self._kept, told)]
        front = front_of(self._kept, self.ledger.record.parsed_objectives, hopeful=True)
        numbers = {trial.number for trial in front}
        for trial in self._kept:
            if trial.number not in numbers:
                self.ledger.discard_weights(trial.number)
        self._kept = front
