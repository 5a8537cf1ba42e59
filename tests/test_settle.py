"""Noisy latencies are measured again, and the front is of what was measured then."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas import settle as module
from nas.blocks import ConvNet, Input, Network
from nas.compress import _is_done
from nas.compression import Quantize
from nas.devices import Target, measure, measure_local
from nas.evaluate import input_shapes, latency_metrics
from nas.export import export_onnx
from nas.front import front_of
from nas.ledger import Ledger, Model, RunRecord, create_ledger, open_ledger, write_model, writing
from nas.settle import settle, settle_unless_busy

RECORD = RunRecord(
    name="run", command="nas search", space_file="s.py", space_fingerprint="f", task="t", data="", label="",
    task_fingerprint="g", objectives=("accuracy", "latency_ms"), limits=(), target="local", sampler="random", seed=0,
    training={}, storage="journal", versions={}, revision="", created="now",
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(measure.STATE, str(tmp_path / "state"))
    return create_ledger(tmp_path / "run", RECORD, "space = 1\n")


@pytest.fixture
def quiet(ledger: Ledger) -> dict[str, Any]:
    """What the file of a trial measures here; the device is known by then, and taken to be often as fast."""
    file = ledger.folder / "model.onnx"
    net = Network({"image": ConvNet(8)}).build({"image": Input((1, 28, 28))}, 3)
    export_onnx(net, input_shapes(net), file)
    (latency,) = measure_local([file], Target(patience_s=0.3))
    measure.keep_gate(8, [latency.p95_ms / latency.latency_ms * latency.reference_ms / 1e3] * 100)
    level = latency.best_reference_ms
    return {**latency_metrics(latency), "latency_quality": "good", "reference_ms": level}


def noisy(quiet: dict[str, Any], factor: float = 2.0) -> dict[str, Any]:
    """The same, measured while the device was so many times slower."""
    latency, reference = quiet["latency_ms"] * factor, quiet["reference_ms"] * factor
    return {**quiet, "latency_ms": latency, "latency_interval_ms": [latency, latency], "reference_ms": reference,
            "latency_quality": "noisy"}  # fmt: skip


def add(ledger: Ledger, accuracy: float, metrics: dict[str, Any]) -> int:
    number = ledger.study.ask().number
    folder = ledger.trial_folder(number)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((ledger.folder / "model.onnx").read_bytes())
    ledger.complete(number, {"accuracy": accuracy, **metrics})
    return number


def front(ledger: Ledger) -> list[int]:
    return [t.number for t in front_of(ledger.trials(), ledger.record.parsed_objectives)]


def test_a_trial_that_was_wrongly_beaten_joins_the_front(ledger: Ledger, quiet: dict[str, Any]) -> None:
    slower = {**quiet, "latency_ms": 1.5 * quiet["latency_ms"], "latency_interval_ms": [1.5 * quiet["latency_ms"]] * 2}
    best, beaten = add(ledger, 0.9, slower), add(ledger, 0.8, noisy(quiet))
    assert front(ledger) == [best]
    assert settle(ledger) == 1
    assert front(ledger) == [best, beaten]
    assert open_ledger(ledger.folder).trial(beaten).metrics["latency_ms"] < 1.4 * quiet["latency_ms"]
    assert ledger.study.trials[beaten].values == [0.8, 2 * quiet["latency_ms"]]


def test_what_cannot_join_the_front_is_not_measured_and_its_files_go(ledger: Ledger, quiet: dict[str, Any]) -> None:
    best = add(ledger, 0.9, quiet)
    beaten = add(ledger, 0.8, noisy({**quiet, "latency_ms": 3 * quiet["latency_ms"]}))
    assert settle(ledger) == 0
    assert (ledger.trial_folder(best) / "model.onnx").exists()
    assert not (ledger.trial_folder(beaten) / "model.onnx").exists()


def add_model(ledger: Ledger, name: str, metrics: dict[str, Any], *passes: str, parent: str | None = None) -> Model:
    folder = ledger.folder / "models" / name
    folder.mkdir(parents=True)
    for file in ("model.onnx", "weights.safetensors"):
        (folder / file).write_bytes((ledger.folder / "model.onnx").read_bytes())
    stage = "compressed" if passes else "refined"
    model = Model(name, 0, stage, passes, parent, {}, {"accuracy": 0.9, **metrics}, folder)
    write_model(folder, model)
    return model


def test_models_are_measured_again_with_those_they_are_made_of(ledger: Ledger, quiet: dict[str, Any]) -> None:
    add_model(ledger, "0-refined", quiet)
    add_model(ledger, "0-refined-prune50", quiet, "prune50", parent="0-refined")
    ratios = {"pass_time_ratio": 9.0, "time_ratio": 9.0, "pass_bytes_ratio": 1.0, "bytes_ratio": 1.0}
    add_model(ledger, "0-refined-prune50-int8", noisy(quiet) | ratios, "prune50", "int8", parent="0-refined")
    assert settle(ledger) == 1
    metrics = {m.name: m.metrics for m in ledger.models()}["0-refined-prune50-int8"]
    assert metrics["latency_ms"] < 1.8 * quiet["latency_ms"]
    assert metrics["pass_time_ratio"] == pytest.approx(1.0, rel=0.3)
    assert metrics["time_ratio"] == pytest.approx(1.0, rel=0.3)


def test_a_sibling_of_a_parent_that_was_refined_anew_stays_old(ledger: Ledger, quiet: dict[str, Any]) -> None:
    parent = add_model(ledger, "0-refined", quiet)
    add_model(ledger, "0-refined-int8", noisy(quiet), "int8", parent="0-refined")
    assert _is_done(ledger, parent, (Quantize(),))
    newer = (parent.folder / "weights.safetensors").stat().st_mtime + 10
    os.utime(parent.folder / "weights.safetensors", (newer, newer))
    settle(ledger)
    assert not _is_done(ledger, parent, (Quantize(),))


def test_what_stays_noisy_is_called_so_and_keeps_the_lesser_latency(
    ledger: Ledger, quiet: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    measure.keep_gate(8, [1e-7] * measure.ENOUGH)  # a device that was far faster once
    kept, lowered = add(ledger, 0.9, {**quiet, "latency_ms": 1e-6}), add(ledger, 0.95, noisy(quiet, 50.0))
    settle(ledger)
    trials = ledger.trials()
    assert trials[kept].metrics["latency_ms"] == 1e-6
    assert trials[lowered].metrics["latency_ms"] < 40 * quiet["latency_ms"]
    assert [t.metrics["latency_quality"] for t in trials] == ["noisy", "noisy"]


def test_a_quiet_latency_beyond_a_limit_refuses_a_trial_that_was_let_through(
    ledger: Ledger, quiet: dict[str, Any]
) -> None:
    limited = Ledger(ledger.folder, replace(ledger.record, limits=("latency_ms<=1e-06",)), ledger.study)
    number = add(limited, 0.9, noisy(quiet))
    assert settle(limited) == 1
    trial = limited.trial(number)
    if trial.metrics["latency_quality"] == "good":
        assert trial.state == "infeasible"
        assert trial.reason.startswith("breaks latency_ms<=1e-06 (")
        assert not (limited.trial_folder(number) / "model.onnx").exists()
    else:  # a machine without a quiet moment in five seconds
        assert trial.state == "complete"


def test_metrics_from_before_there_was_a_reference_are_left(ledger: Ledger, quiet: dict[str, Any]) -> None:
    old = {name: value for name, value in noisy(quiet).items() if "reference" not in name}
    number = add(ledger, 0.9, old)
    add_model(ledger, "0-refined", old)
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics == {"accuracy": 0.9, **old}


def test_nothing_is_measured_where_nobody_asks_for_latency(ledger: Ledger, quiet: dict[str, Any]) -> None:
    other = Ledger(ledger.folder, replace(ledger.record, objectives=("accuracy", "params")), ledger.study)
    add_model(other, "0-refined", noisy(quiet))
    assert settle(other) == 0


def test_a_run_that_is_written_to_is_left(ledger: Ledger, quiet: dict[str, Any]) -> None:
    number = add(ledger, 0.9, noisy(quiet))
    with writing(ledger.folder):
        settle_unless_busy(ledger)
    assert ledger.trial(number).metrics["latency_ms"] == 2 * quiet["latency_ms"]


def test_another_devices_latency_stays_as_it_is(ledger: Ledger, quiet: dict[str, Any]) -> None:
    elsewhere = {**noisy(quiet), "device": {**quiet["device"], "cpu": "another"}}
    number = add(ledger, 0.9, elsewhere)
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics["latency_ms"] == elsewhere["latency_ms"]


def test_files_that_are_gone_are_left(ledger: Ledger, quiet: dict[str, Any]) -> None:
    number = add(ledger, 0.9, noisy(quiet))
    (ledger.trial_folder(number) / "model.onnx").unlink()
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics["latency_quality"] == "noisy"


def test_the_time_is_bounded(ledger: Ledger, quiet: dict[str, Any]) -> None:
    number = add(ledger, 0.9, noisy(quiet))
    assert settle(ledger, most_s=0.0) == 0
    assert ledger.trial(number).metrics["latency_ms"] == 2 * quiet["latency_ms"]


def test_a_run_without_trials_has_nothing_to_settle(ledger: Ledger) -> None:
    assert settle(ledger) == 0
