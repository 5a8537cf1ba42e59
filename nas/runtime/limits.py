"""What is refused because it is too much: sizes are bounded before memory is taken, and so is time."""

LOAD_S = 120.0
"""How long ONNX Runtime may take to load a model."""

RUN_S = 60.0
"""How long a model may compute on one sample."""

MAX_MEMORY = 1 << 32
"""Bytes that a model may use for its weights and while it computes."""

MAX_BYTES = 1 << 28
"""Of an array, a sound or a picture, as it lies in memory."""

MAX_TABLE_BYTES = 1 << 30
"""Of a table's file, and of what a Parquet file says that it unpacks to."""

MAX_JSON_BYTES = 1 << 26
"""Of a table in JSON, whose values take twenty times as much when they are read."""

MAX_MEMBERS = 10_000
"""Of a `.npz` file."""

MAX_CELLS = 50_000_000
"""Of a table."""

MAX_ELEMENTS = 1 << 26
"""Of one sample that a bundle describes."""
