"""The front of trials and models: their metrics turned into points, and what is non-dominated among them.

A metric that is missing or no finite number is unknown: what lacks an objective is on no front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, TypeVar

import numpy as np

from nas.objectives import pareto
from nas.objectives.metrics import MEASURED, better, metric
from nas.objectives.objective import Limit, Objective, excess, minimised
from nas.runs.ledger import Trial


class Measured(Protocol):
    """Anything with metrics: a trial or a model."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """All that was measured, by name."""
        ...


Item = TypeVar("Item", bound=Measured)


def front_of(items: Sequence[Item], objectives: Sequence[Objective], hopeful: bool = False) -> list[Item]:
    """The items that no other dominates, in their order; latencies closer than their noise are ties.

    Args:
        items: What was measured.
        objectives: Of the run.
        hopeful: Keep also what would be on the front if its latency, measured in a noisy moment, were as much less as
            the device was slower than it can be.
    """
    points, noise = _points(items, objectives), _noise(items, objectives)
    mask = pareto.front(points, noise)
    for i, item in enumerate(items):
        if hopeful and not mask[i] and item.metrics.get("latency_quality") == "noisy":
            hoped = _points([_Hoped(item)], objectives)[0]
            better = (hoped - points > noise + noise[i]).any(axis=1)
            beaten = (points <= hoped).all(axis=1) & better
            mask[i] = not (np.isnan(hoped).any() or np.delete(beaten, i).any())
    return [item for item, kept in zip(items, mask, strict=True) if kept]


def knee_of(items: Sequence[Item], objectives: Sequence[Objective]) -> Item:
    """The best compromise on the front of items.

    Raises:
        ValueError: If no item has all objectives.
    """
    front = front_of(items, objectives)
    return front[pareto.knee(_points(front, objectives))]


def hypervolume_over_trials(
    trials: Sequence[Trial], objectives: Sequence[Objective], among: Sequence[Trial] | None = None
) -> list[float]:
    """After each complete trial in the order they finished, the dominated share of a box; see `hypervolume_of`.

    Args:
        trials: Of a run.
        objectives: Of the run.
        among: Trials that span the box; default the trials themselves.
    """
    finished = sorted(_complete(trials), key=lambda trial: trial.finished)
    points = _points(finished, objectives)
    box = points if among is None else _points(_complete(among), objectives)
    return [pareto.hypervolume_share(points[: i + 1], among=box) for i in range(len(points))]


def hypervolume_of(
    trials: Sequence[Trial], objectives: Sequence[Objective], among: Sequence[Trial] | None = None
) -> float:
    """Dominated share of the box between the best and the worst value of each objective, between 0 and 1.

    It is the one hypervolume of the whole program: the terminal's, the page's, and where runs are compared that of all
    of them in one box.

    Args:
        trials: Those that dominate; only complete ones count.
        objectives: Of the run.
        among: Trials whose complete ones span the box, its worst corner being the reference point; default `trials`.
    """
    points, box = (_points(_complete(each), objectives) for each in (trials, trials if among is None else among))
    return pareto.hypervolume_share(points, among=box)


def nearest(trials: Sequence[Trial], limits: Sequence[Limit]) -> Trial | None:
    """The trial that breaks limits least, by the shares of their bounds together; ties go to the earliest.

    Args:
        trials: Of a run.
        limits: Those that are known of a trial count.

    Returns:
        One that was refused by them; None where none was.
    """
    refused = [trial for trial in trials if trial.state == "infeasible" and excess(limits, trial.metrics) > 0]
    return min(refused, key=lambda trial: excess(limits, trial.metrics), default=None)


def number_of(metrics: Mapping[str, Any], name: str) -> float:
    """A metric; NaN where it is missing or no finite number."""
    value = metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def text_of(metrics: Mapping[str, Any], name: str, of: str = "") -> str:
    """A metric as it is written, `~` before what was measured in a noisy moment; nothing where it is not known.

    Args:
        metrics: Of a trial or model.
        name: The field.
        of: The metric that the field is of, where that is another: `accuracy` of `test_accuracy`.
    """
    value, known = number_of(metrics, name), metric(of or name)
    mark = "~" if known.noise and metrics.get("latency_quality") == "noisy" else ""
    return "" if math.isnan(value) else f"{mark}{value:{known.form}}"


def said(metrics: Mapping[str, Any], name: str) -> str:
    """A metric in a sentence: `accuracy 0.9123`, `latency 0.0700 ms`; nothing where it is not known."""
    value, known = text_of(metrics, name), metric(name)
    return f"{known.title} {value} {known.unit}".strip() if value else ""


def best_of(items: Sequence[Item], name: str) -> Item:
    """The best of items by one metric; what does not have it comes last, and of equal ones the first is taken.

    Raises:
        ValueError: If there is no item.
    """
    return max(items, key=lambda item: goodness(item.metrics, name))


def goodness(metrics: Mapping[str, Any], name: str) -> float:
    """A metric with the sign that makes the largest the best; minus infinity where it is not known."""
    value = number_of(metrics, name)
    return -math.inf if math.isnan(value) else better(name, value)


def interval_of(metrics: Mapping[str, Any], name: str = "latency_ms") -> tuple[float, float] | None:
    """The interval of a metric's noise in its unit; None where there is none."""
    given = metrics.get(metric(name).noise)
    if not isinstance(given, list | tuple) or len(given) != 2:  # pyright: ignore[reportUnknownArgumentType]
        return None
    low, high = (number_of({"": value}, "") for value in given)  # pyright: ignore[reportUnknownVariableType]
    return None if math.isnan(low) or math.isnan(high) else (low, high)


class _Hoped:
    """An item as if its latency had been slowed as much as the reference in that moment."""

    def __init__(self, item: Measured) -> None:
        reference, best = (number_of(item.metrics, name) for name in ("reference_ms", "best_reference_ms"))
        share = best / reference if best < reference else 1.0
        self.metrics = {**item.metrics, **{name: number_of(item.metrics, name) * share for name in MEASURED}}


def _points(items: Sequence[Measured], objectives: Sequence[Objective]) -> pareto.Points:
    known = [{each.metric: number_of(item.metrics, each.metric) for each in objectives} for item in items]
    return np.array([minimised(objectives, metrics) for metrics in known]).reshape(len(items), len(objectives))


def _complete(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state == "complete"]


def _noise(items: Sequence[Measured], objectives: Sequence[Objective]) -> pareto.Points:
    """Half the interval of what is noisy; nothing for what is exact or has no interval."""
    noise = np.zeros((len(items), len(objectives)))
    for k, objective in enumerate(objectives):
        if metric(objective.metric).noise:
            intervals = [interval_of(item.metrics, objective.metric) or (0.0, 0.0) for item in items]
            noise[:, k] = [(high - low) / 2 for low, high in intervals]
    return noise
