"""What a table's label columns are: classes, or numbers.

A column is of numbers where all its texts are, and they have many different values; whole numbers of few values are
classes. What is found is told, as it decides what a network learns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import TaskError, unknown
from nas.runtime import SEPARATORS, Table, canonical, is_missing, parse_number
from nas.tasks.data.columns import marks_of, spelled_alike
from nas.tasks.outputs import Classification, MultiTask, Output, Regression

MAX_CLASSES = 100

FEW = 20
"""So many different numbers are classes in any case."""

MIN_OF_CLASS = 4
MIN_ROWS = 30


@dataclass(frozen=True)
class Label:
    """One column to predict.

    Attributes:
        name: The column.
        classes: What each class index means; none where numbers are predicted.
        targets: Of each row of the table, `(rows,)`: the class index, or the number; NaN where there is none.
        notes: What was recognised, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    targets: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    def output(self, train: NDArray[np.int64]) -> Output:
        """What is predicted of the column, learnt from training rows."""
        if self.classes:
            return Classification(self.classes)
        values = self.targets[train]
        return Regression(float(values.mean()), float(values.std()) or 1.0)


def read_label(path: Path, table: Table, name: str) -> Label:
    """Read a column that is to be predicted.

    Raises:
        TaskError: If it is missing, has too few values, or is neither of classes nor of numbers.
    """
    if name not in table.columns:
        alone = f" Only one column was found: cells are separated by {' '.join(map(repr, SEPARATORS))}."
        raise TaskError(
            f"{path}: {unknown('column', name, table.columns)}{alone if len(table.columns) == 1 else ''}",
            "Name it with --label.",
        )
    texts = [None if text is None else canonical(str(text)) for text in table.columns[name]]
    _check_rows(path, name, sum(text is not None for text in texts))
    numbers = _numbers(path, table, name)
    return _classes(path, table, name, texts) if numbers is None else numbers


def labelled(path: Path, labels: Sequence[Label]) -> NDArray[np.int64]:
    """The rows that have a value in every one of some labels.

    Raises:
        TaskError: If they are too few.
    """
    kept = np.flatnonzero(~np.isnan([label.targets for label in labels]).any(axis=0))
    _check_rows(path, " and ".join(repr(label.name)[1:-1] for label in labels), len(kept))
    for label in labels:
        counts = (
            np.bincount(label.targets[kept].astype(np.int64), minlength=len(label.classes)) if label.classes else None
        )
        if counts is not None and counts.min() < MIN_OF_CLASS:
            rare = label.classes[int(counts.argmin())]
            raise TaskError(
                f"{path}: class {rare!r} of {label.name!r} has {counts.min()} rows; expected at least "
                f"{MIN_OF_CLASS} of each.",
                "Add rows, or join rare classes.",
            )
    return kept


def join_labels(labels: Sequence[Label], train: NDArray[np.int64]) -> tuple[Output, NDArray[Any]]:
    """What is predicted of one column or several, and the targets of each row of the table.

    Args:
        labels: One or more.
        train: Rows to learn mean and deviation from.

    Returns:
        The output, and class indices `(rows,)`, int64, or numbers `(rows,)`, float32, of a single column; of several
        `(rows, columns)`, float32. What is there of rows without a label means nothing.
    """
    if len(labels) > 1:
        parts = {label.name: label.output(train) for label in labels}
        return MultiTask(parts), np.stack([label.targets for label in labels], axis=1).astype(np.float32)
    (label,) = labels
    targets = np.nan_to_num(label.targets).astype(np.int64) if label.classes else label.targets.astype(np.float32)
    return label.output(train), targets


def _check_rows(path: Path, name: str, count: int) -> None:
    if count < MIN_ROWS:
        raise TaskError(
            f"{path}: has {count} rows with a value in {name!r}; expected at least {MIN_ROWS}.", "Add rows."
        )


def _numbers(path: Path, table: Table, name: str) -> Label | None:
    """The column as one of numbers; None where it is better one of classes."""
    cells = table.columns[name]
    present = Counter(text for text in cells if text is not None and not is_missing(text))
    marks = marks_of(table, name, present)
    numbers = {text: parse_number(text, *marks) for text in present}
    if not numbers or None in numbers.values():
        return None
    values = Counter[float]()
    for text, count in present.items():
        values[numbers[text] or 0.0] += count
    if not np.isfinite([*values]).all():
        raise TaskError(f"{path}: column {name!r} holds an infinite number.", "Clean it, or predict another column.")
    are_whole = all(value == int(value) for value in values)
    is_rare = min(values.values()) < MIN_OF_CLASS
    if len(values) <= FEW or (len(values) <= MAX_CLASSES and are_whole and not is_rare):
        return None
    found = [numbers.get(text or "") for text in cells]
    targets = np.array([np.nan if value is None else value for value in found])
    kind = "numbers" if are_whole else "numbers with fractions"
    told = f"column {name!r} is predicted as a number: it holds {len(values)} different {kind}."
    return Label(name, (), targets, (told, *_left_out(name, targets)))


def _classes(path: Path, table: Table, name: str, texts: Sequence[str | None]) -> Label:
    """The column as one of classes, in the order of numbers if all are whole numbers."""
    found = {text for text in texts if text is not None}
    are_whole = all(text.lstrip("+-").isdecimal() for text in found)
    classes = sorted(found, key=lambda text: (int(text) if are_whole else 0, text))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise TaskError(
            f"{path}: column {name!r} has {len(classes)} different values; expected 2 to {MAX_CLASSES} classes, or "
            "numbers.",
            _no_numbers(table, name) or "Bring the label into classes.",
        )
    places = {text: place for place, text in enumerate(classes)}
    targets = np.array([np.nan if text is None else places[text] for text in texts])
    spelled = spelled_alike(name, (text for text in table.columns[name] if text is not None))
    told = (f"column {name!r} is predicted as classes: it holds {len(classes)} different numbers.",)
    is_doubtful = len(classes) > 2 and are_whole
    return Label(name, tuple(classes), targets, (*(told if is_doubtful else ()), *_left_out(name, targets), *spelled))


def _left_out(name: str, targets: NDArray[np.float64]) -> list[str]:
    count = int(np.isnan(targets).sum())
    return [f"{count} of {len(targets)} rows are left out: they have no value in {name!r}."] if count else []


def _no_numbers(table: Table, name: str) -> str:
    """Why a column is not one of numbers, where most of its texts are."""
    present = Counter(text for text in table.columns[name] if text is not None and not is_missing(text))
    marks = marks_of(table, name, present)
    strange = [text for text in present if parse_number(text, *marks) is None]
    if not strange or len(strange) * 2 > len(present):
        return ""
    return f"{len(strange)} of them are no numbers, for example {strange[0]!r}: clean them to predict a number."
