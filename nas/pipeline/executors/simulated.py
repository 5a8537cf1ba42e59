"""The search loop on a virtual clock: candidates are looked up instead of trained, and nothing is written.

What drives `Proposals` here is what drives it on Ray: jobs are asked for while workers are free, and told in the order
in which they end. Only time is made up, so a search of hours by a thousand workers takes as long as its sampler.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna

from nas.errors import RunError
from nas.evaluation.outcome import Outcome
from nas.objectives.metrics import needs_training
from nas.pipeline.loop import Job, SearchLoop
from nas.runs.ledger import Ledger, name_metrics
from nas.runs.record import RunRecord
from nas.space.space import Space

Evaluate = Callable[[Job], tuple[Outcome, float]]
"""What becomes of a job, and how many virtual seconds it takes."""


def simulate(
    proposals: SearchLoop,
    evaluate: Evaluate,
    workers: int = 1,
    epochs: Callable[[Job], Sequence[Mapping[str, float]]] = lambda _: (),
) -> float:
    """Run jobs on a virtual clock until the proposals end.

    What happens at the same time is told in the order of the jobs' numbers; the same proposals and evaluations give the
    same ledger.

    Args:
        proposals: The loop that is driven.
        evaluate: Called when a job begins; its outcome is told when the job's seconds have passed.
        workers: Jobs at a time.
        epochs: What a job tells of each of its epochs, which all take the same time; at rungs the loop may stop it.

    Returns:
        The virtual seconds that passed.

    Raises:
        RunError: If there is no worker, or a job takes a time that is negative or not finite.
    """
    if workers < 1:
        raise RunError(f"simulate: {workers} workers; expected at least one.")
    clock = 0.0
    flying: set[int] = set()
    events: list[tuple[float, int, int, Outcome | Mapping[str, float]]] = []
    while True:
        while len(flying) < workers and (given := proposals.next()) is not None:
            number, job = given
            outcome, seconds = evaluate(job)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise RunError(f"simulate: trial {number} takes {seconds} s; expected a finite time, 0 or more.")
            flying.add(number)
            told = epochs(job)
            for epoch, metrics in enumerate(told):
                if proposals.rungs is None or epoch in proposals.rungs:
                    heapq.heappush(events, (clock + seconds * (epoch + 1) / len(told), number, epoch, metrics))
            heapq.heappush(events, (clock + seconds, number, len(told), outcome))
        if not flying:
            return clock
        when, number, epoch, said = heapq.heappop(events)
        if number not in flying:  # it was stopped
            continue
        clock = when
        if isinstance(said, Outcome):
            flying.remove(number)
            proposals.finish(number, said)
        elif not proposals.hear(number, epoch, said):
            flying.remove(number)
            proposals.finish(number, None)


class MemoryLedger(Ledger):
    """A ledger whose trials have no files."""

    def discard_weights(self, number: int) -> None:
        """Nothing to delete."""

    def discard_draft(self, number: int) -> None:
        """Nothing to delete."""


def memory_ledger(
    space: Space,
    objectives: Sequence[str],
    sampler: optuna.samplers.BaseSampler,
    limits: Sequence[str] = (),
    seed: int = 0,
) -> MemoryLedger:
    """Begin a run that lives in memory only.

    Args:
        space: What is searched.
        objectives: Metrics, each with its own direction.
        sampler: Who proposes.
        limits: What whoever evaluates holds candidates to; recorded here.
        seed: Recorded with the run.

    Raises:
        ObjectiveError: If an objective is not known.
    """
    record = RunRecord(
        name="simulation",
        command="",
        space_file="",
        space_fingerprint=space.fingerprint,
        task="simulation",
        data="",
        label=(),
        task_fingerprint="",
        output={},
        scores=tuple(name for name in objectives if needs_training(name)),
        objectives=tuple(objectives),
        limits=tuple(limits),
        target={"name": "simulation"},
        sampler=type(sampler).__name__,
        seed=seed,
        training={},
        storage="memory",
        versions={},
        revision="",
        created="",
    )
    study = optuna.create_study(directions=[o.direction for o in record.parsed_objectives], sampler=sampler)
    name_metrics(study, record.objectives)
    return MemoryLedger(Path(os.devnull), record, study)
