"""Tables in delimited files."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from pathlib import Path

from . import limits
from .errors import PredictError
from .files import decode, read_bytes
from .table import SEPARATORS, Table, named_once


def read_delimited(path: Path) -> Table:
    """Read a delimited file; see `read_table`."""
    text, encoding = decode(path, read_bytes(path, limits.MAX_TABLE_BYTES))
    separator = _separator(text)
    names, rows, blank = _delimited_rows(path, text, separator)
    said = [f"is {encoding}."] if encoding else []
    if separator != ",":
        said.append(f"its cells are separated by {separator!r}.")
    if blank:
        said.append(f"{blank} blank lines between rows are no rows.")
    first = 0
    if rows and len(rows[0]) > len(names) and not any(row[-1] for row in rows):
        said.append("every row ends with a separator, and the header does not; nothing comes after it.")
    elif rows and len(rows[0]) > len(names):
        said.append("the first cell of each row has no name in the header: it is the row's name and no column.")
        first = 1
    unique, renamed = named_once(names)
    columns = {name: [row[place] or None for row in rows] for place, name in enumerate(unique, first)}
    return Table(columns, separator=separator, notes=(*said, *renamed))


def _delimited_rows(path: Path, text: str, separator: str) -> tuple[list[str], list[tuple[str, ...]], int]:
    """The header, the rows, all equally long, and how many blank lines came between them."""
    if text.count(separator) + text.count("\n") + text.count("\r") > limits.MAX_CELLS:
        raise PredictError(f"{path}: has more than {limits.MAX_CELLS} cells. Give it in parts.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[tuple[str, ...]] = []
    blank = waiting = 0
    try:
        names = next((row for row in reader if row), [])
        for row in reader:
            if not row:
                waiting += 1
                continue
            blank, waiting = blank + waiting, 0
            rows.append(tuple(map(sys.intern, map(str.strip, row))))
            most = len(rows[0]) if len(rows[0]) == len(names) + 1 else len(names)
            if len(row) != most:
                raise PredictError(f"{path}: line {reader.line_num} has {len(row)} cells; expected {most}.")
    except csv.Error as error:
        raise PredictError(f"{path}: cannot be read: line {reader.line_num}: {error}.") from None
    return [name.strip() for name in names], rows, blank


def _separator(text: str) -> str:
    """What stands between cells: what makes rows as wide as the header; else what the header has most of."""
    return max(SEPARATORS, key=lambda separator: _fit(text, separator))


def _fit(text: str, separator: str) -> tuple[int, int]:
    reader = csv.reader(io.StringIO(text[: 1 << 20], newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = [*itertools.islice(reader, 100)]
    except csv.Error:
        return 0, 0
    is_whole = len(text) <= 1 << 20 or len(rows) in (1, 100)
    widths = [len(row) for row in (rows if is_whole else rows[:-1]) if row]
    header, rest = widths[0] if widths else 0, set(widths[1:])
    return (2 if header > 1 and rest <= {header} else 1 if rest == {header + 1} else 0), header
