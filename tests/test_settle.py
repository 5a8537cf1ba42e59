"""Noisy latencies are measured again, and the front is of what was measured then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas import settle as module
from nas.blocks import ConvNet, Input, Network
from nas.devices import Target, measure, measure_local
from nas.evaluate import input_shapes, latency_metrics
from nas.export import export_onnx
from nas.front import front_of
from nas.ledger import Ledger, Model, RunRecord, create_ledger, open_ledger, write_model
from nas.settle import settle

RECORD = RunRecord(
    name="run", command="nas search", space_file="s.py", space_fingerprint="f", task="t", data="", label="",
    task_fingerprint="g", objectives=("accuracy", "latency_ms"), limits=(), target="local", sampler="random", seed=0,
    training={}, storage="journal", versions={}, revision="", created="now",
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(measure.STATE, str(tmp_path / "reference.json"))
    return create_ledger(tmp_path / "run", RECORD, "space = 1\n")


@pytest.fixture
def quiet(ledger: Ledger) -> dict[str, Any]:
    """What the file of a trial measures here; the device is known by then."""
    file = ledger.folder / "model.onnx"
    net = Network({"image": ConvNet(8)}).build({"image": Input((1, 28, 28))}, 3)
    export_onnx(net, input_shapes(net), file)
    return latency_metrics(measure_local([file], Target(patience_s=0.3))[0])


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
    assert settle(ledger).measured == 1
    assert front(ledger) == [best, beaten]
    assert open_ledger(ledger.folder).trial(beaten).metrics["latency_ms"] < 1.4 * quiet["latency_ms"]
    assert ledger.study.trials[beaten].values == [0.8, 2 * quiet["latency_ms"]]


def test_what_cannot_join_the_front_is_not_measured_and_its_files_go(ledger: Ledger, quiet: dict[str, Any]) -> None:
    best = add(ledger, 0.9, quiet)
    beaten = add(ledger, 0.8, noisy({**quiet, "latency_ms": 3 * quiet["latency_ms"]}))
    assert settle(ledger).measured == 0
    assert (ledger.trial_folder(best) / "model.onnx").exists()
    assert not (ledger.trial_folder(beaten) / "model.onnx").exists()


def test_models_are_measured_again_and_do_not_look_newer(ledger: Ledger, quiet: dict[str, Any]) -> None:
    folder = ledger.folder / "models" / "0-refined"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((ledger.folder / "model.onnx").read_bytes())
    write_model(folder, Model("0-refined", 0, "refined", (), None, {}, {"accuracy": 0.9, **noisy(quiet)}, folder))
    assert settle(ledger).measured == 1
    assert ledger.models()[0].metrics["latency_ms"] < 1.5 * quiet["latency_ms"]
    assert settle(ledger).measured == 0


def test_what_stays_noisy_is_named_and_keeps_the_lesser_latency(
    ledger: Ledger, quiet: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    measure.keep_gate(8, [1e-7] * measure.ENOUGH)  # a device that was far faster once
    low = {**noisy(quiet), "latency_ms": 1e-6}
    kept, lowered = add(ledger, 0.9, low), add(ledger, 0.95, noisy(quiet, 50.0))
    settled = settle(ledger)
    assert settled.noisy == (f"trial {kept}", f"trial {lowered}")
    trials = ledger.trials()
    assert trials[kept].metrics["latency_ms"] == 1e-6
    assert trials[lowered].metrics["latency_ms"] < 40 * quiet["latency_ms"]
    assert [t.metrics["latency_quality"] for t in trials] == ["noisy", "noisy"]


def test_another_devices_latency_stays_as_it_is(ledger: Ledger, quiet: dict[str, Any]) -> None:
    elsewhere = {**noisy(quiet), "device": {**quiet["device"], "cpu": "another"}}
    number = add(ledger, 0.9, elsewhere)
    assert settle(ledger).noisy == (f"trial {number}",)
    assert ledger.trial(number).metrics["latency_ms"] == elsewhere["latency_ms"]


def test_files_that_are_gone_are_left(ledger: Ledger, quiet: dict[str, Any]) -> None:
    number = add(ledger, 0.9, noisy(quiet))
    (ledger.trial_folder(number) / "model.onnx").unlink()
    assert settle(ledger) == module.Settled(0, (f"trial {number}",))


def test_the_time_is_bounded(ledger: Ledger, quiet: dict[str, Any]) -> None:
    number = add(ledger, 0.9, noisy(quiet))
    assert settle(ledger, most_s=0.0) == module.Settled(0, (f"trial {number}",))


def test_a_run_without_trials_has_nothing_to_settle(ledger: Ledger) -> None:
    assert settle(ledger) == module.Settled(0, ())
