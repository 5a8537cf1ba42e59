"""What a table's columns are, learnt from its training rows: numbers, levels, or nothing that can be used.

Every cell is a text (`nas.runtime.read_table`), so that what a column is depends on its texts alone, and
neither on the kind of file nor on what a reader guesses. What is learnt is what the bundle says of the column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import TaskError
from nas.runtime import Table, canonical, is_missing, parse_number

MARKS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"))
"""Marks of decimals and of thousands that are tried, the first that fit most texts taken."""

CONTINENTAL = ((".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"))
"""The same where `;` separates cells, as it does where the comma is a decimal mark: `1,500` is one and a half."""

SPOKEN = {",": "a comma", ".": "a point", " ": "a space", "'": "an apostrophe"}

ENOUGH = 0.9
"""Share of a column's texts that have to be numbers for a column of numbers; the others are missing then."""

MAX_LEVELS = 50


def learn_column(table: Table, name: str, train: NDArray[np.int64]) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Learn what a column is.

    Args:
        table: All rows.
        name: The column.
        train: Rows to learn from.

    Returns:
        Its description for `nas.runtime.encode_table`, or None where it says nothing (a constant, a name on
        each row); and what is to be told of it, a sentence each.

    Raises:
        TaskError: If it holds an infinite number.
    """
    cells = table.columns[name]
    seen = Counter(text for text in (cells[row] for row in train) if text is not None)
    present = Counter({text: count for text, count in seen.items() if not is_missing(text)})
    marks = marks_of(table, name, present)
    numbers = {text: number for text in present if (number := parse_number(text, *marks)) is not None}
    share = sum(present[text] for text in numbers) / max(1, present.total())
    if share >= ENOUGH:
        description, notes = _numbers(name, present, numbers, marks)
        return description, notes + _doubt(name, numbers, marks, table.separator)
    description, notes = _levels(name, seen)
    if description is None and share:
        notes = [f"{note[:-1]}; {share:.0%} of its values are numbers, less than {ENOUGH:.0%}." for note in notes]
    return description, notes


def marks_of(table: Table, name: str, present: Counter[str]) -> tuple[str, str]:
    """The marks of decimals and of thousands that fit most texts of a column, given how often each is there."""
    return (".", "") if name in table.typed else _marks(present, CONTINENTAL if table.separator == ";" else MARKS)


def spelled_alike(name: str, texts: Iterable[str]) -> list[str]:
    """Say where one value is written in several ways, such as `1` and `1.0`."""
    spellings: dict[str, set[str]] = {}
    for text in texts:
        spellings.setdefault(canonical(text), set()).add(text)
    several = sorted(sorted(found) for found in spellings.values() if len(found) > 1)
    shown = "; ".join(", ".join(map(repr, found)) for found in several[:4])
    return [f"column {name!r}: one value written in several ways is one value: {shown}."] if several else []


def missing_note(table: Table, columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how many cells of each column are missing, and what stands for them."""
    counts: dict[bool, list[str]] = {True: [], False: []}
    for column in columns:
        cells, is_level = table.columns[column["name"]], "levels" in column
        if missing := sum(text is None if is_level else is_missing(text) for text in cells):
            counts[is_level].append(f"{column['name']!r} ({missing} of {len(cells)})")
    numbers, levels = ", ".join(counts[False]), ", ".join(counts[True])
    return [
        *([f"missing numbers are the median of the training rows: {numbers}."] if numbers else []),
        *([f"empty cells have none of the levels: {levels}."] if levels else []),
    ]


def _marks(present: Counter[str], tried: Sequence[tuple[str, str]]) -> tuple[str, str]:
    fitting: dict[tuple[str, str], int] = {}
    for marks in tried:
        fitting[marks] = sum(count for text, count in present.items() if parse_number(text, *marks) is not None)
        if fitting[marks] == present.total():
            break
    return max(fitting, key=lambda marks: fitting[marks])


def _numbers(
    name: str, present: Counter[str], numbers: Mapping[str, float], marks: tuple[str, str]
) -> tuple[Mapping[str, Any] | None, list[str]]:
    if not np.isfinite(np.array([*numbers.values()], dtype=np.float64)).all():
        raise TaskError(f"column {name!r} holds an infinite number.", "Clean it, or drop the column.")
    if len(set(numbers.values())) < 2:
        only = f"holds one number only ({next(iter(numbers))!r})" if numbers else "is empty"
        return None, [f"column {name!r} is left out: in the training rows it {only}."]
    fill = float(np.median(np.repeat([*numbers.values()], [present[text] for text in numbers])))
    return {"name": name, "fill": fill, "decimal": marks[0], "thousands": marks[1]}, _conversions(name, numbers, marks)


def _conversions(name: str, numbers: Mapping[str, float], marks: tuple[str, str]) -> list[str]:
    """Say how its texts are read, where that is not the plain way."""
    decimal, thousands = marks
    percent = next((text for text in numbers if text.endswith("%")), None)
    grouped = next((text for text in numbers if thousands and thousands in text), None)
    comma = next((text for text in numbers if decimal == "," and "," in text), None)
    said = [
        (grouped, f"{SPOKEN.get(thousands)} separates thousands"),
        (comma, "a comma is the decimal mark"),
        (percent, "what ends in % is divided by 100"),
    ]
    return [f"column {name!r}: {how}: {text!r} is {numbers[text]:.10g}." for text, how in said if text is not None]


def _doubt(name: str, numbers: Mapping[str, float], marks: tuple[str, str], separator: str) -> list[str]:
    """Say so where `1.500` is read as one and a half, and `;` between cells makes fifteen hundred as likely."""
    pointed = [text for text in numbers if "." in text]
    is_doubtful = marks == (".", "") and separator == ";" and pointed
    if not is_doubtful or any(parse_number(text, ",", ".") is None for text in pointed):
        return []
    return [f"column {name!r}: a point is the decimal mark: {pointed[0]!r} is {numbers[pointed[0]]:.10g}."]


def _levels(name: str, seen: Counter[str]) -> tuple[Mapping[str, Any] | None, list[str]]:
    levels = sorted({canonical(text) for text in seen})
    if len(levels) < 2:
        only = f"one value only ({levels[0]!r})" if levels else "no value"
        return None, [f"column {name!r} is left out: in the training rows it holds {only}."]
    if len(levels) > MAX_LEVELS:
        return None, [f"column {name!r} is left out: it has {len(levels)} different texts, more than {MAX_LEVELS}."]
    return {"name": name, "levels": levels}, spelled_alike(name, seen)
