"""A file's bytes and text, no more of them than is allowed."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import PredictError


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of a file that is one."""
    try:
        if not path.is_file():
            raise PredictError(f"{path}: is {'not a file' if path.exists() else 'not there'}; expected a file.")
        if path.stat().st_size > most:
            raise PredictError(f"{path}: has {path.stat().st_size} bytes; expected at most {most}. Give it in parts.")
        return path.read_bytes()
    except OSError as error:
        raise PredictError(f"{path}: cannot be read: {error.strerror or error}.") from None


def decode(path: Path, content: bytes) -> tuple[str, str]:
    """The text in a file, and its encoding if that is not UTF-8."""
    encoding = ""
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text, encoding = content.decode("utf-16"), "UTF-16"
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding or re.search(rb"[\x00-\x08\x0e-\x1f]", content) or content.startswith(codecs.BOM_UTF16_LE):
            raise PredictError(f"{path}: cannot be read: is no text ({error.reason} at byte {error.start}).") from None
        text, encoding = _single_bytes(content)
    if "\0" in text:
        raise PredictError(f"{path}: cannot be read: holds NUL characters. Save it as UTF-8.")
    return text, encoding


def _single_bytes(content: bytes) -> tuple[str, str]:
    try:
        return content.decode("cp1252"), "not UTF-8 and read as Windows-1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "not UTF-8 and read as Latin-1"


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that is there twice would hide a value."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"{twice[0]!r} is there twice in an object")
    return values
