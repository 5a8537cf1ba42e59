"""A table's row with a picture and a text, such as an offer in a shop: how to read each, and how to join them."""

from nas import Space, choose, integer, repeat
from nas.blocks import (
    GRU,
    MLP,
    MMTM,
    Cascade,
    Concat,
    ConvNet,
    Dense,
    FiLM,
    FTTransformer,
    Gated,
    Graph,
    Input,
    MBConv,
    MultiLevel,
    Network,
    Plain,
    ResidualBlock,
    Stage,
    Sum,
    TensorProduct,
    Text,
    Transformer,
    ViT,
    Words,
)

dim = choose(16, 32, 64, tie="dim")
stage = Stage(choose(Plain(), ResidualBlock(), MBConv(choose(2, 4))), choose(16, 32, 48, 64), integer(1, 2))

space = Space(
    Network(
        encoders={
            "table": choose(
                Dense(choose(32, 64, 128), integer(1, 3), choose(0.0, 0.2), choose(False, True), embed=choose(4, 8)),
                FTTransformer(dim=choose(8, 16, 32), heads=choose(1, 2), layers=integer(1, 2)),
            ),
            "image": choose(
                ConvNet(choose(8, 16), repeat(stage, 2, 4), 2, resolution=choose(32, 48, 64)),
                ViT(patch=8, dim=choose(32, 64), heads=choose(2, 4), layers=integer(1, 3), resolution=choose(32, 64)),
            ),
            "text": choose(
                Words(choose(16, 32, 64)),
                Text(choose(16, 32, 64), choose(GRU(choose(32, 64)), Transformer(32, layers=integer(1, 2)))),
            ),
        },
        fusion=choose(
            Concat(), Sum(dim, weighted=choose(False, True)), Gated(dim), FiLM(dim), TensorProduct(choose(4, 8)),
            MMTM(), MultiLevel(dim), Graph(dim, rounds=integer(1, 2)),
            Cascade(choose("cascade", "parallel"), choose(False, True), dim),
        ),
        head=MLP(choose(0, 64), choose(0.0, 0.2)),
        inputs={
            "table": Input((12,), categories={8: 5, 9: 12, 10: 30, 11: 2}),
            "image": Input((3, 64, 64), 128.0, 64.0),
            "text": Input((40,), vocabulary=5000, free=True),
        },
        outputs=5,
    )
)  # fmt: skip
