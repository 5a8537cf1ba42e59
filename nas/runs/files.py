"""Files of a run folder: their names, written whole or not at all, read with their types."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

RECORD_FILE = "run.json"
SPACE_FILE = "space.py"


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, whole.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(file)


def replace_folder(source: Path, destination: Path) -> None:
    """Put a finished folder in the place of an older one."""
    if destination.exists():
        shutil.rmtree(destination)
    source.replace(destination)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_types(values: Any) -> None:
    """Check that the fields of a dataclass that was read from a file have their types.

    Raises:
        TypeError: If one has not; names it.
    """
    for name, hint in get_type_hints(type(values)).items():
        value = getattr(values, name)
        kind, parts = get_origin(hint) or hint, get_args(hint)
        if kind is Literal:
            is_right = value in parts
        elif kind is UnionType:
            is_right = isinstance(value, hint)
        elif kind is tuple:
            is_right = isinstance(value, tuple) and all(isinstance(part, parts[0]) for part in value)
        else:
            is_right = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
        if not is_right:
            raise TypeError(f"{name} is {value!r:.60}; expected {getattr(hint, '__name__', hint)}")
