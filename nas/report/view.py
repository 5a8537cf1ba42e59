"""What a report shows of a run, read once from its ledger."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nas.objectives.metrics import METRICS, mean_of, metric, on_test, std_of
from nas.objectives.objective import Objective
from nas.runs.front import front_of, hypervolume_over_trials, knee_of, number_of, text_of
from nas.runs.ledger import Ledger, Trial
from nas.runs.models import Model
from nas.runs.record import RunRecord

Item = TypeVar("Item", Trial, Model, Trial | Model)


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


@dataclass(frozen=True)
class Column:
    """A number that is shown of each item.

    Attributes:
        field: Where it stands among an item's metrics.
        of: The metric that it is of, whose format it has.
        heading: What it is called.
    """

    field: str
    of: str
    heading: str

    def text(self, item: Trial | Model) -> str:
        """The number of an item as it is written; nothing where it is not known."""
        return text_of(item.metrics, self.field, self.of)


def short_columns(record: RunRecord) -> list[Column]:
    """What a narrow table shows: the main metric, its test score, the objectives, and what bears a limit."""
    main, *others = record.sought
    test = Column(on_test(main), main, f"test {metric(main).title}")
    return [Column(main, main, metric(main).label), test, *(Column(name, name, metric(name).label) for name in others)]


def all_columns(record: RunRecord) -> list[Column]:
    """Every number of an item: the scores on validation data, over seeds and on test data, then all other metrics."""
    columns: list[Column] = []
    for name in record.scores:
        title = metric(name).title
        columns += [
            Column(name, name, f"validation {title}"),
            Column(mean_of(name), name, "its mean over seeds"),
            Column(std_of(name), name, "its deviation"),
            Column(on_test(name), name, f"test {title}"),
        ]
    return columns + [Column(name, name, each.label) for name, each in METRICS.items() if each.stage != "trained"]


def costs_of(runs: Sequence[RunView]) -> list[str]:
    """What the main metric is drawn against: the other objectives of the first run; latency and size with only one."""
    main = runs[0].record.main
    others = [objective.metric for objective in runs[0].objectives if objective.metric != main]
    return list(dict.fromkeys((*others, "latency_ms", "size_bytes")))[: max(2, len(others))]


def view(ledger: Ledger) -> RunView:
    """Read what reports show."""
    objectives = ledger.record.parsed_objectives
    trials, models = ledger.trials(), ledger.models()
    complete = [trial for trial in trials if trial.state == "complete"]
    candidates: Sequence[Trial | Model] = models or complete
    front = sorted(front_of(candidates, objectives), key=_latency)
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


def _latency(item: Trial | Model) -> float:
    latency = number_of(item.metrics, "latency_ms")
    return math.inf if math.isnan(latency) else latency


def labels_of(runs: Sequence[RunView]) -> list[str]:
    """What runs are called side by side: their names, numbered where several have the same."""
    times = Counter(printable(run.record.name) for run in runs)
    seen: Counter[str] = Counter()
    labels: list[str] = []
    for run in runs:
        name = printable(run.record.name)
        seen[name] += 1
        labels.append(f"{name} ({seen[name]})" if times[name] > 1 else name)
    return labels


def differences(runs: Sequence[RunView]) -> list[str]:
    """The terms in which runs differ so that their numbers cannot be compared: task, target, objectives."""
    terms = {
        "task": {(run.record.task, run.record.task_fingerprint) for run in runs},
        "target": {json.dumps([run.record.target, run.record.device], sort_keys=True) for run in runs},
        "objectives": {frozenset(run.objectives) for run in runs},
    }
    return [name for name, values in terms.items() if len(values) > 1]


def hypervolumes(runs: Sequence[RunView]) -> list[Sequence[float]]:
    """Each run's hypervolume after each complete trial, all as shares of one box so that runs can be compared.

    Returns:
        One curve a run; nothing where the runs have not the same objectives.
    """
    if len(runs) == 1:
        return [runs[0].hypervolume]
    if "objectives" in differences(runs):
        return []
    everything = [trial for run in runs for trial in run.trials]
    return [hypervolume_over_trials(run.trials, runs[0].objectives, everything) for run in runs]


def measured(items: Sequence[Item], *metrics: str) -> list[Item]:
    """The items that have all these metrics as finite numbers, in their order."""
    return [item for item in items if all(is_number(item.metrics.get(metric)) for metric in metrics)]


def is_number(value: Any) -> bool:
    """Whether a metric is there and finite."""
    return not math.isnan(number_of({"": value}, ""))


def printable(text: str) -> str:
    """A text without what a picture cannot show or a file cannot hold: control characters and halves of characters."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
