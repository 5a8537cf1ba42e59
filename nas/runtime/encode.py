"""A table's rows as the vectors that a model sees."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import PredictError
from .numbers import canonical, is_missing, parse_number
from .table import SEPARATORS, Table, listed
from .table_files import read_table


def encode_table(table: Table, columns: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32], list[str]]:
    """Turn a table's rows into the model's vectors.

    In a column of numbers, empty cells, the texts of `MISSING` and what is no number become the `fill`. In a column of
    levels an empty cell has none of them, and `NA`, `None` and the like are texts as any other.

    Args:
        table: From `read_table`; columns that are not described are not looked at.
        columns: For each column `name` and either `levels` (a list of texts) or `fill` (a number), `decimal` and
            `thousands` (the marks of its numbers).

    Returns:
        Vectors `(n, width)`, and a sentence for each column that held values which are no number or no level.

    Raises:
        PredictError: If a column is missing, or holds a number that is not finite in 32 bits.
    """
    _check_names(table, [column["name"] for column in columns])
    width = sum(len(column.get("levels", " ")) for column in columns)
    if 4 * width * len(table) > limits.MAX_TABLE_BYTES:
        raise PredictError(f"{len(table)} rows of {width} numbers take more than {limits.MAX_TABLE_BYTES} bytes.")
    parts: list[NDArray[np.float32]] = []
    notes: list[str] = []
    for column in columns:
        if "levels" in column:
            part, odd = _one_hot(table, column)
            told = "no level that training saw, so it has none"
        else:
            part, odd = _numbers(table, column)
            told = f"no number, so {column['fill']:g}, the median of training, stands for it"
        parts.append(part)
        if odd:
            notes.append(f"column {column['name']!r}: {_counted(odd, len(table))} is {told}.")
    return np.concatenate(parts, axis=1), notes


def read_rows(path: Path, columns: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32], Sequence[str]]:
    """The vectors of a table's file, and all that must be said of it; as `read_table` and `encode_table` do."""
    table = read_table(path)
    try:
        vectors, notes = encode_table(table, columns)
    except PredictError as error:
        raise PredictError(f"{path}: {error}") from None
    return vectors, [*table.notes, *notes]


def _check_names(table: Table, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table.columns]
    if not absent:
        return
    near = {name: difflib.get_close_matches(name, set(table.columns) - set(names), n=1) for name in absent[:20]}
    lacking = ", ".join(f"{name!r}" + (f" (is it {found[0]!r}?)" if found else "") for name, found in near.items())
    is_one = table.separator and len(table.columns) == 1
    alone = f" Cells are separated by {listed(SEPARATORS)}." if is_one else ""
    raise PredictError(
        f"lacks {len(absent)} of {len(names)} columns: {lacking}. It has {listed(table.columns)}; "
        f"expected {listed(names)}.{alone}"
    )


def _one_hot(table: Table, column: Mapping[str, Any]) -> tuple[NDArray[np.float32], Counter[str]]:
    cells = table.columns[column["name"]]
    places = {level: place for place, level in enumerate(column["levels"])}
    found = {text: places.get(canonical(text), -1) for text in set(cells) if text is not None}
    chosen = np.array([-1 if text is None else found[text] for text in cells])
    odd = Counter(text for text in cells if text is not None and found[text] < 0)
    return (chosen[:, None] == np.arange(len(places))).astype(np.float32), odd


def _numbers(table: Table, column: Mapping[str, Any]) -> tuple[NDArray[np.float32], Counter[str]]:
    name, cells = column["name"], table.columns[column["name"]]
    marks = (".", "") if name in table.typed else (column.get("decimal", "."), column.get("thousands", ""))
    found = {text: None if is_missing(text) else parse_number(text, *marks) for text in set(cells) if text is not None}
    odd = Counter(text for text in cells if text is not None and found[text] is None and not is_missing(text))
    numbers = [column["fill"] if text is None or found[text] is None else found[text] for text in cells]
    with np.errstate(over="ignore"):
        values = np.array(numbers, dtype=np.float32)
    if not np.isfinite(values).all():
        text = cells[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise PredictError(f"column {name!r} holds an infinite number ({text}); expected finite numbers.")
    return values[:, None], odd


def _counted(odd: Counter[str], rows: int) -> str:
    """How many of how many values, and the commonest of them."""
    return f"{odd.total()} of {rows} values ({listed(text for text, _ in odd.most_common(4))})"
