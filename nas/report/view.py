"""What a report shows of a run, read once from its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.front import front_of, hypervolume_over_trials, knee_of
from nas.ledger import Ledger, Model, RunRecord, Trial
from nas.objective import Objective


@dataclass(frozen=True)
class RunView:
    """A run as reports see it.

    Attributes:
        record: The terms of the run.
        trials: All of them.
        models: Refined and compressed ones.
        objectives: What the fronts are over.
        search_front: Non-dominated complete trials.
        refined: Refined models.
        compressed: Compressed models.
        front: The final front: of the models, or of the trials where there is no model.
        knee: Its best compromise; None without any complete trial.
        hypervolume: After each complete trial, share of the box that all of them span.
    """

    record: RunRecord
    trials: Sequence[Trial]
    models: Sequence[Model]
    objectives: Sequence[Objective]
    search_front: Sequence[Trial]
    refined: Sequence[Model]
    compressed: Sequence[Model]
    front: Sequence[Trial | Model]
    knee: Trial | Model | None
    hypervolume: Sequence[float]


def view(ledger: Ledger) -> RunView:
    """Read what reports show."""
    objectives = ledger.record.parsed_objectives
    trials, models = ledger.trials(), ledger.models()
    complete = [trial for trial in trials if trial.state == "complete"]
    candidates: Sequence[Trial | Model] = models or complete
    front = sorted(front_of(candidates, objectives), key=lambda item: item.metrics.get("latency_ms", 0.0))
    return RunView(
        record=ledger.record,
        trials=trials,
        models=models,
        objectives=objectives,
        search_front=front_of(complete, objectives),
        refined=[model for model in models if model.stage == "refined"],
        compressed=[model for model in models if model.stage == "compressed"],
        front=front,
        knee=knee_of(candidates, objectives) if front else None,
        hypervolume=hypervolume_over_trials(trials, objectives),
    )


def name_of(item: Trial | Model) -> str:
    """What an item is called in pictures and tables."""
    return item.name if isinstance(item, Model) else f"trial {item.number}"
