"""The registry of metrics: names, qualified names, and what is said of each."""

from __future__ import annotations

import pytest

from nas.errors import ObjectiveError
from nas.objectives.metrics import MEASURED, METRICS, STATIC, better, mean_of, metric, needs_training, on_test, std_of


def test_a_stage_says_when_a_metric_is_known() -> None:
    assert STATIC == ("params", "macs")
    assert MEASURED == ("latency_ms", "p50_ms", "p95_ms")
    assert {name for name, each in METRICS.items() if each.stage == "file"} == {"size_bytes", "peak_memory_bytes"}
    assert needs_training("accuracy")
    assert needs_training("rmse:price")
    assert not needs_training("peak_memory_bytes")
    assert needs_training("a metric of somebody's own")


def test_a_qualified_name_has_all_of_its_metric() -> None:
    found, plain = metric("rmse:price"), metric("rmse")
    assert (found.name, found.direction, found.form, found.stage) == (
        "rmse:price",
        *(plain.direction, plain.form),
        "trained",
    )
    assert metric("accuracy:a:b").title == "accuracy of a:b"


@pytest.mark.parametrize("name", METRICS)
def test_labels_are_names_and_units(name: str) -> None:
    known = metric(name)
    assert known.label == (f"{known.title} ({known.unit})" if known.unit else known.title)
    assert known.text
    assert format(0.5, known.form)


def test_titles_are_words() -> None:
    assert [metric(n).label for n in ("peak_memory_bytes", "latency_ms", "r2")] == [
        "peak memory (bytes)",
        "latency (ms)",
        "r2",
    ]


@pytest.mark.parametrize("name", ["acuracy", "acuracy:species", "accuracy:", "latency_ms:price", ":price"])
def test_what_is_unknown_is_said(name: str) -> None:
    with pytest.raises(ObjectiveError, match=f"unknown metric '{name}'; known: accuracy, "):
        metric(name)


def test_the_nearest_is_named() -> None:
    with pytest.raises(ObjectiveError, match="unknown objective 'peak_memory'.*Did you mean 'peak_memory_bytes'"):
        metric("peak_memory", "objective")


def test_fields_of_seeds_and_of_the_test_split() -> None:
    assert (mean_of("accuracy"), std_of("accuracy"), on_test("accuracy")) == (
        "accuracy_mean", "accuracy_std", "test_accuracy"
    )  # fmt: skip
    assert (mean_of("rmse:a_mean"), std_of("rmse:a"), on_test("rmse:a")) == (
        "rmse_mean:a_mean", "rmse_std:a", "test_rmse:a"
    )  # fmt: skip


def test_the_sign_makes_the_largest_the_best() -> None:
    assert better("accuracy", 0.9) > better("accuracy", 0.8)
    assert better("rmse:price", 0.8) > better("rmse:price", 0.9)
