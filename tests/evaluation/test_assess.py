"""One way to score and time a file, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation.assess import assess, timings
from nas.formats.onnx_export import export_onnx
from nas.targets import Latency
from nas.tasks import Classification, Split


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The parent, what came before the last pass, and the result."""
    made = [tmp_path / name for name in ("parent", "pruned", "int8")]
    for file, size in zip(made, (1000, 500, 200), strict=True):
        file.write_bytes(bytes(size))
    return made


def measure(paths: Sequence[Path]) -> Sequence[Latency]:
    times = {"parent": 2.0, "pruned": 1.0, "int8": 1.5}
    ms = [times.get(path.name, 1.0) for path in paths]
    return [Latency(t, (t, t), t, t, 1.0, 1.0, 8, "good", 10, 10, {}) for t in ms]


def test_a_chain_is_held_against_what_came_before_and_against_the_parent(files: list[Path]) -> None:
    parent, pruned, int8 = files
    metrics = timings(int8, measure, (pruned, parent))
    assert (metrics["pass_bytes_ratio"], metrics["pass_time_ratio"]) == (0.4, 1.5)
    assert (metrics["bytes_ratio"], metrics["time_ratio"]) == (0.2, 0.75)
    assert metrics["latency_ms"] == 1.5


def test_the_first_pass_is_held_against_the_parent_alone(files: list[Path]) -> None:
    parent, pruned, _ = files
    metrics = timings(pruned, measure, (parent, parent))
    assert (metrics["pass_time_ratio"], metrics["time_ratio"]) == (0.5, 0.5)
    assert (metrics["pass_bytes_ratio"], metrics["bytes_ratio"]) == (0.5, 0.5)


def test_a_file_is_scored_on_each_split_and_timed_only_by_a_meter(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        layer.bias.zero_()
    export_onnx(layer, {"x": (2,)}, file)
    x = np.array([[1, 0], [2, 0], [-1, 0], [-2, 0]], np.float32)
    splits = {"": Split({"x": x}, np.array([1, 1, 0, 0])), "test_": Split({"x": x}, np.array([1, 1, 1, 0]))}
    unmeasured = assess(file, Classification(("no", "yes")), splits)
    assert unmeasured == {"accuracy": 1.0, "test_accuracy": 0.75, "size_bytes": file.stat().st_size}
    assert {"latency_ms", "measure_s", "device"} <= assess(file, Classification(("no", "yes")), {}, measure).keys()
