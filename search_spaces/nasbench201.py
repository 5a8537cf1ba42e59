"""The 15,625 cells of NAS-Bench-201 (Dong & Yang, 2020); each architecture is a row of the published table.

`row_name(architecture)` gives the row as the table writes it, for example
`|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|`.
"""

from nas import Architecture, Space, choose
from nas.blocks import Cell201, Input, Network
from nas.blocks.cell import OPERATIONS

edge = choose(*OPERATIONS)

space = Space(
    Network(
        encoders={"image": Cell201(e01=edge, e02=edge, e12=edge, e03=edge, e13=edge, e23=edge, cells=5, width=16)},
        inputs={"image": Input((3, 32, 32), (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))},
        outputs=10,
    )
)


def row_name(architecture: Architecture) -> str:
    """The architecture as the table's column `arch_str` has it."""
    return architecture.network.encoders["image"].name
