"""Objectives and limits; the one place where directions turn."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from nas.errors import ObjectiveError
from nas.objectives.metrics import Direction, metric


@dataclass(frozen=True)
class Objective:
    """A metric to be made best; make it with `parse_objective`."""

    metric: str

    @property
    def direction(self) -> Direction:
        """Which way is better, in Optuna's words."""
        return metric(self.metric).direction


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
    return Objective(metric(text, "objective").name)


def parse_limit(text: str) -> Limit:
    """Read a limit such as `latency_ms<=2` or `rmse:price<=3`.

    Raises:
        ObjectiveError: If it does not have this form, or the metric is not known.
    """
    parts = re.fullmatch(r"\s*(\w+(?::.*\S)?)\s*(<=|>=)\s*(\S+)\s*", text, re.DOTALL)
    try:
        bound = float(parts[3]) if parts else math.nan
    except ValueError:
        bound = math.nan
    if parts is None or not math.isfinite(bound):
        raise ObjectiveError(
            f"limit {text!r}: expected METRIC<=NUMBER or METRIC>=NUMBER.", "For example latency_ms<=2."
        )
    try:
        name = metric(parts[1]).name
    except ObjectiveError as error:
        raise ObjectiveError(f"limit {text!r}: {error.message}") from None
    return Limit(name, "<=" if parts[2] == "<=" else ">=", bound)


def minimised(objectives: Sequence[Objective], metrics: Mapping[str, Any]) -> tuple[float, ...]:
    """The objectives' values with the sign turned where more is better; NaN where a metric is missing or no number."""
    values = [(o, _value(metrics, o.metric)) for o in objectives]
    return tuple(-value if o.direction == "maximize" else value for o, value in values)


def _value(metrics: Mapping[str, Any], name: str) -> float:
    value = metrics.get(name)
    return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
