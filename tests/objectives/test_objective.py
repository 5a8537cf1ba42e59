"""Objectives and limits as users write them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import ObjectiveError
from nas.objectives.metrics import MEASURED, METRICS
from nas.objectives.objective import Limit, excess, minimised, parse_limit, parse_objective


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


@pytest.mark.parametrize("column", ["price", "a<=b", "x:y", "two words", "größe", "1"])
def test_a_limit_may_be_on_one_of_several_outputs(column: str) -> None:
    limit = parse_limit(f" rmse:{column} <= 3 ")
    assert limit == Limit(f"rmse:{column}", "<=", 3.0)
    assert parse_limit(str(limit)) == limit


def test_violation() -> None:
    limit = Limit("latency_ms", "<=", 2.0)
    assert limit.violation({"latency_ms": 2.0}) == 0
    assert limit.violation({"latency_ms": 2.5}) == 0.25
    assert limit.violation({}) == limit.violation({"latency_ms": math.nan}) == math.inf
    assert Limit("accuracy", ">=", 0.5).violation({"accuracy": 0.25}) == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_ms=2", "limit 'latency_ms=2': expected METRIC<=NUMBER"),
        ("latency_ms<=fast", "expected METRIC<=NUMBER.*\n.*latency_ms<=2"),
        ("latency_ms<=nan", "expected METRIC<=NUMBER"),
        ("rmse:price<=cheap", "expected METRIC<=NUMBER"),
        ("latency_ms:price<=2", "unknown metric 'latency_ms:price'; known: .*Did you mean 'latency_ms'"),
        ("latency<=2", "unknown metric 'latency'; known: .*Did you mean 'latency_ms'"),
    ],
)
def test_limits_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        parse_limit(text)


def test_unknown_objective() -> None:
    with pytest.raises(ObjectiveError, match="unknown objective 'acuracy'; known: accuracy, .*Did you mean 'accuracy'"):
        parse_objective("acuracy")


@pytest.mark.parametrize(("name", "direction"), [(m.name, m.direction) for m in METRICS.values()])
def test_every_metric_is_an_objective_whose_better_values_are_smaller_when_minimised(name: str, direction: str) -> None:
    objective = parse_objective(name)
    assert objective.direction == direction
    worse, better = (0.1, 0.9) if direction == "maximize" else (0.9, 0.1)
    assert minimised([objective], {name: better}) < minimised([objective], {name: worse})


def test_minimised_keeps_the_order_of_the_objectives() -> None:
    metrics = {"params": 7, "accuracy": 0.5, "macs": 3}
    assert minimised([parse_objective(n) for n in ("macs", "accuracy", "params")], metrics) == (3.0, -0.5, 7.0)
    assert minimised([], metrics) == ()


@given(
    st.sampled_from(sorted(METRICS)), st.sampled_from(["<=", ">="]), st.floats(allow_nan=False, allow_infinity=False)
)
def test_every_limit_is_read_back_as_it_was_written(metric: str, operator: str, bound: float) -> None:
    limit = parse_limit(f"{metric}{operator}{bound!r}")
    assert (limit.metric, limit.operator, limit.bound) == (metric, operator, bound)
    assert parse_limit(str(limit)) == limit


@given(st.floats(-10, 10), st.floats(-10, 10).filter(lambda bound: bound == 0 or abs(bound) > 1e-300))
def test_a_limit_is_violated_by_the_share_of_it_that_it_is_missed_by(value: float, bound: float) -> None:
    upper, lower = (Limit("macs", operator, bound).violation({"macs": value}) for operator in ("<=", ">="))
    assert upper * (abs(bound) or 1.0) == pytest.approx(max(0.0, value - bound))
    assert lower * (abs(bound) or 1.0) == pytest.approx(max(0.0, bound - value))
    assert (upper > 0) == (value > bound)
    assert (lower > 0) == (value < bound)


def test_a_share_of_a_bound_that_is_next_to_nothing_has_no_end() -> None:
    assert Limit("macs", "<=", 1e-311).violation({"macs": 1.0}) == math.inf


def test_an_infinite_value_breaks_an_upper_limit_only() -> None:
    assert Limit("macs", "<=", 1.0).violation({"macs": math.inf}) == math.inf
    assert Limit("macs", ">=", 1.0).violation({"macs": math.inf}) == 0


@pytest.mark.parametrize("text", ["", "latency_ms", "latency_ms<=", "<=2", "latency_ms<2", "latency_ms==2"])
@pytest.mark.parametrize("tail", ["", " "])
def test_other_forms_are_no_limits(text: str, tail: str) -> None:
    with pytest.raises(ObjectiveError, match=re.escape(f"limit {text + tail!r}: expected METRIC<=NUMBER or METRIC>=")):
        parse_limit(text + tail)


@pytest.mark.parametrize("bound", ["inf", "-inf", "nan", "1e999", "2 ms", "0x10"])
def test_a_bound_is_a_finite_number(bound: str) -> None:
    with pytest.raises(ObjectiveError, match=re.escape(f"limit 'macs<={bound}': expected METRIC<=NUMBER")):
        parse_limit(f"macs<={bound}")


def test_what_resembles_nothing_gets_no_suggestion() -> None:
    with pytest.raises(ObjectiveError, match="unknown objective 'zzz'; known: accuracy, .*[.]$") as caught:
        parse_objective("zzz")
    assert "Did you mean" not in str(caught.value)


def test_what_is_timed_can_be_optimised_and_limited() -> None:
    assert set(MEASURED) == {name for name, metric in METRICS.items() if metric.unit == "ms"}
    metrics = {"latency_ms": 1.0, "p50_ms": 1.5, "p95_ms": 3.0}
    assert minimised([parse_objective(name) for name in MEASURED], metrics) == (1.0, 1.5, 3.0)
    assert parse_limit("p95_ms<=2").violation(metrics) == 0.5


@pytest.mark.parametrize("value", [None, "fast", [1], True])
def test_what_is_no_number_meets_no_limit_and_is_no_objective(value: object) -> None:
    assert Limit("macs", "<=", 1.0).violation({"macs": value}) == math.inf
    assert math.isnan(minimised([parse_objective("macs")], {"macs": value})[0])


def test_excess_adds_shares_of_the_bounds() -> None:
    limits = [parse_limit("latency_ms<=2"), parse_limit("params<=100"), parse_limit("macs<=5")]
    assert excess(limits, {"latency_ms": 3.0, "params": 150}) == 1.0
    assert excess(limits, {"latency_ms": 2.0, "params": 100}) == 0.0
