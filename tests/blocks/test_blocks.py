"""One contract for every block: build, learn, export, agree, compress or refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nas import module
from nas.blocks import (
    GRU,
    MLP,
    Concat,
    ConvNet,
    CrossAttention,
    Dense,
    Gated,
    Input,
    MBConv,
    Network,
    Plain,
    Separable,
    Stage,
    count_macs,
    count_params,
)
from nas.compression import Prune, Quantize
from nas.errors import BlockError, CompressionError
from nas.evaluate import input_shapes
from nas.export import export_onnx, run_onnx

INPUTS = {
    "image": Input((1, 28, 28), 128.0, 64.0),
    "audio": Input((1, 40, 62), 128.0, 64.0),
    "table": Input((5,), (0.0, 1.0, 2.0, 3.0, 4.0), (1.0,) * 5),
}


class Mine(nn.Module):
    """A user's encoder, fusion or head."""

    def __init__(self, width: int, shape: Any = None, shapes: Any = None, features: int = 0, outputs: int = 0) -> None:
        super().__init__()
        flat = int(np.prod(shape)) if shape else sum(s[0] for s in shapes) if shapes else features
        self.layer = nn.Linear(flat, outputs or width)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(torch.cat([x.flatten(1) for x in inputs], 1))


class Pair(nn.Module):
    """An encoder that wrongly gives two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def conv(block: Any, **more: Any) -> ConvNet:
    return ConvNet(8, (Stage(block, 12), Stage(block, 16, depth=2)), **more)


NETWORKS = {
    "stem alone": Network({"image": ConvNet(4, ())}),
    "plain": Network({"image": conv(Plain())}),
    "plain 5x5, flat": Network({"image": conv(Plain(5), flatten=True)}),
    "many strides": Network({"image": ConvNet(4, (Stage(width=8),) * 7)}),
    "two, flat": Network(
        {"image": conv(Plain(), flatten=True), "audio": conv(MBConv(), stem_stride=2, flatten=True)}, Concat()
    ),
    "separable": Network({"image": conv(Separable(5))}),
    "mbconv": Network({"image": conv(MBConv(3))}),
    "mbconv, squeeze-excite": Network({"image": conv(MBConv(2, 5, squeeze=True))}),
    "gru": Network({"audio": GRU(12)}),
    "gru, both ways, deep": Network({"audio": GRU(8, 2, bidirectional=True, stride=4)}),
    "gru, each frame": Network({"audio": GRU(8, stride=1)}),
    "dense": Network({"table": Dense(16, 3, dropout=0.1)}, head=MLP(8, dropout=0.2)),
    "two, concat": Network({"image": conv(Plain()), "audio": conv(Plain(), stem_stride=2)}, Concat()),
    "two, gated": Network({"image": conv(Plain()), "audio": GRU(8)}, Gated(16)),
    "two, attention": Network({"image": conv(Plain()), "audio": GRU(8)}, CrossAttention(16, 4), MLP(8)),
    "three, concat": Network({"image": conv(Plain()), "audio": GRU(8), "table": Dense(8)}),
    "three, gated": Network({"image": conv(MBConv()), "audio": GRU(8), "table": Dense(8)}, Gated(8)),
    "three, attention": Network({"image": conv(Plain()), "audio": GRU(8), "table": Dense(8)}, CrossAttention(8, 1)),
    "one, gated": Network({"image": conv(Plain())}, Gated(8)),
    "one, attention": Network({"image": conv(Plain())}, CrossAttention(8, 2)),
    "mine": Network({"image": module(Mine, width=6)}, module(Mine, width=7), module(Mine, width=1)),
}  # fmt: skip


@pytest.fixture(params=NETWORKS, ids=str)
def net(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return NETWORKS[request.param].build(INPUTS, 3)


def samples(net: Any, n: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {k: rng.uniform(0, 255, (n, *s)).astype(np.float32) for k, s in input_shapes(net).items()}


def tensors(net: Any, n: int) -> list[Tensor]:
    return [torch.from_numpy(v) for v in samples(net, n).values()]


def test_every_parameter_learns(net: Any) -> None:
    net(*tensors(net, 8)).logsumexp(1).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_evaluation_is_deterministic(net: Any) -> None:
    net.eval()
    with torch.inference_mode():
        first, second = (net(*tensors(net, 4)) for _ in range(2))
    assert first.shape == (4, 3)
    assert torch.equal(first, second)


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_constant_inputs_give_finite_outputs(net: Any, value: float) -> None:
    net.eval()
    with torch.inference_mode():
        assert torch.isfinite(net(*(torch.full((2, *s), value) for s in net.input_shapes))).all()


def test_the_exported_file_agrees_at_any_batch(net: Any, tmp_path: Path) -> None:
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    parity = export_onnx(net, input_shapes(net), tmp_path / "m.onnx", samples=samples(net, 9))
    assert parity.max_rel <= 1e-4
    net.eval()
    for batch in (1, 7):
        with torch.inference_mode():
            expected = net(*tensors(net, batch)).numpy()
        given = run_onnx(tmp_path / "m.onnx", samples(net, batch))
        assert np.abs(given - expected).max() <= 1e-4 * np.abs(expected).max()


def test_counts_are_positive_and_leave_the_module_as_it_was(net: Any) -> None:
    net.train()
    assert count_params(net) == sum(p.numel() for p in net.parameters())
    assert count_macs(net, input_shapes(net)) > 0
    assert net.training
    assert all(p.device.type == "cpu" for p in net.parameters())


def test_pruning_works_or_is_refused_by_name(net: Any, tmp_path: Path) -> None:
    try:
        pruned = Prune(0.5).apply(net, input_shapes(net))
    except CompressionError as error:
        assert str(error).startswith("prune50: ")
        return
    assert count_params(pruned) < count_params(net)
    export_onnx(pruned, input_shapes(pruned), tmp_path / "p.onnx")
    pruned.train()
    pruned(*tensors(pruned, 4)).sum().backward()


def test_quantizing_works_or_says_why(net: Any, tmp_path: Path) -> None:
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx")
    try:
        Quantize().apply(tmp_path / "m.onnx", samples(net, 32), tmp_path / "q.onnx")
    except CompressionError as error:
        assert "cannot be quantized" in str(error) or "no operator" in str(error)
        return
    assert np.isfinite(run_onnx(tmp_path / "q.onnx", samples(net, 7))).all()


def test_params_and_macs_of_a_convolution_are_those_counted_by_hand() -> None:
    net = Network({"image": ConvNet(4, (Stage(Plain(3), 8),))}).build(INPUTS, 3)
    assert count_params(net) == (4 * 9 + 2 * 4) + (8 * 4 * 9 + 2 * 8) + (8 * 3 + 3)
    assert count_macs(net, input_shapes(net)) == 28 * 28 * 4 * 9 + 14 * 14 * 8 * 4 * 9 + 8 * 3


def test_params_and_macs_of_a_recurrent_unit_are_those_counted_by_hand() -> None:
    net = Network({"audio": GRU(8, stride=2)}).build(INPUTS, 3)
    assert count_params(net) == 3 * 8 * (80 + 8) + 2 * 3 * 8 + (8 * 3 + 3)
    assert count_macs(net, input_shapes(net)) == 31 * 3 * 8 * (80 + 8) + 8 * 3


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network({}), "Network.encoders: there is none"),
        (Network({"imge": conv(Plain())}), "unknown modality 'imge'; known: .*Did you mean 'image'"),
        (Network({"table": conv(Plain())}), r"Network.encoders.table: ConvNet: .*\(5,\); expected \(channels, height"),
        (Network({"image": ConvNet(4, (Stage(depth=0),))}), "ConvNet.stages.0: depth 0"),
        (Network({"image": Dense()}), "Network.encoders.image: Dense: .* expected a vector"),
        (Network({"image": GRU(stride=99)}), "Network.encoders.image: GRU: .*frames >= 99"),
        (Network({"image": conv(Plain())}, CrossAttention(10, 3)), "Network.fusion: .*3 heads do not divide"),
        (Network({"image": ConvNet(4)}, Concat(), module(nn.Identity)), "Network.head: gives 64 outputs; expected 3"),
        (Network({"image": module(nn.Conv2d, in_channels=2, out_channels=2, kernel_size=3)}), "image: fails on"),
        (Network({"image": module(nn.Linear, in_features=3, out_features="x")}), "Linear: cannot be built"),
        (Network({"image": module(nn.Flatten, start_dim=0)}), "expected 1 or 2 or 3 axes"),
        (Network({"image": conv(Plain(4))}), "image: kernel 4 is even; expected an odd one"),
        (Network({"image": ConvNet(4, (Stage(stride=0),))}), "Network.encoders.image: "),
        (Network({"image": ConvNet(4, (Stage(MBConv(0)),))}), "Network.encoders.image: MBConv.expand: 0"),
        (Network({"image": conv(None)}), "encoders.image: cannot be built: .*build_layer"),
        (Network({"image": "ConvNet"}), "encoders.image: cannot be built: .*build"),  # pyright: ignore
        (Network({"image": module(Pair)}), "encoders.image: fails on"),
        (Network({"audio": GRU(stride=0)}), "Network.encoders.audio: "),
        (Network({"audio": GRU(0)}), "Network.encoders.audio: cannot be built: hidden_size"),
        (Network({"image": conv(Plain())}, CrossAttention(8, 0)), "Network.fusion: cannot be built"),
        (Network({"table": Dense(dropout=2.0)}), "Network.encoders.table: cannot be built: dropout"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_where(network: Network, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        network.build(INPUTS, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Input((3,), 0.0, 0.0), "Input.std: 0.0; expected positive"),
        (Input((3,), (0.0, 1.0), 1.0), r"2 statistics for shape \(3,\); expected 3"),
    ],
)
def test_statistics_that_do_not_fit(given: Input, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Network({"table": Dense()}).build({"table": given}, 2)


def operators(net: Any, folder: Path) -> list[str]:
    """What ONNX Runtime runs after all its optimizations where the batch is not pinned, as in a bundle."""
    export_onnx(net, input_shapes(net), folder / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(folder / "m.onnx"), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_norm_and_activation_are_folded_into_the_convolutions(tmp_path: Path) -> None:
    left = operators(NETWORKS["separable"].build(INPUTS, 3), tmp_path)
    assert left.count("Conv") == 1 + 2 * 3
    assert not {"BatchNormalization", "Relu"} & set(left)


@pytest.mark.parametrize("block", [GRU(8), GRU(8, stride=1), GRU(8, stride=4)], ids=str)
def test_a_recurrent_unit_computes_no_shape_but_that_of_its_start(block: GRU, tmp_path: Path) -> None:
    left = operators(Network({"audio": block}).build(INPUTS, 3), tmp_path)
    assert left.count("Shape") <= 1
    assert not {"Where", "Equal", "Expand"} & set(left)


def test_attention_computes_no_shape_but_those_of_its_inputs(tmp_path: Path) -> None:
    left = operators(NETWORKS["two, attention"].build(INPUTS, 3), tmp_path)
    assert left.count("Shape") <= 1 + 2  # the recurrent unit's start, and the tokens of each modality


def test_a_module_takes_the_shapes_of_a_fusion_in_any_sequence() -> None:
    assert module(Mine, width=7).build(((4,), (5,))).layer.in_features == 9


def test_what_is_wrong_with_a_users_module_is_said_when_it_is_described() -> None:
    with pytest.raises(BlockError, match="is not a subclass of nn.Module"):
        module(dict)  # pyright: ignore
    with pytest.raises(BlockError, match="module\\(Mine\\): unknown argument 'widht'.*Did you mean 'width'"):
        module(Mine, widht=3)
