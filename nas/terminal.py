"""What the command prints: on any terminal, nothing in it acts, and JSON lines stand alone.

Names, labels and reasons come from data and candidates. Printed as they are they could move the cursor, colour the
screen or make a signal of it; a terminal of ASCII or cp1252 could not print them at all.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from nas.runs.storage_url import masked

_CURSOR = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}
_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}
_SPELT = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _CURSOR | _DIRECTION}
"""What moves the cursor or turns the direction of writing, each with how it is spelt."""


class Terminal(Console):
    """A console that shows texts as they are: no markup, no emoji, control characters spelt out, passwords masked.

    Args:
        stderr: Whether it prints on standard error.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._lines: IO[str] | None = None

    def render_str(self, text: str, **options: Any) -> Text:
        """Make what is shown of a text; everything that is printed as a text, also within tables, comes here."""
        return super().render_str(plain(text), **options)

    def tell(self, values: Any) -> None:
        """Print values as one line of JSON."""
        stream = self._lines or sys.stdout
        stream.write(json_line(values) + "\n")
        stream.flush()

    @contextmanager
    def only_lines(self) -> Generator[None]:
        """Keep standard output for `tell`: what else prints meanwhile, a space file too, prints on standard error."""
        self._lines = sys.stdout
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self._lines = None


def plain(text: str) -> str:
    """A text without what acts on a terminal, and without passwords of databases."""
    return masked(text.translate(_SPELT))


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines, each column as wide as it needs: no cell is cut on a narrow terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def json_line(values: Any) -> str:
    """Values as JSON in ASCII, without passwords of databases; numbers that JSON does not have are null."""
    return masked(json.dumps(finite(values), allow_nan=False))


def speak_any_encoding() -> None:
    """Let standard output and error spell what their encoding does not have instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finite(values: Any) -> Any:
    """Values as JSON knows them: null for a number that is not finite, texts for names."""
    if isinstance(values, Mapping):
        return {str(name): finite(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
