"""Noisy latencies are measured again, and the front is of what was measured then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import LOCAL

from nas.compression import Pass, Prune, Quantize
from nas.errors import TargetError
from nas.pipeline import settle as module
from nas.pipeline.chains import digest, jobs_of
from nas.pipeline.settle import settle, settle_unless_busy
from nas.runs.front import front_of
from nas.runs.ledger import Ledger, create_ledger, open_ledger
from nas.runs.lock import writing
from nas.runs.models import Model, write_model
from nas.runs.record import RunRecord
from nas.targets import Latency, Target, measure

RECORD = RunRecord(
    name="run", command="nas search", space_file="s.py", space_fingerprint="f", task="t", data="",
    label=(), output={"type": "Classification", "labels": ["no", "yes"]}, scores=("accuracy",),
    task_fingerprint="g", objectives=("accuracy", "latency_ms"), limits=(), target=LOCAL, sampler="random", seed=0,
    training={}, storage="journal", versions={}, revision="", created="now",
)  # fmt: skip


QUIET: dict[str, Any] = {
    "latency_ms": 1.0, "latency_interval_ms": [1.0, 1.0], "p50_ms": 1.0, "p95_ms": 1.0, "latency_quality": "good",
    "reference_ms": 1.0, "best_reference_ms": 1.0, "reference_layers": 8,
    "device": measure.fingerprint(1, "CPUExecutionProvider", 1),
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A run on a device that is known to run the reference in a millisecond."""
    monkeypatch.setenv(measure.STATE, str(tmp_path / "state"))
    measure.keep_gate(8, [1e-3] * measure.ENOUGH)
    return create_ledger(tmp_path / "run", RECORD, "space = 1\n")


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> dict[str, Latency]:
    """What a file measures, by the name of its folder; 1 ms in a quiet moment where nothing is said."""
    said: dict[str, Latency] = {}

    def measured(paths: Sequence[Path], target: Target, most_s: float) -> Sequence[Latency]:
        for path in paths:
            if not path.exists():
                raise TargetError(f"{path}: there is no such file")
        return [said.get(path.parent.name, latency(1.0)) for path in paths]

    monkeypatch.setattr(module, "measure_patiently", measured)
    return said


def latency(ms: float, quality: str = "good") -> Latency:
    level = 1.0 if quality == "good" else 2.0
    return Latency(ms, (ms, ms), ms, ms, level, 1.0, 8, quality, 10, 10, QUIET["device"])


def noisy(factor: float = 2.0, **more: Any) -> dict[str, Any]:
    """The same, measured while the device was so many times slower."""
    return {**QUIET, "latency_ms": factor, "latency_interval_ms": [factor] * 2, "reference_ms": factor,
            "latency_quality": "noisy", **more}  # fmt: skip


def add(ledger: Ledger, accuracy: float, metrics: dict[str, Any]) -> int:
    number = ledger.study.ask().number
    folder = ledger.trial_folder(number)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"model")
    ledger.complete(number, {"accuracy": accuracy, **metrics})
    return number


def add_model(ledger: Ledger, name: str, metrics: dict[str, Any], *passes: Pass, parent: str | None = None) -> Model:
    folder = ledger.folder / "models" / name
    folder.mkdir(parents=True)
    for file in ("model.onnx", "weights.safetensors"):
        (folder / file).write_bytes(b"model")
    stage = "compressed" if passes else "refined"
    model = Model(name, 0, stage, passes, parent, {}, {"accuracy": 0.9, **metrics}, folder)
    return write_model(folder, model)


def front(ledger: Ledger) -> list[int]:
    return [t.number for t in front_of(ledger.trials(), ledger.record.parsed_objectives)]


@pytest.mark.usefixtures("meter")
def test_a_trial_that_was_wrongly_beaten_joins_the_front(ledger: Ledger) -> None:
    best, beaten = (
        add(ledger, 0.9, {**QUIET, "latency_ms": 1.5, "latency_interval_ms": [1.5] * 2}),
        add(ledger, 0.8, noisy()),
    )
    assert front(ledger) == [best]
    assert settle(ledger) == 1
    assert front(ledger) == [best, beaten]
    assert open_ledger(ledger.folder).trial(beaten).metrics == {"accuracy": 0.8, **QUIET}
    assert ledger.study.trials[beaten].values == [0.8, 2.0]
    assert settle(ledger) == 0


@pytest.mark.usefixtures("meter")
def test_what_cannot_join_the_front_is_not_measured_and_its_files_go(ledger: Ledger) -> None:
    best, beaten = add(ledger, 0.9, QUIET), add(ledger, 0.8, noisy(2.0, latency_ms=6.0))
    assert settle(ledger) == 0
    assert (ledger.trial_folder(best) / "model.onnx").exists()
    assert not (ledger.trial_folder(beaten) / "model.onnx").exists()


@pytest.mark.usefixtures("meter")
def test_what_a_device_shows_later_makes_an_earlier_latency_doubtful(ledger: Ledger) -> None:
    add(ledger, 0.9, {**QUIET, "latency_ms": 2.0, "reference_ms": 2.0, "best_reference_ms": 2.0})
    assert settle(ledger) == 1
    assert ledger.trials()[0].metrics["latency_ms"] == 1.0


def test_models_are_measured_again_with_those_they_are_made_of(ledger: Ledger, meter: dict[str, Latency]) -> None:
    add_model(ledger, "0-refined", QUIET)
    add_model(ledger, "0-refined-prune50", QUIET, Prune(0.5), parent="0-refined")
    ratios = {"pass_time_ratio": 9.0, "time_ratio": 9.0, "pass_bytes_ratio": 1.0, "bytes_ratio": 1.0}
    name = "0-refined-prune50-int8"
    add_model(ledger, name, noisy(**ratios), Prune(0.5), Quantize(), parent="0-refined-prune50")
    meter |= {"0-refined": latency(2.0), "0-refined-prune50": latency(1.0), name: latency(1.5)}
    assert settle(ledger) == 1
    metrics = {m.name: m.metrics for m in ledger.models()}[name]
    assert (metrics["latency_ms"], metrics["pass_time_ratio"], metrics["time_ratio"]) == (1.5, 1.5, 0.75)
    assert settle(ledger) == 0


@pytest.mark.usefixtures("meter")
def test_a_sibling_of_a_parent_that_was_refined_anew_stays_old(ledger: Ledger) -> None:
    parent = add_model(ledger, "0-refined", QUIET)
    add_model(ledger, "0-refined-int8", noisy(made_of=digest(parent)), Quantize(), parent="0-refined")
    assert not jobs_of(parent, [(Quantize(),)], ledger.models())
    (parent.folder / "weights.safetensors").write_bytes(b"other weights")
    assert settle(ledger) == 1
    assert jobs_of(parent, [(Quantize(),)], ledger.models())


@pytest.mark.usefixtures("meter")
def test_what_goes_wrong_with_one_item_leaves_it_noisy_and_the_others_are_settled(ledger: Ledger) -> None:
    add_model(ledger, "0-refined", QUIET)
    add_model(ledger, "0-refined-int8", noisy(), Quantize(), parent="0-refined")
    add_model(ledger, "1-refined", noisy())
    (ledger.folder / "models" / "0-refined" / "model.onnx").write_bytes(b"")
    assert settle(ledger) == 1
    quality = {m.name: m.metrics["latency_quality"] for m in ledger.models()}
    assert quality == {"0-refined": "good", "0-refined-int8": "noisy", "1-refined": "good"}


def test_what_stays_noisy_is_called_so_and_keeps_the_lesser_latency(ledger: Ledger, meter: dict[str, Latency]) -> None:
    kept, lowered = add(ledger, 0.9, {**QUIET, "reference_ms": 3.0}), add(ledger, 0.95, noisy(50.0))
    meter |= {str(kept): latency(1.2, "noisy"), str(lowered): latency(40.0, "noisy")}
    settle(ledger)
    trials = ledger.trials()
    assert [trials[number].metrics["latency_ms"] for number in (kept, lowered)] == [1.0, 40.0]
    assert [t.metrics["latency_quality"] for t in trials] == ["noisy", "noisy"]


def test_a_limit_is_held_against_a_quiet_latency_and_not_against_a_noisy_one(
    ledger: Ledger, meter: dict[str, Latency]
) -> None:
    limited = Ledger(ledger.folder, replace(ledger.record, limits=("latency_ms<=1.1",)), ledger.study)
    broken, met, open_still = (add(limited, accuracy, noisy()) for accuracy in (0.9, 0.95, 0.99))
    meter |= {str(broken): latency(1.2), str(met): latency(1.0), str(open_still): latency(1.9, "noisy")}
    assert settle(limited) == 3
    assert [trial.state for trial in limited.trials()] == ["infeasible", "complete", "complete"]
    assert limited.trial(broken).reason == "breaks latency_ms<=1.1 (1.2)"
    assert not (limited.trial_folder(broken) / "model.onnx").exists()
    assert (limited.trial_folder(open_still) / "model.onnx").exists()


@pytest.mark.usefixtures("meter")
def test_metrics_from_before_there_was_a_reference_are_left(ledger: Ledger) -> None:
    old = {name: value for name, value in noisy().items() if "reference" not in name}
    number = add(ledger, 0.9, old)
    add_model(ledger, "0-refined", old)
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics == {"accuracy": 0.9, **old}


@pytest.mark.usefixtures("meter")
def test_nothing_is_measured_where_nobody_asks_for_latency(ledger: Ledger) -> None:
    other = Ledger(ledger.folder, replace(ledger.record, objectives=("accuracy", "params")), ledger.study)
    add_model(other, "0-refined", noisy())
    assert settle(other) == 0


@pytest.mark.usefixtures("meter")
def test_a_run_that_is_written_to_is_left(ledger: Ledger) -> None:
    number = add(ledger, 0.9, noisy())
    with writing(ledger.folder):
        settle_unless_busy(ledger)
    assert ledger.trial(number).metrics["latency_ms"] == 2.0
    settle_unless_busy(ledger)
    assert ledger.trial(number).metrics["latency_ms"] == 1.0


@pytest.mark.usefixtures("meter")
def test_another_devices_latency_stays_as_it_is(ledger: Ledger) -> None:
    number = add(ledger, 0.9, noisy(device={**QUIET["device"], "cpu": "another"}))
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics["latency_ms"] == 2.0


@pytest.mark.usefixtures("meter")
def test_files_that_are_gone_are_left(ledger: Ledger) -> None:
    number = add(ledger, 0.9, noisy())
    (ledger.trial_folder(number) / "model.onnx").unlink()
    assert settle(ledger) == 0
    assert ledger.trial(number).metrics["latency_quality"] == "noisy"


@pytest.mark.usefixtures("meter")
def test_models_come_first_and_alone_where_trials_are_not_asked_for(ledger: Ledger) -> None:
    number = add(ledger, 0.9, noisy())
    add_model(ledger, "0-refined", noisy())
    assert settle(ledger, trials=False) == 1
    assert ledger.models()[0].metrics["latency_ms"] == 1.0
    assert ledger.trial(number).metrics["latency_ms"] == 2.0


@pytest.mark.usefixtures("meter")
def test_the_time_is_bounded(ledger: Ledger) -> None:
    number = add(ledger, 0.9, noisy())
    assert settle(ledger, most_s=0.0) == 0
    assert ledger.trial(number).metrics["latency_ms"] == 2.0


def test_a_run_without_trials_has_nothing_to_settle(ledger: Ledger) -> None:
    assert settle(ledger) == 0
