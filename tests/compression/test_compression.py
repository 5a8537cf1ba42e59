"""Passes: what they promise beyond the contract that every block is held to in tests/blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nas.blocks import (
    GRU,
    MLP,
    ConvNet,
    Gated,
    Input,
    LogMel,
    Network,
    Plain,
    Stage,
    Text,
    ViT,
    Waveform,
    count_params,
    module,
)  # fmt: skip
from nas.blocks.network import MultimodalNet
from nas.compression import ApplyContext, Prune, Quantize, TrainedModel
from nas.errors import CompressionError
from nas.evaluation.applied import trained_model
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import oldest_runtime, run_onnx
from nas.targets import LENGTHS
from nas.tasks import Classification, Split
from nas.training import Training, train

INPUTS = {"a": Input((1, 16, 16), 0.0, 1.0)}


def quantize(source: Path, calibration: Mapping[str, np.ndarray], to: Path) -> None:
    Quantize().apply(TrainedModel(None, source), ApplyContext(to, calibration))


def pruned_by(step: Prune, net: MultimodalNet) -> nn.Module:
    return step.apply(trained_model(net), ApplyContext()).network(step.label)


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
def trained() -> tuple[MultimodalNet, Split, Split]:
    torch.manual_seed(0)
    learn, score = split(600, 0), split(300, 1)
    net = Network({"a": ConvNet(16, (Stage(Plain(), 24), Stage(Plain(), 48)), flatten=True)}).build(INPUTS, 4)
    train(net, Classification(("no", "yes")), learn, score, Training(epochs=4))
    return net, learn, score


def test_an_int8_file_is_small_and_says_the_same(trained: tuple[MultimodalNet, Split, Split], tmp_path: Path) -> None:
    net, learn, score = trained
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", {"a": learn.inputs["a"][:128]}, tmp_path / "q.onnx")
    small, large = ((tmp_path / n).stat().st_size for n in ("q.onnx", "m.onnx"))
    assert small < 0.4 * large
    same = run_onnx(tmp_path / "q.onnx", score.inputs).argmax(1) == run_onnx(tmp_path / "m.onnx", score.inputs).argmax(
        1
    )
    assert same.mean() > 0.95
    assert (run_onnx(tmp_path / "q.onnx", score.inputs).argmax(1) == score.targets).mean() > 0.8


def test_inputs_and_outputs_keep_their_names(trained: tuple[MultimodalNet, Split, Split], tmp_path: Path) -> None:
    net, learn, _ = trained
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", {"a": learn.inputs["a"][:32]}, tmp_path / "q.onnx")
    graph = onnx.load(tmp_path / "q.onnx").graph
    assert [i.name for i in graph.input] == ["a"]
    assert [o.name for o in graph.output] == ["logits"]
    onnx.checker.check_model(str(tmp_path / "q.onnx"))
    assert all(o != "a" for n in graph.node for o in n.output)


def test_an_int8_file_names_only_what_it_uses(trained: tuple[MultimodalNet, Split, Split], tmp_path: Path) -> None:
    net, learn, _ = trained
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", {"a": learn.inputs["a"][:32]}, tmp_path / "q.onnx")
    model = onnx.load(tmp_path / "q.onnx")
    assert [given.domain for given in model.opset_import] == [""]
    assert oldest_runtime(tmp_path / "q.onnx") == "1.16.0"


@pytest.fixture(scope="module")
def attentive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A file with attention and its quantized twin, in a folder, and inputs."""
    folder = tmp_path_factory.mktemp("attentive")
    torch.manual_seed(0)
    net = Network({"a": ViT()}).build(INPUTS, 4)
    inputs = split(64, 2).inputs
    export_onnx(net, input_shapes(net), folder / "m.onnx", inputs)
    quantize(folder / "m.onnx", inputs, folder / "q.onnx")
    return folder, dict(inputs)


def test_a_softmax_reads_what_was_computed(attentive: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, inputs = attentive
    graph = onnx.load(folder / "q.onnx").graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    given = [made[node.input[0]] for node in graph.node if node.op_type == "Softmax"]
    assert given
    assert "DequantizeLinear" not in given
    read = {name for node in graph.node for name in node.input} | {"logits"}
    assert {tensor.name for tensor in graph.initializer} <= read
    assert all(read.intersection(node.output) for node in graph.node)
    exact, small = (run_onnx(folder / name, inputs) for name in ("m.onnx", "q.onnx"))
    assert abs(exact - small).max() < 0.1 * abs(exact).max()


OLD = """
import sys, json, numpy, onnxruntime
folder, inputs = sys.argv[1], dict(numpy.load(sys.argv[1] + "/inputs.npz"))
for name in ("m.onnx", "q.onnx"):
    session = onnxruntime.InferenceSession(f"{folder}/{name}", providers=["CPUExecutionProvider"])
    numpy.save(f"{folder}/{name}.npy", session.run(None, inputs)[0])
print(onnxruntime.__version__)
"""


@pytest.mark.slow
def test_the_oldest_runtime_computes_the_same(attentive: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    folder, inputs = attentive
    np.savez(folder / "inputs.npz", a=inputs["a"].astype(np.float32))
    for release in {oldest_runtime(folder / name) for name in ("m.onnx", "q.onnx")} | {"1.17.0"}:
        packages = tmp_path / release
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", packages]
        subprocess.run([*install, f"onnxruntime=={release}", "numpy<2"], check=True)
        line = [sys.executable, "-c", OLD, folder]
        done = subprocess.run(
            line, env={**os.environ, "PYTHONPATH": str(packages)}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == release
        for name, bound in (("m.onnx", 1e-4), ("q.onnx", 0.1)):
            now, then = run_onnx(folder / name, inputs), np.load(folder / f"{name}.npy")
            assert abs(now - then).max() < bound * abs(now).max()


def test_pruning_leaves_the_network_as_it_was(trained: tuple[MultimodalNet, Split, Split]) -> None:
    net, _, _ = trained
    before = {n: t.clone() for n, t in net.state_dict().items()}
    pruned = pruned_by(Prune(0.5), net)
    assert count_params(pruned) < 0.6 * count_params(net)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    again = pruned_by(Prune(0.5), net)
    assert all(
        torch.equal(a, b) for a, b in zip(pruned.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_recurrent_unit_keeps_its_width() -> None:
    inputs = {"image": Input((1, 16, 16)), "audio": Input((1, 8, 12))}
    net = Network({"image": ConvNet(16, (Stage(Plain(), 32),)), "audio": GRU(8)}, Gated(16)).build(inputs, 4)
    pruned = pruned_by(Prune(0.5), net)
    units = [m for m in pruned.modules() if isinstance(m, nn.GRU)]
    assert units[0].hidden_size == 8
    assert count_params(pruned) < count_params(net)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -1.0, float("nan")])
def test_a_ratio_must_leave_something(ratio: float) -> None:
    with pytest.raises(CompressionError, match="expected a number between 0 and 1"):
        Prune(ratio)


def test_what_has_nothing_to_prune_is_refused() -> None:
    net = Network({"image": ConvNet(4, ())}).build({"image": Input((1, 8, 8))}, 4)
    with pytest.raises(CompressionError, match="prune30: no layer could be pruned"):
        pruned_by(Prune(0.3), net)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(CompressionError, match=r"junk.onnx: cannot be quantized"):
        quantize(tmp_path / "junk.onnx", {"a": np.zeros((1, 1))}, tmp_path / "q.onnx")


def test_labels() -> None:
    assert [p.label for p in (Quantize(), Prune(0.3), Prune(0.5))] == ["int8", "prune30", "prune50"]


@pytest.mark.parametrize("ratio", [0.5, 0.3, 0.29, 0.07, 0.125, 0.004, 1 / 3, 1e-9, 0.999999, np.float64(0.25)])
def test_a_label_is_a_safe_name(ratio: float) -> None:
    assert re.fullmatch(r"prune[0-9]+(\.[0-9]+)?", Prune(ratio).label)


def test_labels_of_small_ratios_are_not_rounded() -> None:
    assert [Prune(ratio).label for ratio in (0.125, 0.12, 0.004)] == ["prune12.5", "prune12", "prune0.4"]


class Halves(nn.Module):
    """A user's own encoder whose first layer must stay even."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(shape[0], 16), nn.Linear(8, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.first(x).unflatten(1, (2, 8)).unbind(1)
        return self.second(torch.relu(left * right))

    def unprunable(self) -> list[nn.Module]:
        return [self.first]


def test_a_users_own_module_says_what_may_not_be_narrowed() -> None:
    net = Network({"t": module(Halves)}, head=MLP(32)).build({"t": Input((6,))}, 4)
    pruned = pruned_by(Prune(0.5), net)
    found = next(m for m in pruned.modules() if isinstance(m, Halves))
    assert (found.first.out_features, found.second.out_features) == (16, 16)


def test_what_a_module_lists_wrongly_is_named() -> None:
    class Wrong(Halves):
        def unprunable(self) -> list[nn.Module]:
            return ["first"]  # pyright: ignore

    net = Network({"t": module(Wrong)}).build({"t": Input((6,))}, 4)
    with pytest.raises(CompressionError, match=r"prune50: Wrong.unprunable lists 'first'; expected modules inside it"):
        pruned_by(Prune(0.5), net)


def test_token_ids_beyond_255_keep_their_meaning(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Network({"t": Text(16)}).build({"t": Input((6,), vocabulary=1000, free=True)}, 4).eval()
    ids = np.random.default_rng(0).integers(1, 1000, (64, 6)).astype(np.float32)
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx", {"t": ids}, net.free)
    quantize(tmp_path / "m.onnx", {"t": ids}, tmp_path / "q.onnx")
    small, large = (run_onnx(tmp_path / name, {"t": ids}) for name in ("q.onnx", "m.onnx"))
    assert np.corrcoef((small - small.mean(0)).ravel(), (large - large.mean(0)).ravel())[0, 1] > 0.95
    assert [p.key for p in onnx.load(tmp_path / "q.onnx").metadata_props] == [LENGTHS]


def test_a_front_end_of_sound_stays_in_32_bits(tmp_path: Path) -> None:
    encoder = Waveform(LogMel(16, 128, 64), ConvNet(8, (Stage(Plain(), 12),)))
    net = Network({"a": encoder}).build({"a": Input((1000,))}, 4)
    sound = np.random.default_rng(0).normal(0, 0.1, (64, 1000)).astype(np.float32)
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx", {"a": sound})
    quantize(tmp_path / "m.onnx", {"a": sound}, tmp_path / "q.onnx")
    graph = onnx.load(tmp_path / "q.onnx").graph
    made = {name: node for node in graph.node for name in node.output}
    before = {name for node in graph.node if node.op_type == "Log" for name in node.input}
    for node in reversed(graph.node):
        before.update(node.input if before & {*node.output} else ())
    kinds = [made[name].op_type for name in before if name in made]
    assert kinds.count("Conv") == 2
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(kinds)
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) > 0
