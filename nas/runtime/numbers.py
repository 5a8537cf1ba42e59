"""What a table's texts mean: numbers, missing values, one text for one value."""

from __future__ import annotations

import re
from functools import cache

MISSING = frozenset(
    ("#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "null", "nan")
) | frozenset(("none", "?"))
"""What stands for no number in a column of numbers, in any case; elsewhere these are texts like any other."""


def canonical(text: str) -> str:
    """One text for one value, however it was written: `1.0` is `1`, `true` is `True`, midnight is no time."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    for pattern in (r"([+-]?\d+)\.0*", r"(\d{4}-\d\d-\d\d)[ T]00:00:00(?:\.0*)?"):
        if found := re.fullmatch(pattern, text):
            return found[1]
    return text


def parse_number(text: str, decimal: str = ".", thousands: str = "") -> float | None:
    """The number that a text writes with these marks, or None; what ends in `%` is divided by 100."""
    plain = text if text.isascii() else re.sub(r"[\u00a0\u202f]", " ", text)
    digits = plain.removesuffix("%").rstrip()
    if not _number_pattern(decimal, thousands).fullmatch(digits):
        return None
    number = float((digits.replace(thousands, "") if thousands else digits).replace(decimal, "."))
    return number / 100 if plain.endswith("%") else number


def is_missing(text: str | None) -> bool:
    """Whether a cell in a column of numbers says that there is none."""
    return text is None or text.lower() in MISSING


@cache
def _number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, grouped = re.escape(decimal), rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    number = rf"(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)(?:e[+-]?\d+)?"
    return re.compile(rf"[+-]?(?:{number}|inf(?:inity)?)", re.ASCII | re.IGNORECASE)
