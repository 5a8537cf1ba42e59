"""A table as it was read, every cell a text."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between a table's cells."""


@dataclass(frozen=True)
class Table:
    """A table, every cell a text.

    Attributes:
        columns: Name → the text of each row, without spaces around it; None where the cell is empty.
        typed: Columns that the file itself says are numbers; they are written with a point.
        separator: What stands between cells; empty where nothing does.
        notes: What was recognised, named or left out while it was read, a sentence each.
    """

    columns: Mapping[str, Sequence[str | None]]
    typed: frozenset[str] = frozenset()
    separator: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def named_once(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that are neither blank nor there twice, and what had to be named."""
    taken, unique = Counter(name for name in names if name), list[str]()
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        new = name if name and seen[name] == 1 else f"{name} ({seen[name]})" if name else f"unnamed {seen[name]}"
        while new != name and taken[new]:
            new += "'"
        taken[new] += 1
        unique.append(new)
    renamed = [new for name, new in zip(names, unique, strict=True) if name != new]
    note = f"blank column names, and those that are there twice, are called {listed(renamed)}."
    return unique, [note] if renamed else []


def listed(texts: Iterable[str], most: int = 20) -> str:
    """Texts for a sentence, each cut, and only so many."""
    shown = [*itertools.islice((repr(text if len(text) <= 40 else text[:37] + "...") for text in texts), most + 1)]
    return ", ".join(shown[:most] + (["..."] if len(shown) > most else [])) or "none"
