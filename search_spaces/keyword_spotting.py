"""Spoken words from raw samples: the front end is part of the network, so the deployed file takes a second of sound."""

from nas import Space, choose, integer, repeat
from nas.blocks import (
    GRU,
    LSTM,
    MFCC,
    MLP,
    TCN,
    Broadcast,
    ConvNet,
    Input,
    Learned,
    LogMel,
    MBConv,
    Network,
    Plain,
    Separable,
    Series,
    Stage,
    TCResNet,
    Transformer,
    Waveform,
    limit,
)

window, hop = choose(256, 512, tie="window"), choose(128, 160, 256, tie="hop")
stage = Stage(
    block=choose(Plain(), Separable(kernel=choose(3, 5)), MBConv(squeeze=choose(False, True)), Broadcast()),
    width=choose(16, 24, 32, 48),
    depth=integer(1, 3),
)

space = Space(
    Network(
        encoders={
            "audio": Waveform(
                front=choose(
                    LogMel(bands=choose(24, 40), window=window, hop=hop),
                    MFCC(coefficients=choose(10, 13, 20), bands=40, window=window, hop=hop),
                    Learned(bands=choose(24, 40), window=choose(64, 128), hop=hop),
                ),
                encoder=choose(
                    ConvNet(stem=choose(8, 16), stages=repeat(stage, 1, 3)),
                    GRU(hidden=choose(32, 48, 64), bidirectional=choose(False, True), stride=choose(1, 2)),
                    LSTM(hidden=choose(32, 48), stride=choose(1, 2)),
                    Series(
                        choose(
                            TCResNet(widths=repeat(choose(16, 24, 32, 48), 2, 4), kernel=choose(5, 9)),
                            TCN(choose(24, 32, 48), depth=integer(1, 4), separable=True, dilated=True),
                            Transformer(choose(32, 48), layers=integer(1, 2)),
                        ),
                        pool=choose("mean", "max", "attention"),
                    ),
                ),
            )
        },
        head=MLP(dropout=choose(0.1, 0.3)),
        inputs={"audio": Input((8000,), 0.0, 0.1)},
        outputs=10,
    ),
    constraints={"at most 80 thousand parameters": limit("params", 80_000)},
)
