"""Several sensors sampled over time (activity recognition): convolutions, recurrent units or attention along time."""

from nas import Space, choose, integer, repeat
from nas.blocks import GRU, LSTM, MLP, TCN, Input, Network, Series, TCResNet, Transformer

kernel = choose(3, 5, 9)

space = Space(
    Network(
        encoders={
            "sensors": Series(
                trunk=choose(
                    TCN(
                        width=choose(16, 32, 48, 64),
                        depth=integer(1, 5),
                        kernel=kernel,
                        dilated=choose(False, True),
                        separable=choose(False, True),
                        activation=choose("relu", "silu"),
                        dropout=choose(0.0, 0.2),
                    ),
                    TCResNet(widths=repeat(choose(16, 24, 32, 48), 2, 4), kernel=kernel),
                    Transformer(dim=choose(16, 32, 64), heads=choose(1, 2, 4), layers=integer(1, 3)),
                    GRU(hidden=choose(16, 32, 64), layers=integer(1, 2), bidirectional=choose(False, True)),
                    LSTM(hidden=choose(16, 32, 64), layers=integer(1, 2), bidirectional=choose(False, True)),
                ),
                pool=choose("mean", "max", "attention"),
                stride=choose(1, 2, 4),
            )
        },
        head=MLP(hidden=choose(0, 32, 64), dropout=choose(0.0, 0.3)),
        inputs={"sensors": Input((9, 128), free=True)},
        outputs=6,
    )
)
