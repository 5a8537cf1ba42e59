"""Objectives and limits; the one place where directions turn."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from nas.errors import ObjectiveError, unknown

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """A quantity that can be an objective or bear a limit.

    Attributes:
        name: What it is called.
        direction: Which way is better.
        unit: Of its values; empty for counts and shares.
        text: What it is.
        needs_training: Whether it is of the trained weights. All others can be had of an untrained network.
    """

    name: str
    direction: Direction
    unit: str
    text: str
    needs_training: bool = False


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy", "maximize", "", "share of the validation split that the exported file classifies rightly", True
        ),
        Metric("latency_ms", "minimize", "ms", "time of one inference of the exported file on the quiet target"),
        Metric("p50_ms", "minimize", "ms", "median of single inferences on the target as it was, search running"),
        Metric("p95_ms", "minimize", "ms", "their 95th percentile"),
        Metric("size_bytes", "minimize", "bytes", "size of the exported file"),
        Metric("params", "minimize", "", "parameters of the network"),
        Metric("macs", "minimize", "", "multiply-accumulate operations of one inference"),
    )
}
"""Every metric that can be named, by name."""

MEASURED = ("latency_ms", "p50_ms", "p95_ms")
"""Metrics that come of timing a file on the target: a neighbour disturbs them, and they can be measured again."""


@dataclass(frozen=True)
class Objective:
    """A metric to be made best; make it with `parse_objective`."""

    metric: str

    @property
    def direction(self) -> Direction:
        """Which way is better, in Optuna's words."""
        return METRICS[self.metric].direction


@dataclass(frozen=True)
class Limit:
    """A bound that makes a trial infeasible; make it with `parse_limit`."""

    metric: str
    operator: Literal["<=", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{self.operator}{self.bound!r}".removesuffix(".0")

    def violation(self, metrics: Mapping[str, Any]) -> float:
        """How far beyond the bound, as a share of it: 0 when met, infinite when missing, NaN, or no number.

        Shares of several limits can be added and compared. Beyond a bound of 0 it is in the metric's unit.
        """
        value = _value(metrics, self.metric)
        if math.isnan(value):
            return math.inf
        beyond = value - self.bound if self.operator == "<=" else self.bound - value
        return max(0.0, beyond / (abs(self.bound) or 1.0))


def excess(limits: Sequence[Limit], metrics: Mapping[str, Any]) -> float:
    """By how much metrics break limits, all shares together; limits on metrics that are not there are met."""
    return sum((limit.violation(metrics) for limit in limits if limit.metric in metrics), 0.0)


def parse_objective(text: str) -> Objective:
    """Read an objective.

    Raises:
        ObjectiveError: If the metric is not known.
    """
    if text not in METRICS:
        raise ObjectiveError(unknown("objective", text, METRICS))
    return Objective(text)


def parse_limit(text: str) -> Limit:
    """Read a limit such as `latency_ms<=2`.

    Raises:
        ObjectiveError: If it does not have this form, or the metric is not known.
    """
    parts = re.fullmatch(r"\s*(\w+)\s*(<=|>=)\s*(\S+)\s*", text)
    try:
        bound = float(parts[3]) if parts else math.nan
    except ValueError:
        bound = math.nan
    if parts is None or not math.isfinite(bound):
        raise ObjectiveError(
            f"limit {text!r}: expected METRIC<=NUMBER or METRIC>=NUMBER.", "For example latency_ms<=2."
        )
    if parts[1] not in METRICS:
        raise ObjectiveError(f"limit {text!r}: {unknown('metric', parts[1], METRICS)}")
    return Limit(parts[1], "<=" if parts[2] == "<=" else ">=", bound)


def minimised(objectives: Sequence[Objective], metrics: Mapping[str, Any]) -> tuple[float, ...]:
    """The objectives' values with the sign turned where more is better; NaN where a metric is missing or no number."""
    values = [(o, _value(metrics, o.metric)) for o in objectives]
    return tuple(-value if o.direction == "maximize" else value for o, value in values)


def _value(metrics: Mapping[str, Any], name: str) -> float:
    value = metrics.get(name)
    return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
