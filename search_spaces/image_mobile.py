"""Pictures with MobileNetV3-like stages (Howard et al., 2019), opened as in once-for-all (Cai et al., 2020).

Five stages of two to four blocks, each block with its own kernel and expansion, and the resolution.
"""

from typing import Literal

from nas import Space, choose, repeat
from nas.blocks import MLP, ConvNet, Input, MBConv, Network, Stage


def stage(width: int, stride: int, squeeze: bool, activation: Literal["relu", "hardswish"]) -> list[Stage]:
    """One block that strides and one to three that do not, each deciding for itself."""
    block = MBConv(choose(3, 4, 6), choose(3, 5, 7), squeeze, activation)
    return [Stage(block, width, 1, stride), repeat(Stage(block, width, 1, 1), 1, 3)]


first = Stage(MBConv(1), 16, 1, 1)
parts = [
    stage(24, 2, squeeze=False, activation="relu"),
    stage(40, 2, squeeze=True, activation="relu"),
    stage(80, 2, squeeze=False, activation="hardswish"),
    stage(112, 1, squeeze=True, activation="hardswish"),
    stage(160, 2, squeeze=True, activation="hardswish"),
]

space = Space(
    Network(
        encoders={"image": ConvNet(16, [first, *parts], stem_stride=2, resolution=choose(96, 128, 160))},
        head=MLP(dropout=0.2),
        inputs={"image": Input((3, 160, 160), (124.0, 116.0, 104.0), (58.0, 57.0, 57.0))},
        outputs=100,
    )
)
