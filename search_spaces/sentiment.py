"""Sentiment of a spoken sentence from its words, the speaker's voice and the face; each may be missing when deployed.

The words are token ids, voice and face series of features of free length (as in CMU-MOSI: 73 and 100 features).
"""

from nas import Space, choose, integer
from nas.blocks import (
    GRU,
    LMF,
    LSTM,
    MLP,
    TCN,
    Bottleneck,
    CrossAttention,
    Embrace,
    Experts,
    Gated,
    Input,
    Network,
    SelfAttention,
    Series,
    Text,
    Transformer,
    Words,
)

width = choose(16, 32, 64, tie="width")
pool = choose("mean", "max", "attention")


def recurrent(unit: type[GRU] | type[LSTM]) -> GRU | LSTM:
    """A small recurrent trunk."""
    return unit(hidden=width, bidirectional=choose(False, True), stride=choose(1, 2))


def series() -> Series:
    """Voice and face alike, each deciding for itself."""
    trunk = choose(
        TCN(width=width, depth=integer(1, 3), kernel=choose(3, 5), dilated=choose(False, True), dropout=0.2),
        Transformer(dim=width, heads=choose(1, 2, 4), layers=integer(1, 2), dropout=0.2),
        recurrent(GRU),
        recurrent(LSTM),
    )
    return Series(trunk, pool=choose("none", "mean", "max", "attention"), stride=choose(1, 2, 4))


space = Space(
    Network(
        encoders={
            "text": choose(
                Words(width=width, weighting=choose("mean", "idf")),
                Text(
                    embed=choose(16, 32, 64),
                    trunk=choose(recurrent(GRU), recurrent(LSTM), Transformer(width), TCN(width, 1)),
                    pool=pool,
                    dropout=choose(0.1, 0.3),
                ),
            ),
            "audio": series(),
            "video": series(),
        },
        fusion=choose(
            Gated(width), LMF(width, rank=choose(2, 4)), Embrace(width), Experts(choose("average", "product")),
            CrossAttention(width), SelfAttention(width, scope=choose("global", "local", "hierarchical")),
            Bottleneck(width, tokens=choose(2, 4)),
        ),
        head=MLP(dropout=choose(0.1, 0.3)),
        modality_dropout=choose(0.1, 0.3),
        inputs={
            "text": Input((50,), vocabulary=3000, free=True),
            "audio": Input((73, 50), free=True),
            "video": Input((100, 50), free=True),
        },
        outputs=2,
    )
)  # fmt: skip
