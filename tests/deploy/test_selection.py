"""What is exported of a run, and why something is not: on a real ledger, its models written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from example_runs import RECORD

from nas.deploy.selection import choose_model
from nas.errors import ObjectiveError, RunError
from nas.runs.ledger import Ledger, create_ledger
from nas.runs.models import Model, write_model

MODELS = [
    ("1-refined", 1, {"accuracy": 0.9, "latency_ms": 2.0, "p95_ms": 2.5, "size_bytes": 4000}),
    ("1-refined-int8", 1, {"accuracy": 0.88, "latency_ms": 1.0, "p95_ms": 9.0, "size_bytes": 1000}),
    ("2-refined", 2, {"accuracy": 0.6, "latency_ms": 0.5, "p95_ms": 0.6, "size_bytes": 500}),
    ("2-refined-int8", 2, {"accuracy": 0.55, "latency_ms": 0.7, "p95_ms": 0.8, "size_bytes": 200}),
]


def add_model(ledger: Ledger, name: str, trial: int, metrics: dict[str, float]) -> None:
    folder = ledger.folder / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    stage = "compressed" if name.endswith("int8") else "refined"
    write_model(folder, Model(name, trial, stage, (), None, {}, metrics, folder))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Trial 0 failed, 1 and 2 have models, 3 (on the front) and 4 have none, 5 repeats 1, 6 is refused, 7 runs."""
    ledger = create_ledger(tmp_path / "run", replace(RECORD, limits=()), "space = 1\n")
    for _ in range(8):
        ledger.study.ask().suggest_categorical("x", (1, 2, 3))
    ledger.fail(0, "TrainingError: the loss is nan")
    for number, accuracy, latency in ((1, 0.8, 2.0), (2, 0.5, 0.5), (3, 0.7, 1.0), (4, 0.1, 9.0)):
        ledger.complete(number, {"accuracy": accuracy, "latency_ms": latency})
    ledger.answer(5, ledger.trial(1))
    ledger.refuse(6, {"params": 10}, "breaks params<=9 (10)", {"params<=9": 0.1})
    for model in MODELS:
        add_model(ledger, *model)
    return ledger


@pytest.mark.parametrize(
    ("name", "trial", "limits", "chosen"),
    [
        (None, None, (), "1-refined-int8"),
        ("2-refined", None, (), "2-refined"),
        ("2-refined", 2, ("latency_ms<=1",), "2-refined"),
        (None, 1, ("latency_ms<=1.5",), "1-refined-int8"),
        (None, None, ("accuracy>=0",), "1-refined"),
        (None, None, ("p95_ms<=5", "latency_ms<=1.5"), "2-refined"),
    ],
)
def test_what_is_chosen(
    ledger: Ledger, name: str | None, trial: int | None, limits: Sequence[str], chosen: str
) -> None:
    assert choose_model(ledger, name, trial, limits).name == chosen


def test_a_limit_on_what_is_no_objective_finds_what_is_off_the_front(ledger: Ledger) -> None:
    assert choose_model(ledger, None, None, ["size_bytes<=300"]).name == "2-refined-int8"


@pytest.mark.parametrize(
    ("name", "trial", "limits", "message"),
    [
        ("3-refined", None, (), "unknown model '3-refined'; known: 1-refined, .*Did you mean"),
        ("2-refined", 1, (), "trial 1: unknown model '2-refined'; known: 1-refined, 1-refined-int8"),
        ("1-refined", None, ("latency_ms<=1.6",), r"run: 1-refined breaks latency_ms<=1.6 \(2, 25.0% beyond\)\.\n"
         r"The best model that meets it is 1-refined-int8 \(accuracy 0.8800\): --model 1-refined-int8"),
        ("1-refined", None, ("macs<=1",), r"breaks macs<=1 \(unknown\)"),
        (None, 1, ("latency_ms<=0.8",), r"none of 2 models is within the limits; the nearest of them, 1-refined-int8, "
         r"breaks latency_ms<=0.8 \(1, 25.0% beyond\)\.\n.*is 2-refined "),
        (None, 1, ("latency_ms<=0.4",), r"150.0% beyond\)\.\nNo model of the run meets this: loosen the limit"),
        (None, None, ("latency_ms<=0.4",), "none of 4 models .* the nearest of them, 2-refined, breaks "),
        (None, 0, (), "trial 0: is failed and cannot be exported: TrainingError: the loss is nan"),
        (None, 3, (), "trial 3: was not refined.\nRefine it: nas refine "),
        (None, 4, (), "trial 4: was not refined, since other trials are better"),
        (None, 5, (), "trial 5: repeats trial 1.\nName that: --trial 1"),
        (None, 6, (), "trial 6: is infeasible and cannot be exported: breaks params<=9"),
        (None, 7, (), "trial 7: is running"),
        (None, 8, (), "there is no trial 8; its trials are 0 to 7"),
        (None, -1, (), "there is no trial -1"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_said_with_its_reason(
    ledger: Ledger, name: str | None, trial: int | None, limits: Sequence[str], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        choose_model(ledger, name, trial, limits)


def test_models_without_an_objective_are_taken_by_name_only(ledger: Ledger) -> None:
    for model in ledger.models():
        write_model(model.folder, replace(model, metrics={**model.metrics, "latency_ms": float("nan")}))
    with pytest.raises(RunError, match=r"no model has all objectives \(accuracy, latency_ms\).\nName one: --model"):
        choose_model(ledger, None, None, ())
    assert choose_model(ledger, "1-refined", None, ()).name == "1-refined"


def test_a_limit_that_cannot_be_read_is_said_before_all(ledger: Ledger) -> None:
    with pytest.raises(ObjectiveError, match="unknown metric 'latency'"):
        choose_model(ledger, "1-refined", None, ["latency<=1"])


def test_a_run_without_models_says_how_to_get_some(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path / "run", RECORD, "space = 1\n")
    with pytest.raises(RunError, match="has no refined model to export.\nRefine first: nas refine"):
        choose_model(ledger, None, None, ())
    with pytest.raises(RunError, match="there is no trial 0; it has none"):
        choose_model(ledger, None, 0, ())
