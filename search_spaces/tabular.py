"""Any table of numbers and categories: fully connected layers or attention over columns, then a small head.

It takes whatever columns the data have: `nas search search_spaces/tabular.py --data TABLE.csv --label COLUMN`.
"""

from nas import Space, choose, integer
from nas.blocks import MLP, Dense, FTTransformer, Input, Network

dropout = choose(0.0, 0.1, 0.3, tie="dropout")

space = Space(
    Network(
        encoders={
            "table": choose(
                Dense(
                    width=choose(16, 32, 64, 128, 256),
                    depth=integer(1, 4),
                    dropout=dropout,
                    residual=choose(False, True),
                    activation=choose("relu", "silu", "gelu"),
                ),
                FTTransformer(dim=choose(8, 16, 32), heads=choose(1, 2, 4), layers=integer(1, 3), dropout=dropout),
            )
        },
        head=MLP(hidden=choose(0, 16, 64), dropout=dropout),
        inputs={"table": Input((12,))},
        outputs=2,
    )
)
