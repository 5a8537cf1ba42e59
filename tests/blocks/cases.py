"""Small spaces that open every field of every block; the contract is held by their smallest and largest networks."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas import Space, choose, integer, module, repeat
from nas.blocks import (
    GRU,
    LMF,
    LSTM,
    MFAS,
    MFCC,
    MLP,
    MMTM,
    TCN,
    Bottleneck,
    Broadcast,
    Cascade,
    Cell,
    Cell201,
    Concat,
    ConvMixer,
    ConvNet,
    ConvNeXt,
    CrossAttention,
    Dense,
    Embedding,
    Embrace,
    Experts,
    FiLM,
    FTTransformer,
    FusionLayer,
    Gated,
    Graph,
    Input,
    Learned,
    LogMel,
    MBConv,
    MultiLevel,
    MultiTask,
    Network,
    Plain,
    Pointwise,
    Pretrained,
    Regression,
    ResidualBlock,
    SelfAttention,
    Separable,
    Series,
    Stage,
    Step,
    Sum,
    Taps,
    TCResNet,
    TensorProduct,
    Text,
    Transformer,
    ViT,
    Waveform,
    Words,
)
from nas.blocks.cell import OPERATIONS

OUTPUTS = 3
INPUTS = {
    "image": Input((1, 16, 18), 128.0, 64.0),
    "audio": Input((1, 12, 20), 128.0, 64.0),
    "frames": Input((1, 12, 20), 128.0, 64.0, free=True),
    "wave": Input((1000,), 0.0, 0.3),
    "waves": Input((1000,), 0.0, 0.3, free=True),
    "text": Input((9,), vocabulary=40, free=True),
    "series": Input((3, 14), (0.0, 1.0, 2.0), (1.0, 2.0, 3.0), free=True),
    "sensors": Input((3, 14), (0.0, 1.0, 2.0), (1.0, 2.0, 3.0)),
    "table": Input((5,), (0.0, 1.0, 2.0, 3.0, 4.0), 1.0, categories={1: 3, 4: 2}),
    "numbers": Input((4,)),
}


def draw(name: str, count: int, seed: int, length: int = 0) -> NDArray[np.float32]:
    """Samples of an input as a task would give them: NaN ends a series, 0 a text; `length` is that of the last axis."""
    given, rng = INPUTS[name], np.random.default_rng(seed)
    shape = (count, *given.shape[:-1], length or given.shape[-1])
    if given.vocabulary:
        values = rng.integers(1, given.vocabulary, shape).astype(np.float32)
        values[0, shape[-1] // 2 + 1 :] = 0
        return values
    if name in ("image", "audio", "frames"):
        return rng.uniform(0, 255, shape).astype(np.float32)
    values = rng.normal(0, 0.3 if name.startswith("wave") else 2, shape).astype(np.float32)
    if name == "series":
        values[0, :, shape[-1] // 2 + 1 :] = np.nan
    for column, levels in given.categories.items():
        values[:, column] = rng.integers(0, levels, count)
    return values


class Mine(nn.Module):
    """A user's encoder, fusion or head."""

    def __init__(self, width: int, shape: Any = None, shapes: Any = None, features: int = 0, outputs: int = 0) -> None:
        super().__init__()
        flat = int(np.prod(shape)) if shape else sum(s[0] for s in shapes) if shapes else features
        self.layer = nn.Linear(flat, outputs or width)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(torch.cat([x.flatten(1) for x in inputs], 1))


