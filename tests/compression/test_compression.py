"""Passes: what they promise beyond the contract that every block is held to in tests/blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nas.blocks import GRU, ConvNet, Gated, Input, LogMel, Network, Plain, Stage, Text, Waveform, count_params
from nas.compression import Prune, Quantize
from nas.devices import LENGTHS
from nas.errors import CompressionError
from nas.evaluate import input_shapes
from nas.export import export_onnx, run_onnx, score_onnx
from nas.tasks import Split
from nas.training import Training, train

INPUTS = {"a": Input((1, 16, 16), 0.0, 1.0)}


def split(n: int, seed: int) -> Split:
    """Where a bright square lies: one of four corners, in noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 1, 16, 16)).astype(np.float32)
    y = rng.integers(0, 4, n)
    for i, corner in enumerate(y):
        top, left = 8 * (corner // 2), 8 * (corner % 2)
        x[i, 0, top : top + 8, left : left + 8] += 0.7
    return Split({"a": x}, y.astype(np.int64))


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Split, Split]:
    torch.manual_seed(0)
    learn, score = split(600, 0), split(300, 1)
    net = Network({"a": ConvNet(16, (Stage(Plain(), 24), Stage(Plain(), 48)), flatten=True)}).build(INPUTS, 4)
    train(net, learn, score, Training(epochs=4))
    return net, learn, score


def test_an_int8_file_is_small_and_says_the_same(trained: tuple[nn.Module, Split, Split], tmp_path: Path) -> None:
    net, learn, score = trained
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    Quantize().apply(tmp_path / "m.onnx", {"a": learn.inputs["a"][:128]}, tmp_path / "q.onnx")
    small, large = ((tmp_path / n).stat().st_size for n in ("q.onnx", "m.onnx"))
    assert small < 0.4 * large
    same = run_onnx(tmp_path / "q.onnx", score.inputs).argmax(1) == run_onnx(tmp_path / "m.onnx", score.inputs).argmax(
        1
    )
    assert same.mean() > 0.95
    assert score_onnx(tmp_path / "q.onnx", score.inputs, score.targets) > 0.8


def test_inputs_and_outputs_keep_their_names(trained: tuple[nn.Module, Split, Split], tmp_path: Path) -> None:
    net, learn, _ = trained
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    Quantize().apply(tmp_path / "m.onnx", {"a": learn.inputs["a"][:32]}, tmp_path / "q.onnx")
    graph = onnx.load(tmp_path / "q.onnx").graph
    assert [i.name for i in graph.input] == ["a"]
    assert [o.name for o in graph.output] == ["logits"]
    onnx.checker.check_model(str(tmp_path / "q.onnx"))
    assert all(o != "a" for n in graph.node for o in n.output)


def test_pruning_leaves_the_network_as_it_was(trained: tuple[nn.Module, Split, Split]) -> None:
    net, _, _ = trained
    before = {n: t.clone() for n, t in net.state_dict().items()}
    pruned = Prune(0.5).apply(net, input_shapes(net))
    assert count_params(pruned) < 0.6 * count_params(net)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    again = Prune(0.5).apply(net, input_shapes(net))
    assert all(
        torch.equal(a, b) for a, b in zip(pruned.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_recurrent_unit_keeps_its_width() -> None:
    inputs = {"image": Input((1, 16, 16)), "audio": Input((1, 8, 12))}
    net = Network({"image": ConvNet(16, (Stage(Plain(), 32),)), "audio": GRU(8)}, Gated(16)).build(inputs, 4)
    pruned = Prune(0.5).apply(net, input_shapes(net))
    units = [m for m in pruned.modules() if isinstance(m, nn.GRU)]
    assert units[0].hidden_size == 8
    assert count_params(pruned) < count_params(net)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -1.0])
def test_a_ratio_must_leave_something(trained: tuple[nn.Module, Split, Split], ratio: float) -> None:
    with pytest.raises(CompressionError, match="expected a number between 0 and 1"):
        Prune(ratio).apply(trained[0], input_shapes(trained[0]))


def test_what_has_nothing_to_prune_is_refused() -> None:
    net = Network({"image": ConvNet(4, ())}).build({"image": Input((1, 8, 8))}, 4)
    with pytest.raises(CompressionError, match="prune30: no layer could be pruned"):
        Prune(0.3).apply(net, input_shapes(net))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(CompressionError, match=r"junk.onnx: cannot be quantized"):
        Quantize().apply(tmp_path / "junk.onnx", {"a": np.zeros((1, 1))}, tmp_path / "q.onnx")


def test_labels() -> None:
    assert [p.label for p in (Quantize(), Prune(0.3), Prune(0.5))] == ["int8", "prune30", "prune50"]


def test_token_ids_beyond_255_keep_their_meaning(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Network({"t": Text(16)}).build({"t": Input((6,), vocabulary=1000, free=True)}, 4).eval()
    ids = np.random.default_rng(0).integers(1, 1000, (64, 6)).astype(np.float32)
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx", {"t": ids}, net.free)
    Quantize().apply(tmp_path / "m.onnx", {"t": ids}, tmp_path / "q.onnx")
    small, large = (run_onnx(tmp_path / name, {"t": ids}) for name in ("q.onnx", "m.onnx"))
    assert np.corrcoef((small - small.mean(0)).ravel(), (large - large.mean(0)).ravel())[0, 1] > 0.95
    assert [p.key for p in onnx.load(tmp_path / "q.onnx").metadata_props] == [LENGTHS]


def test_a_front_end_of_sound_stays_in_32_bits(tmp_path: Path) -> None:
    encoder = Waveform(LogMel(16, 128, 64), ConvNet(8, (Stage(Plain(), 12),)))
    net = Network({"a": encoder}).build({"a": Input((1000,))}, 4)
    sound = np.random.default_rng(0).normal(0, 0.1, (64, 1000)).astype(np.float32)
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx", {"a": sound})
    Quantize().apply(tmp_path / "m.onnx", {"a": sound}, tmp_path / "q.onnx")
    graph = onnx.load(tmp_path / "q.onnx").graph
    made = {name: node for node in graph.node for name in node.output}
    before = {name for node in graph.node if node.op_type == "Log" for name in node.input}
    for node in reversed(graph.node):
        before.update(node.input if before & {*node.output} else ())
    kinds = [made[name].op_type for name in before if name in made]
    assert kinds.count("Conv") == 2
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(kinds)
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) > 0
