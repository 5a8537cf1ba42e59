"""Tables in JSON: an object, or a list of objects, of column and value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import limits
from .errors import PredictError
from .files import decode, read_bytes, unique_keys
from .table import Table, listed, named_once


def read_json(path: Path) -> Table:
    """Read JSON objects; see `read_table`."""
    text, _ = decode(path, read_bytes(path, limits.MAX_JSON_BYTES))
    values = json.loads(
        text, object_pairs_hook=unique_keys, parse_constant=lambda word: None if word == "NaN" else float(word)
    )
    rows: list[Mapping[str, Any]] = values if isinstance(values, list) else [values]
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        raise PredictError(f"{path}: holds no rows; expected JSON objects of column and value.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) * len(rows) > limits.MAX_CELLS:
        raise PredictError(f"{path}: has more than {limits.MAX_CELLS} cells. Give it in parts.")
    for place, row in enumerate(rows):
        if absent := [name for name in names if name not in row]:
            raise PredictError(f"{path}: object {place} lacks {listed(absent)}; expected all keys (null: missing).")
    unique, notes = named_once([name.strip() for name in names])
    kinds = {new: {type(row[name]) for row in rows} - {type(None)} for name, new in zip(names, unique, strict=True)}
    columns = {
        new: [_json_text(row[name], f"{path}: object {place}: {name!r}") for place, row in enumerate(rows)]
        for name, new in zip(names, unique, strict=True)
    }
    return Table(columns, frozenset(name for name, found in kinds.items() if found <= {int, float}), notes=tuple(notes))


def _json_text(value: Any, where: str) -> str | None:
    if isinstance(value, dict | list):
        raise PredictError(f"{where} holds {'an object' if isinstance(value, dict) else 'a list'}; expected one value.")
    return None if value is None else (value if isinstance(value, str) else str(value)).strip() or None
