"""Hard pictures of digits and their spoken names in babble: encoders that pool or keep positions, and their fusion."""

from nas import Space, choose, integer, repeat
from nas.blocks import (
    GRU,
    MLP,
    Concat,
    ConvNet,
    CrossAttention,
    Gated,
    Input,
    MBConv,
    Network,
    Plain,
    Separable,
    Stage,
)

stage = Stage(
    block=choose(Plain(), Separable(kernel=choose(3, 5)), MBConv(expand=choose(2, 3), squeeze=choose(False, True))),
    width=choose(16, 24, 32, 48),
    depth=integer(1, 2),
)

space = Space(
    Network(
        encoders={
            "image": ConvNet(
                stem=choose(8, 16), stages=repeat(stage, 1, 3), stem_stride=integer(1, 2), flatten=choose(False, True)
            ),
            "audio": choose(
                ConvNet(stem=choose(8, 16), stages=repeat(stage, 2, 4), stem_stride=2, flatten=choose(False, True)),
                GRU(hidden=choose(32, 48, 64), bidirectional=choose(False, True), stride=choose(1, 2, 4)),
            ),
        },
        fusion=choose(Concat(), Gated(dim=choose(32, 64)), CrossAttention(dim=32, heads=choose(1, 2, 4))),
        head=MLP(hidden=choose(0, 64), dropout=choose(0.1, 0.3, 0.5)),
        inputs={"image": Input((1, 28, 28)), "audio": Input((1, 40, 62))},
        outputs=10,
    )
)
