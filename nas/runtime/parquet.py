"""Tables in Parquet, which needs pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import limits
from .errors import PredictError, first_line
from .files import read_bytes
from .table import Table, named_once


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; see `read_table`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise PredictError(f"{path}: Parquet needs pyarrow: pip install pyarrow. Or give the table as CSV.") from None
    content = read_bytes(path, limits.MAX_TABLE_BYTES)
    try:
        schema = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).schema_arrow
        named = [field.name for field in schema if pyarrow.types.is_string(field.type)]
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content), read_dictionary=named)
        said = file.metadata
        unpacked = sum(said.row_group(i).total_byte_size for i in range(said.num_row_groups))
        if said.num_rows * said.num_columns > limits.MAX_CELLS or unpacked > limits.MAX_TABLE_BYTES:
            raise PredictError(f"{path}: says that it has {said.num_rows} rows, {unpacked} bytes. Give it in parts.")
        given = file.read()
        cells = [_parquet_texts(column, f"{path}: column {name!r}") for name, column in _parquet_columns(given)]
    except pyarrow.ArrowException as error:
        raise PredictError(f"{path}: cannot be read: {first_line(error)}") from None
    names, notes = named_once([name.strip() for name, _ in _parquet_columns(given)])
    typed = [new for new, (_, column) in zip(names, _parquet_columns(given), strict=True) if _is_typed(column.type)]
    if len(names) < given.num_columns:
        notes.append("the index that pandas stored is no column.")
    return Table(dict(zip(names, cells, strict=True)), frozenset(typed), notes=tuple(notes))


def _parquet_columns(table: Any) -> Iterator[tuple[str, Any]]:
    pairs = zip(table.column_names, table.columns, strict=True)
    return ((name, column) for name, column in pairs if not re.fullmatch(r"__index_level_\d+__", name))


def _is_typed(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _parquet_texts(column: Any, where: str) -> list[str | None]:
    """The texts of a column: as CSV would have them, but that NaN is missing."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):  # as texts are packed: one that many rows share is unpacked once
        known = [_parquet_texts(pyarrow.chunked_array([chunk.dictionary]), where) for chunk in column.chunks]
        places = [chunk.indices.to_pylist() for chunk in column.chunks]
        return [
            None if place is None else texts[place]
            for texts, chunk in zip(known, places, strict=True)
            for place in chunk
        ]
    kind = column.type
    if (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    ):
        raise PredictError(f"{where} holds {kind}; expected one text, number, truth or date in each cell.")
    if types.is_float16(kind):
        column = column.cast(pyarrow.float32())
    texts = [None if text is None else text.strip() or None for text in column.cast(pyarrow.string()).to_pylist()]
    if types.is_timestamp(kind):
        return [text and re.sub(r"\.0+(?!\d)", "", text) for text in texts]
    return [None if text == "nan" else text for text in texts] if types.is_floating(kind) else texts
