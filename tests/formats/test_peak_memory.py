"""The memory of an inference, planned: by hand for a small graph, and ordered as networks are."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from nas.blocks import Dense, Input, Network
from nas.errors import ExportError
from nas.formats.onnx_export import export_onnx
from nas.formats.peak_memory import peak_memory_bytes


def test_tensors_count_while_they_are_alive(tmp_path: Path) -> None:
    """Of x (8 numbers) come a and b; c reads both, and x is read again by the last node."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Mul", ["a", "w"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["c"], keepdims=1),
        helper.make_node("Add", ["c", "x"], ["y"]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8], [1.0] * 8)
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 8]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", made[:1], made[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    assert peak_memory_bytes(tmp_path / "m.onnx") == 4 * (8 + 3 * 8)  # the weight; x, a and b
    assert (tmp_path / "m.onnx").read_bytes() == before


def test_a_wider_network_needs_more_and_the_same_one_as_much(tmp_path: Path) -> None:
    def needed(width: int) -> int:
        network = Network({"table": Dense(width)}).build({"table": Input((6,))}, 2).eval()
        export_onnx(network, {"table": (6,)}, tmp_path / "m.onnx")
        return peak_memory_bytes(tmp_path / "m.onnx")

    assert needed(8) == needed(8) < needed(64)


def test_a_file_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    graph = helper.make_graph([helper.make_node("Nonesuch", ["x"], ["y"])], "g", [], [])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"m.onnx: its memory cannot be planned"):
        peak_memory_bytes(tmp_path / "m.onnx")
