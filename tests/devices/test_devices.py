"""Latency: what is measured, and what is said when it cannot be."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nas.blocks import ConvNet, Input, Network, Series, Transformer
from nas.devices import Target, load_target, measure, measure_local
from nas.errors import TargetError
from nas.evaluate import input_shapes
from nas.export import export_onnx

SCRIPT = Path(measure.__file__)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Network({"image": ConvNet(8)}).build({"image": Input((1, 28, 28))}, 3)
    file = tmp_path_factory.mktemp("model") / "m.onnx"
    export_onnx(net, input_shapes(net), file)
    return file


def test_a_measurement_says_what_it_is_of(model: Path) -> None:
    latency = measure_local(model, Target(seconds=0.2))
    low, high = latency.interval_ms
    assert 0 < low == latency.latency_ms <= high
    assert latency.p50_ms <= latency.p95_ms
    assert latency.runs >= latency.blocks >= 10
    assert latency.quality in ("good", "noisy")
    assert {"cpu", "cores", "onnxruntime", "provider", "threads", "batch"} <= set(latency.fingerprint)


def test_a_free_length_is_measured_at_the_length_that_the_file_names(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    taken: list[list[int]] = []
    for length in (20, 400):
        net = Network({"s": Series(Transformer(16))}).build({"s": Input((4, length), free=True)}, 3)
        export_onnx(net, input_shapes(net), file, free=net.free)
        _, feeds = measure.open_session(file, 1, "CPUExecutionProvider", 2, 0)
        taken.append(list(feeds["s"].shape))
        latency = measure_local(file, Target(seconds=0.2))
    assert taken == [[2, 4, 20], [2, 4, 400]]
    assert latency.latency_ms > 0


def test_a_larger_batch_takes_longer(model: Path) -> None:
    one, many = (measure_local(model, Target(batch=b, seconds=0.2)).latency_ms for b in (1, 16))
    assert many > 2 * one


def test_the_script_needs_numpy_and_onnxruntime_only(model: Path) -> None:
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    outside = {n.split(".")[0] for n in names} - set(sys.stdlib_module_names)
    assert outside == {"numpy", "onnxruntime"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(model), "--seconds", "0.1"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["latency_ms"] > 0


def test_unknown_target() -> None:
    with pytest.raises(TargetError, match="unknown target 'locl'; known: local. Did you mean 'local'"):
        load_target("locl")


def test_what_cannot_be_measured(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"none.onnx: there is no such file"):
        measure_local(tmp_path / "none.onnx", Target())
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(TargetError, match="ONNX Runtime cannot run it on target 'local'"):
        measure_local(tmp_path / "junk.onnx", Target())
    with pytest.raises(
        TargetError, match="target 'phone': ONNX Runtime has no NoSuchProvider here; it has .*CPUExecutionProvider"
    ):
        measure_local(model, Target("phone", provider="NoSuchProvider"))