class MyLayer(nn.Module):
    """A user's block of a stage."""

    def __init__(self, channels: int, width: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, stride, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class MyTrunk(nn.Module):
    """A user's trunk."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class MyFront(nn.Module):
    """A user's front end of raw sound."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, bands, 100, 50)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x.unsqueeze(1))).unsqueeze(1)


@cache
def tiny_bert() -> str:
    """A folder with a small model of random weights, as a pretrained one is stored."""
    from transformers import BertConfig, BertModel

    folder = tempfile.mkdtemp(prefix="nas-tiny-bert-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60, hidden_size=12, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


ACTIVATIONS = choose("relu", "hardswish", "silu", "gelu")
HEADS = choose(1, 2, 4)
DROPOUT = choose(0.0, 0.3)
WIDTH = choose(8, 12)


def staged(block: Any, name: str = "image") -> Network:
    """A block in a stage that strides and one that does not."""
    return Network({name: ConvNet(6, (Stage(block, choose(8, 12), integer(1, 2)), Stage(block, 12, 1, 1)))})


def pair(fusion: Any, **more: Any) -> Network:
    """Two modalities with positions, one of them of free length, and a third without."""
    image = ConvNet(6, (Stage(width=8), Stage(width=10)))
    return Network({"image": image, "series": Series(TCN(8, 2), "none"), "numbers": Dense(8, 1)}, fusion, **more)


NETWORKS: dict[str, Network] = {
    "convnet": Network({
        "image": ConvNet(
            choose(4, 8), repeat(Stage(Plain(), choose(8, 12), integer(0, 2), choose(1, 2)), 0, 2), choose(1, 2),
            resolution=choose(0, 8), pool=choose("mean", "max", "attention"),
        )
    }),
    "convnet, flat": Network({"image": ConvNet(4, (Stage(width=choose(4, 8)),), flatten=choose(False, True))}),
    "convnet, free": Network({"frames": ConvNet(4, (Stage(width=choose(4, 8)),))}),
    "two, flat": Network({
        "image": ConvNet(4, (Stage(width=8),), flatten=True),
        "audio": ConvNet(4, (Stage(MBConv(), 8),), 2, flatten=True),
    }),
    "plain": staged(Plain(choose(1, 3, 5), choose("batch", "group", "none"), ACTIVATIONS)),
    "residue": staged(ResidualBlock(choose(3, 5), ACTIVATIONS)),
    "separable": staged(Separable(choose(3, 5))),
    "mbconv": staged(MBConv(choose(1, 2, 3), choose(3, 5), choose(False, True), ACTIVATIONS)),
    "mixer": staged(ConvMixer(choose(3, 7))),
    "next": staged(ConvNeXt(choose(3, 7), choose(1, 2), ACTIVATIONS)),
    "broadcast": staged(Broadcast(choose(3, 5)), "audio"),
    "my layer": staged(module(MyLayer, groups=choose(1, 2))),
    "vit": Network({"image": ViT(choose(4, 8), WIDTH, HEADS, integer(1, 2), choose(0, 8), DROPOUT)}),
    "cell201": Network({
        "image": Cell201(*(choose(*OPERATIONS) for _ in range(6)), cells=integer(1, 2), width=choose(4, 8))
    }),
    "taps": Network({
        "image": Taps(ConvNet(6, (Stage(width=8), Stage(width=12))), choose(shallow=(0,), last=(2,), both=(0, 2)))
    }),
    "taps, series": Network({"series": Taps(Series(TCN(8, 3)), choose(exit=(0,), several=(0, 1, 2)))}),
    "logmel": Network({
        "wave": Waveform(
            LogMel(choose(8, 12), choose(64, 128), choose(32, 64), choose(4000, 8000)), Series(Pointwise(8))
        )
    }),
    "mfcc": Network({
        "wave": Waveform(
            MFCC(choose(6, 8), choose(8, 12), choose(64, 128), choose(32, 64), choose(4000, 8000)), ConvNet(4, ())
        )
    }),
    "learned": Network({
        "wave": Waveform(Learned(choose(8, 12), choose(32, 64), choose(32, 64)), choose(GRU(8), Series(TCResNet())))
    }),
    "waveform, free": Network({"waves": Waveform(LogMel(8, 64, 32), choose(ConvNet(4, ()), Series(Pointwise(8))))}),
    "my front": Network({"wave": Waveform(module(MyFront, bands=choose(6, 8)), GRU(8))}),
    "gru": Network({"audio": GRU(choose(8, 12), integer(1, 2), choose(False, True), choose(1, 2, 3))}),
    "gru, free": Network({"series": GRU(choose(8, 12), integer(1, 2), choose(False, True), choose(1, 2, 3))}),
    "lstm": Network({"sensors": LSTM(choose(8, 12), integer(1, 2), choose(False, True), choose(1, 2, 3))}),
    "lstm, free": Network({"series": LSTM(choose(8, 12), integer(1, 2), choose(False, True), choose(1, 2, 3))}),
    "temporal": Network({
        "sensors": Series(
            TCN(
                WIDTH, integer(1, 3), choose(1, 3), choose(False, True), choose(False, True), ACTIVATIONS, DROPOUT
            ),
            choose("none", "mean", "max", "attention"), choose(1, 2, 3),
        )
    }),
    "series, free": Network({
        "series": Series(
            choose(
                TCN(8, 2, 3, choose(False, True), choose(False, True)), TCResNet((6, 8), choose(3, 5)),
                Transformer(8, 2), GRU(8, 1, choose(False, True)), LSTM(8, 1, choose(False, True)), Pointwise(8),
            ),
            choose("mean", "max", "attention"), choose(1, 3),
        )
    }),
    "tc-resnet": Network({"audio": Series(TCResNet(repeat(choose(6, 8), 1, 2), choose(3, 9)))}),
    "transformer": Network({
        "sensors": Series(Transformer(WIDTH, HEADS, integer(1, 2), choose(1, 2), DROPOUT), choose("mean", "max"))
    }),
    "my trunk": Network({"series": Series(module(MyTrunk, width=choose(6, 8)))}),
    "text": Network({
        "text": Text(
            choose(6, 8), choose(Pointwise(choose(6, 8)), TCN(8, 1), GRU(8), LSTM(8), Transformer(8)),
            choose("mean", "max", "attention"), DROPOUT,
        )
    }),
    "pretrained": Network({"text": Pretrained(tiny_bert(), choose(1, 2, 0), choose("mean", "max", "attention"))}),
    "words": Network({"text": Words(choose(6, 8), choose("count", "mean", "idf"))}),
    "dense": Network({
        "table": Dense(WIDTH, integer(1, 3), DROPOUT, choose(False, True), ACTIVATIONS, choose(2, 4))
    }, head=MLP(choose(0, 8), DROPOUT)),
    "ft-transformer": Network({"table": FTTransformer(WIDTH, HEADS, integer(1, 2), DROPOUT)}),
    "mine": Network(
        {"image": module(Mine, width=choose(5, 6))}, module(Mine, width=choose(6, 7)), module(Mine, width=1)
    ),
    "concat": pair(Concat()),
    "sum": pair(Sum(WIDTH, choose(False, True))),
    "gated": pair(Gated(WIDTH)),
    "gated, one": Network({"image": ConvNet(4, ())}, Gated(WIDTH)),
    "film": pair(FiLM(WIDTH)),
    "low rank": pair(LMF(WIDTH, choose(1, 3))),
    "tensor": pair(TensorProduct(choose(2, 3))),
    "squeeze": pair(MMTM(choose(2, 4))),
    "embrace": pair(Embrace(WIDTH), modality_dropout=choose(0.2, 0.3)),
    "hidden at times": pair(Embrace(8), modality_dropout=choose(0.0, 0.3)),
    "cross-attention": pair(CrossAttention(WIDTH, HEADS)),
    "cross-attention, one": Network({"series": Series(pool="none")}, CrossAttention(8, 2)),
    "self-attention": pair(
        SelfAttention(WIDTH, HEADS, integer(1, 2), choose("global", "local", "hierarchical"), choose(1, 4))
    ),
    "multi-level": pair(MultiLevel(WIDTH, HEADS)),
    "bottleneck": pair(Bottleneck(WIDTH, HEADS, choose(1, 3), integer(1, 2))),
    "mfas": pair(
        MFAS(
            repeat(FusionLayer((integer(0, 2), integer(0, 1), 0), choose("relu", "sigmoid", "tanh")), 1, 2), WIDTH
        )
    ),
    "cell": pair(
        Cell(
            repeat(
                Step(
                    integer(0, 3), integer(0, 3), choose("sum", "concat", "mish", "glu", "attention", "squeeze")
                ),
                1, 2,
            ),
            WIDTH,
        )
    ),
    "ordered": pair(Cascade(choose("cascade", "parallel"), choose(False, True), WIDTH)),
    "graph": pair(Graph(WIDTH, integer(1, 2))),
    "experts": pair(Experts(choose("average", "weights", "vote", "product")), head=MLP(choose(0, 4))),
    "without a modality": pair(
        choose(Concat(), CrossAttention(8), Experts(), MFAS((FusionLayer((0, 1, 0)),), 8)),
        modality_dropout=choose(0.2, 0.5),
    ),
    "text without": Network({"text": Text(8), "numbers": Dense(8)}, Gated(8), modality_dropout=choose(0.2, 0.5)),
    "regression": Network({"numbers": Dense(8)}, head=Regression(choose(0, 8), choose(0.0, 5.0), choose(1.0, 10.0))),
    "several": Network(
        {"numbers": Dense(8)},
        head=MultiTask({"a": MLP(choose(0, 4)), "b": Regression(choose(0, 4))}, {"a": 2, "b": 1}, choose(0, 6)),
    ),
    "embedding": Network({"numbers": Dense(8)}, head=Embedding(choose(3, 6), "classify")),
    "matching": Network({"numbers": Dense(choose(8, 12))}, head=Embedding(OUTPUTS, "match")),
}  # fmt: skip


def made_for(network: Network) -> Space:
    """A space of a network that says what it is made for."""
    inputs = {name: INPUTS[name] for name in network.encoders}
    return Space(Network(network.encoders, network.fusion, network.head, network.modality_dropout, inputs, OUTPUTS))


CASES = {name: made_for(network) for name, network in NETWORKS.items()}
