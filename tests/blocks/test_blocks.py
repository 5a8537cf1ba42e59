"""What is special about single blocks; the contract that all of them share is in test_contract.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from cases import Mine
from torch import Tensor, nn

from nas import module
from nas.blocks import (
    GRU,
    Bottleneck,
    Concat,
    ConvNet,
    CrossAttention,
    Dense,
    Input,
    MBConv,
    Network,
    Plain,
    SelfAttention,
    Separable,
    Stage,
    Text,
    Transformer,
    count_macs,
    count_params,
)
from nas.errors import BlockError
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx

INPUTS = {
    "image": Input((1, 28, 28), 128.0, 64.0),
    "audio": Input((1, 40, 62), 128.0, 64.0),
    "table": Input((5,), (0.0, 1.0, 2.0, 3.0, 4.0), (1.0,) * 5),
    "text": Input((12,), vocabulary=50, free=True),
    "wave": Input((4000,)),
}


class Pair(nn.Module):
    """An encoder that wrongly gives two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def conv(block: Any, **more: Any) -> ConvNet:
    return ConvNet(8, (Stage(block, 12), Stage(block, 16, depth=2)), **more)


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
        (Network({"image": ConvNet(4, (Stage(depth=-1),))}), "ConvNet.stages.0: depth -1"),
        (Network({"image": Dense()}), "Network.encoders.image: Dense: .* expected a vector"),
        (Network({"image": GRU(stride=99)}), "Network.encoders.image: GRU.stride: 99; expected 1 to 28"),
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
    ("values", "message"),
    [
        (((3,), 0.0, 0.0), "Input.std: 0.0; expected positive"),
        (((3,), (0.0, 1.0), 1.0), r"2 statistics for shape \(3,\); expected 3"),
        (
            ((2,), 0.0, 1.0, 0, {2: 3}),
            r"column 2 of shape \(2,\) with 3 codes; expected columns of a table",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused_when_it_is_described(values: Any, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Input(*values)


def operators(net: Any, folder: Path) -> list[str]:
    """What ONNX Runtime runs after all its optimizations where batch and lengths are pinned, as when it is measured."""
    export_onnx(net, input_shapes(net), folder / "m.onnx", free=net.free)
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name("batch", 1)
    for name in net.free:
        options.add_free_dimension_override_by_name(f"{name}_length", INPUTS[name].shape[-1])
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(folder / "m.onnx"), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_norm_and_activation_are_folded_into_the_convolutions(tmp_path: Path) -> None:
    left = operators(Network({"image": conv(Separable(5))}).build(INPUTS, 3), tmp_path)
    assert left.count("Conv") == 1 + 2 * 3
    assert not {"BatchNormalization", "Relu"} & set(left)


@pytest.mark.parametrize("block", [GRU(8), GRU(8, stride=1), GRU(8, stride=4)], ids=str)
def test_a_recurrent_unit_computes_no_shape(block: GRU, tmp_path: Path) -> None:
    left = operators(Network({"audio": block}).build(INPUTS, 3), tmp_path)
    assert not {"Shape", "Where", "Equal", "Expand"} & set(left)


@pytest.mark.parametrize(
    "fusion", [CrossAttention(16, 4), SelfAttention(16, 2, scope="local"), Bottleneck(16)], ids=str
)
def test_attention_computes_no_shape(fusion: Any, tmp_path: Path) -> None:
    network = Network({"image": conv(Plain()), "text": Text(16, Transformer(16), "none")}, fusion)
    assert "Shape" not in operators(network.build(INPUTS, 3), tmp_path)


def test_a_module_takes_the_shapes_of_a_fusion_in_any_sequence() -> None:
    assert module(Mine, width=7).build(((4,), (5,))).layer.in_features == 9


def test_what_is_wrong_with_a_users_module_is_said_when_it_is_described() -> None:
    with pytest.raises(BlockError, match="is not a subclass of nn.Module"):
        module(dict)  # pyright: ignore
    with pytest.raises(BlockError, match="module\\(Mine\\): unknown argument 'widht'.*Did you mean 'width'"):
        module(Mine, widht=3)
