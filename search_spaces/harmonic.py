"""Audio-visual digits with the choices of Harmonic-NAS (Ghebriout et al., 2023), for comparison.

Encoders are once-for-all's MobileNetV3: depth 2 to 4, each block with its own kernel and expansion. Every depth, the
stem included, can feed the fusion, where Harmonic-NAS offers it four. The fusion is a cell of up to four steps over any
two vectors known so far, with the operations of BM-NAS (Yin et al., 2022) and a convolution with Mish. Harmonic-NAS
fuses sequences of 16 positions; here each depth is pooled to one vector.
"""

from nas import Space, choose, integer, repeat
from nas.blocks import MLP, Cell, ConvNet, Input, MBConv, Network, Stage, Step


def encoder() -> ConvNet:
    """A stem, and stages whose blocks decide for themselves; each block is a depth."""
    block = MBConv(choose(3, 4, 6), choose(3, 5, 7), activation="hardswish")
    stages = [Stage(MBConv(1), 16, 1, 1), Stage(block, 24, 1, 2), repeat(Stage(block, 24, 1, 1), 1, 3)]
    return ConvNet(16, stages, stem_stride=choose(1, 2))


step = Step(
    first=integer(0, 14),
    second=integer(0, 14),
    operation=choose("sum", "attention", "glu", "concat", "squeeze", "mish"),
)

space = Space(
    Network(
        encoders={"image": encoder(), "audio": encoder()},
        fusion=Cell(steps=repeat(step, 1, 4), dim=choose(64, 96, 128, 192)),
        head=MLP(dropout=0.1),
        inputs={"image": Input((1, 28, 28), 33.0, 79.0), "audio": Input((1, 20, 20))},
        outputs=10,
    )
)
