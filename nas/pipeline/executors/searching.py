"""How Ray Tune sees the proposals: a searcher that asks and tells them, a scheduler that lets them hear of epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from optuna.exceptions import StorageInternalError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import NasError
from nas.pipeline.executors.local_ray import killed

STOPPING = (NasError, OSError, StorageInternalError, SQLAlchemyError)
"""What ends a search: the ledger cannot be written, or a worker says that no other candidate would fare better."""


class Jobs(Protocol):
    """Who is asked for the next job and told what became of it."""

    @property
    def ended(self) -> bool:
        """Whether no further job will come."""
        ...

    @property
    def rungs(self) -> Collection[int] | None:
        """Epochs, counted from 0, after which a job waits for an answer; None for all."""
        ...

    def next(self) -> tuple[int, Any] | None:
        """Give the next job and its number, or None where one must finish first."""
        ...

    def hear(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Hear what a job told of an epoch; whether it goes on. One that does not is finished with None."""
        ...

    def finish(self, number: int, result: Any | None) -> None:
        """Take a job's result; None where it was stopped, or its worker died twice."""
        ...


class ProposalSearcher(Searcher):
    """Ray Tune's view of the proposals; it keeps no state that would need saving."""

    def __init__(self, proposals: Jobs) -> None:
        super().__init__()
        self.proposals = proposals
        self.numbers: dict[str, int] = {}
        self.stopped_by: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray Tune pickles its searcher to restore it, but the state is the ledger."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Give the next job as a configuration; None where one must finish first."""
        if self.stopped_by is not None or self.proposals.ended:
            return Searcher.FINISHED
        try:
            proposal = self.proposals.next()
        except STOPPING as error:
            self.stopped_by = error
            return Searcher.FINISHED
        if proposal is None:
            return Searcher.FINISHED if self.proposals.ended else None
        number, job = proposal
        self.numbers[trial_id] = number
        return {"job": job}

    def hear(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Let the proposals hear of an epoch; whether the trial goes on."""
        heard = result["heard"]
        try:
            return self.proposals.hear(self.numbers[trial_id], heard.epoch, heard.metrics)
        except STOPPING as error:
            self.stopped_by = error
            del self.numbers[trial_id]  # it stays in flight
            return False

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell a job's result, unless what ended is the search and not the job: it stays in flight then."""
        number = self.numbers.pop(trial_id, None)
        if number is None or self.stopped_by is not None:
            return
        if result is not None and "stopped_by" in result:
            self.stopped_by = result["stopped_by"]
            return
        if error and killed():
            return
        try:
            self.proposals.finish(number, None if error or result is None else result.get("result"))
        except STOPPING as problem:
            self.stopped_by = problem

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the state is the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the state is the ledger."""


class ReportScheduler(FIFOScheduler):
    """Starts trials in the order of their proposals, and stops those that the proposals would not have go on."""

    def __init__(self, searcher: ProposalSearcher) -> None:
        super().__init__()
        self.searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop a trial that told of an epoch and is not to go on."""
        if "heard" in result and not self.searcher.hear(trial.trial_id, result):
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE
