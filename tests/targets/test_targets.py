"""Latency: what is measured, and what is said when it cannot be."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nas.blocks import ConvNet, Input, Network, Series, Transformer
from nas.errors import TargetError
from nas.evaluation.assess import latency_metrics
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.targets import (
    LocalTarget,
    doubted,
    is_measured_here,
    load_target,
    measure,
    measure_patiently,
)

SCRIPT = Path(measure.__file__)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Network({"image": ConvNet(8)}).build({"image": Input((1, 28, 28))}, 3)
    file = tmp_path_factory.mktemp("model") / "m.onnx"
    export_onnx(net, input_shapes(net), file)
    return file


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the device's best reference, with nothing in it."""
    monkeypatch.setenv(measure.STATE, str(tmp_path / "state"))
    monkeypatch.setattr(measure, "_unkept", {})
    return tmp_path / "state"


def kept(state: Path) -> Path:
    (file,) = state.glob("reference-*.json")
    return file


def test_a_measurement_says_what_it_is_of(model: Path) -> None:
    (latency,) = LocalTarget(patience_s=0.2).measure([model])
    low, high = latency.interval_ms
    assert 0 < low == latency.latency_ms <= high
    assert latency.p50_ms <= latency.p95_ms
    assert latency.runs >= latency.blocks >= measure.ENOUGH
    assert latency.quality in ("good", "noisy")
    assert latency.best_reference_ms > 0
    assert {"cpu", "cpu_id", "cores", "onnxruntime", "provider", "threads", "batch"} <= set(latency.fingerprint)


def test_files_are_measured_in_turns(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(measure, "_inference", lambda path, *_: lambda: order.append(Path(path).name))
    monkeypatch.setattr(measure, "BLOCK_S", 0.0)
    twin = model.with_name("twin.onnx")
    twin.write_bytes(model.read_bytes())
    measure.measure([model, twin], patience_s=0.05)
    turns = [name for name, before in zip(order, ["", *order], strict=False) if name != before]
    assert len(turns) > 2 * measure.ENOUGH
    assert turns == [model.name, twin.name] * (len(turns) // 2)


def test_the_best_reference_is_kept_beside_the_device(model: Path, state: Path) -> None:
    (first,) = LocalTarget(patience_s=0.2).measure([model])
    assert json.loads(kept(state).read_text())["gates"]["8"]["best_s"] * 1e3 == first.best_reference_ms
    (second,) = LocalTarget(patience_s=0.2).measure([model])
    assert second.best_reference_ms <= first.best_reference_ms


def test_the_first_measurement_of_a_device_is_no_judge_of_itself(model: Path, state: Path) -> None:
    (latency,) = LocalTarget(patience_s=0.2).measure([model])
    assert latency.quality == "noisy"


def test_a_device_that_was_faster_makes_a_measurement_noisy(model: Path, state: Path) -> None:
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    (latency,) = LocalTarget(patience_s=0.2).measure([model])
    assert latency.quality == "noisy"
    assert latency.best_reference_ms == pytest.approx(1e-3)


def test_each_device_and_each_size_has_its_own_best(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    assert measure.load_gate(8).best_s == 1e-6
    assert measure.load_gate(32).best_s == float("inf")
    monkeypatch.setattr(measure, "_device", lambda: {"cpu": "another"})
    assert measure.load_gate(8).best_s == float("inf")
    measure.keep_gate(8, [2e-6] * measure.ENOUGH)
    monkeypatch.undo()
    monkeypatch.setenv(measure.STATE, str(state))
    assert measure.load_gate(8).best_s == 1e-6


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"device": 1}', "\x00", '{"gates": {"8": {"best_s": NaN, "recent": []}}}',
     '{"gates": {"8": {"best_s": 0, "recent": []}}}', '{"gates": {"8": {"best_s": 1, "recent": [1]}}}'],
)  # fmt: skip
def test_a_damaged_state_is_forgotten(text: str, state: Path) -> None:
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    kept(state).write_text(text)
    assert measure.load_gate(8).best_s == float("inf")
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    assert measure.load_gate(8).best_s == 1e-6


def test_a_state_that_cannot_be_written_is_kept_by_the_process(
    model: Path, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(measure.STATE, str(tmp_path / "file" / "folder"))
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    (latency,) = LocalTarget(patience_s=0.2).measure([model])
    assert latency.best_reference_ms == pytest.approx(1e-3)


def test_processes_that_learn_at_once_lose_nothing(state: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import measure
for i in range(30):
    measure.keep_gate(8, [(2 + int(sys.argv[1]) - i / 100) * 1e-6] * measure.ENOUGH)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert measure.load_gate(8).best_s == pytest.approx(1.71e-6)


def test_what_was_quiet_is_doubted_when_the_device_shows_that_it_is_faster(model: Path, state: Path) -> None:
    metrics = latency_metrics(LocalTarget(patience_s=0.2).measure([model])[0])
    good = {**metrics, "latency_quality": "good", "reference_ms": metrics["best_reference_ms"]}
    assert doubted(good) == good
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    assert doubted(good)["latency_quality"] == "noisy"
    elsewhere = {**good, "device": {**metrics["device"], "cpu": "another"}}
    assert doubted(elsewhere) == elsewhere
    assert is_measured_here(good)
    assert not is_measured_here(elsewhere)
    assert not is_measured_here({"accuracy": 1.0})


def test_waiting_for_a_quiet_moment_ends(model: Path, state: Path) -> None:
    measure.keep_gate(8, [1e-6] * measure.ENOUGH)
    (latency,) = measure_patiently([model], LocalTarget(patience_s=0.1), 0.3)
    assert latency.quality == "noisy"


def test_large_files_have_a_large_reference(tmp_path: Path) -> None:
    sizes: list[int] = []
    for number in (1_000, 1_000_000, 3_000_000, 50_000_000):
        file = tmp_path / str(number)
        with file.open("wb") as handle:
            handle.truncate(number)
        sizes.append(measure.reference_size([file]))
    assert sizes == [8, 32, 128, 128]


def test_a_free_length_is_measured_at_the_length_that_the_file_names(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    taken: list[list[int]] = []
    for length in (20, 400):
        net = Network({"s": Series(Transformer(16))}).build({"s": Input((4, length), free=True)}, 3)
        export_onnx(net, input_shapes(net), file, free=net.free)
        _, feeds = measure.open_session(file, 1, "CPUExecutionProvider", 2, 0)
        taken.append(list(feeds["s"].shape))
        (latency,) = LocalTarget(patience_s=0.2).measure([file])
    assert taken == [[2, 4, 20], [2, 4, 400]]
    assert latency.latency_ms > 0


def test_a_larger_batch_takes_longer(model: Path) -> None:
    one, many = (LocalTarget(batch=b, patience_s=0.2).measure([model])[0].latency_ms for b in (1, 16))
    assert many > 2 * one


def test_the_script_needs_numpy_and_onnxruntime_only(model: Path) -> None:
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    outside = {n.split(".")[0] for n in names} - set(sys.stdlib_module_names)
    assert outside == {"numpy", "onnxruntime"}
    command = [sys.executable, str(SCRIPT), str(model), str(model), "--patience", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line)["latency_ms"] > 0 for line in done.stdout.splitlines()] == [True, True]


def test_unknown_target() -> None:
    with pytest.raises(TargetError, match="unknown target 'locl'; known: local. Did you mean 'local'"):
        load_target("locl")


def test_what_cannot_be_measured(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"none.onnx: there is no such file"):
        LocalTarget().measure([tmp_path / "none.onnx"])
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(TargetError, match="ONNX Runtime cannot run it on target 'local'"):
        LocalTarget().measure([tmp_path / "junk.onnx"])
    with pytest.raises(
        TargetError, match="target 'phone': ONNX Runtime has no NoSuchProvider here; it has .*CPUExecutionProvider"
    ):
        LocalTarget("phone", provider="NoSuchProvider").measure([model])
