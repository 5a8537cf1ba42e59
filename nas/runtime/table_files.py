"""Which files hold tables, and the one way to read them."""

from __future__ import annotations

from pathlib import Path

from .delimited import read_delimited
from .errors import PredictError, told
from .json_rows import read_json
from .parquet import read_parquet
from .table import Table

TABLES = (".csv", ".tsv", ".txt", ".json", ".parquet")
"""Endings of the tables that can be read, in any case."""


def read_table(path: Path) -> Table:
    """Read a table as texts; training and prediction both do it here, and nothing else does.

    Delimited files (`.csv`, `.tsv`, `.txt`) are UTF-8, UTF-16 with its mark, or else Windows-1252, and have a header.
    What separates cells is recognised; a row with more or fewer cells than the header is an error. Names that are blank
    or there twice are made `unnamed 1` and `name (2)`; cells before the first column of the header are row names and no
    column. JSON holds one object or a list of objects, all with the same keys. Parquet needs pyarrow.

    Args:
        path: The file.

    Raises:
        PredictError: If it cannot be read, is not regular, holds no rows, or holds something else than texts, numbers,
            truths and dates.
    """
    ending = path.suffix.lower()
    if ending not in TABLES:
        raise PredictError(f"{path}: cannot be read as a table; expected a file that ends in {', '.join(TABLES)}.")
    read = {".json": read_json, ".parquet": read_parquet}.get(ending, read_delimited)
    with told(f"{path}: cannot be read"):
        table = read(path)
    if not len(table):
        raise PredictError(f"{path}: holds no rows; expected a header and rows, or JSON objects of column and value.")
    return table
