"""Objectives and limits as users write them."""

from __future__ import annotations

import math

import pytest

from nas.errors import ObjectiveError
from nas.objective import Limit, minimised, parse_limit, parse_objective


def test_directions_turn_here() -> None:
    objectives = [parse_objective("accuracy"), parse_objective("latency_ms")]
    assert [o.direction for o in objectives] == ["maximize", "minimize"]
    assert minimised(objectives, {"accuracy": 0.9, "latency_ms": 2}) == (-0.9, 2.0)
    assert math.isnan(minimised(objectives, {"accuracy": 0.9})[1])


@pytest.mark.parametrize("text", ["latency_ms<=2", " latency_ms <= 2e0 ", "accuracy>=0.5", "size_bytes<=1234567"])
def test_limits_are_read_and_written(text: str) -> None:
    limit = parse_limit(text)
    assert parse_limit(str(limit)) == limit
    assert str(limit) == str(parse_limit(str(limit)))


def test_violation() -> None:
    limit = Limit("latency_ms", "<=", 2.0)
    assert limit.violation({"latency_ms": 2.0}) == 0
    assert limit.violation({"latency_ms": 2.5}) == 0.5
    assert limit.violation({}) == limit.violation({"latency_ms": math.nan}) == math.inf
    assert Limit("accuracy", ">=", 0.5).violation({"accuracy": 0.25}) == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_ms=2", "limit 'latency_ms=2': expected METRIC<=NUMBER"),
        ("latency_ms<=fast", "expected METRIC<=NUMBER.*\n.*latency_ms<=2"),
        ("latency_ms<=nan", "expected METRIC<=NUMBER"),
        ("latency<=2", "unknown metric 'latency'; known: .*Did you mean 'latency_ms'"),
    ],
)
def test_limits_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        parse_limit(text)


def test_unknown_objective() -> None:
    with pytest.raises(ObjectiveError, match="unknown objective 'acuracy'; known: accuracy, .*Did you mean 'accuracy'"):
        parse_objective("acuracy")
