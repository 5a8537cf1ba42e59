"""The front of trials and models: their metrics turned into points, and what is non-dominated among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from nas import pareto
from nas.ledger import Trial
from nas.objective import Objective, minimised


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


def hypervolume_over_trials(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[float]:
    """After each complete trial in the order they finished, the dominated share of the box that all trials span."""
    complete = sorted((t for t in trials if t.state == "complete"), key=lambda t: t.finished)
    points = _points(complete, objectives)
    return [pareto.hypervolume_share(points[: i + 1], among=points) for i in range(len(points))]


def hypervolume_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> float:
    """Dominated share of the box that the complete trials span, between 0 and 1."""
    return pareto.hypervolume_share(_points([t for t in trials if t.state == "complete"], objectives))


class _Hoped:
    """An item as if its latency had been slowed as much as the reference in that moment."""

    def __init__(self, item: Measured) -> None:
        latency, reference, best = (
            float(item.metrics.get(name, math.nan)) for name in ("latency_ms", "reference_ms", "best_reference_ms")
        )
        self.metrics = {**item.metrics, "latency_ms": latency * (best / reference if best < reference else 1.0)}


def _points(items: Sequence[Measured], objectives: Sequence[Objective]) -> pareto.Points:
    return np.array([minimised(objectives, item.metrics) for item in items]).reshape(len(items), len(objectives))


def _noise(items: Sequence[Measured], objectives: Sequence[Objective]) -> pareto.Points:
    """Half the interval of a measured latency; nothing for what is exact or has no interval."""
    noise = np.zeros((len(items), len(objectives)))
    for k, objective in enumerate(objectives):
        if objective.metric == "latency_ms":
            intervals = [item.metrics.get("latency_interval_ms") or (0.0, 0.0) for item in items]
            noise[:, k] = [(high - low) / 2 for low, high in intervals]
    return noise
