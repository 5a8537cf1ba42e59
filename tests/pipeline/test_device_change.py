"""A run that goes on elsewhere says so, and does not mix what was measured on one device with the other's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import RECORD

from nas.errors import DeviceWarning
from nas.pipeline import settle as module
from nas.pipeline.device_change import note_device
from nas.pipeline.settle import settle
from nas.runs.ledger import Ledger, create_ledger
from nas.runs.record import read_record
from nas.targets import Latency, LocalTarget, Target, measure, target_values


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A run that was begun here."""
    record = replace(RECORD, limits=(), device=LocalTarget().fingerprint(), notes=("a column is left out.",))
    return create_ledger(tmp_path / "run", record, "space = 1\n")


def test_where_nothing_has_changed_nothing_is_said(ledger: Ledger) -> None:
    with warnings.catch_warnings(action="error"):
        note_device(ledger, LocalTarget())
    assert read_record(ledger.folder) == ledger.record
    assert ledger.record.notes == ("a column is left out.",)


def test_other_threads_are_noted_and_kept(ledger: Ledger) -> None:
    told = "latency is measured otherwise since 0 trials were complete: threads 2, was 1; latencies of before"
    with pytest.warns(DeviceWarning, match=f"{ledger.folder}: {told}"):
        note_device(ledger, LocalTarget(threads=2))
    record = read_record(ledger.folder)
    assert record == ledger.record
    assert record.target == target_values(LocalTarget(threads=2))
    assert record.device == LocalTarget(threads=2).fingerprint()
    assert record.notes[0] == "a column is left out."
    assert record.notes[1].startswith(told)
    with warnings.catch_warnings(action="error"):
        note_device(ledger, LocalTarget(threads=2))


def test_another_device_is_noted_by_what_differs(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cores = (ledger.record.device[name] for name in ("cpu", "cores"))
    other = {**measure._device(), "cpu": "another", "cores": 99}
    monkeypatch.setattr(measure, "_device", lambda: other)
    with pytest.warns(DeviceWarning) as told:
        note_device(ledger, LocalTarget())
    assert f"cpu another, was {cpu}, cores 99, was {cores};" in str(told[0].message)


def latency(ms: float, device: Any) -> dict[str, Any]:
    """A noisy latency of a device."""
    return {
        "latency_ms": ms, "latency_interval_ms": [ms, ms], "p50_ms": ms, "p95_ms": ms, "latency_quality": "noisy",
        "reference_ms": 2.0, "best_reference_ms": 1.0, "reference_layers": 8, "device": device,
    }  # fmt: skip


def test_only_what_is_of_the_target_as_it_is_now_is_measured_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(measure.STATE, str(tmp_path / "state"))
    measure.keep_gate(8, [1e-3] * measure.ENOUGH)
    measured: list[Target] = []

    def quiet(paths: Sequence[Path], target: Target, most_s: float) -> Sequence[Latency]:
        measured.append(target)
        return [Latency(1.0, (1.0, 1.0), 1.0, 1.0, 1.0, 1.0, 8, "good", 9, 9, target.fingerprint()) for _ in paths]

    monkeypatch.setattr(module, "measure_patiently", quiet)
    targets = LocalTarget(), LocalTarget(threads=2)
    for accuracy, target in zip((0.9, 0.8), targets, strict=True):
        number = ledger.study.ask().number
        ledger.trial_folder(number).mkdir(parents=True)
        (ledger.trial_folder(number) / "model.onnx").write_bytes(b"model")
        ledger.complete(number, {"accuracy": accuracy, **latency(2.0, dict(target.fingerprint()))})
    with pytest.warns(DeviceWarning, match="since 2 trials were complete"):
        note_device(ledger, targets[1])
    assert settle(ledger) == 1
    assert measured == [targets[1]]
    assert [trial.metrics["latency_ms"] for trial in ledger.trials()] == [2.0, 1.0]
    assert [trial.metrics["device"]["threads"] for trial in ledger.trials()] == [1, 2]
