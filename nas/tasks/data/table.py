"""The user's own table as a task: numbers as they are, categories one-hot, one column or several to predict.

A table is read and encoded by `nas.runtime`, which every bundle contains, and by nothing else.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import TaskError
from nas.runtime import (
    TABLES,
    PredictError,
    PredictWarning,
    Table,
    encode_table,
    prepare,
    read_table,
)
from nas.tasks.data.columns import learn_column, missing_note
from nas.tasks.data.copies import copies_across
from nas.tasks.data.labels import Label, join_labels, labelled, read_label
from nas.tasks.task import Modality, Source, Split, Task

SHARES = (0.7, 0.15)
"""Of training and validation; the test split gets the rest."""

MODALITY = "table"


def load_table(path: Path, label: str | Sequence[str], seed: int = 0) -> Task:
    """Load a table as a task with one modality, `table`.

    Columns of which nine texts in ten are numbers are numbers, of whatever decimal mark; what is missing, or no number,
    becomes the training split's median. Other columns become one-hot over the levels of the training split. There, as
    among classes, only the empty cell is missing: `NA`, `None` and `null` are values. Rows are split 70 / 15 / 15, each
    class of the first label of classes alike. The task's notes say what was left out, converted, recognised, or found
    to be in two splits.

    Args:
        path: A delimited file, JSON or Parquet; see `nas.runtime.read_table`.
        label: The column to predict, or several; each is recognised by itself (`nas.tasks.data.labels`). Rows without a
            value in one are left out.
        seed: Of the split.

    Raises:
        TaskError: If the file cannot be read, a label is missing or neither of classes nor of numbers, or rows are too
            few.
    """
    table, names = _read(path), (label,) if isinstance(label, str) else tuple(label)
    _check_names(path, names)
    labels = [read_label(path, table, name) for name in names]
    kept = labelled(path, labels)
    parts = _split(*_strata(labels, kept), seed)
    rows = [kept[part] for part in parts]
    output, targets = join_labels(labels, rows[0])
    columns, notes = _learn(path, table, names, rows[0])
    vectors, odd = _encode(path, table, columns)
    train, valid, test = (Split({MODALITY: vectors[chosen]}, targets[chosen]) for chosen in rows)
    task = Task(
        f"{path.name}:{','.join(names)}",
        {MODALITY: _modality(train.inputs[MODALITY], columns)},
        output,
        train,
        valid,
        test,
        notes=(
            *(f"{path.name}: {note}" for note in table.notes),
            *(note for each in labels for note in each.notes),
            *notes,
            *missing_note(table, columns),
            *odd,
            *copies_across(train.inputs[MODALITY], {"valid": valid.inputs[MODALITY], "test": test.inputs[MODALITY]}),
        ),
        source=Source(path.resolve(), (rows[0], rows[1], rows[2])),
    )
    prove_preparation(task, json.loads(json.dumps(_description(task.modalities[MODALITY]))))
    return task


def prove_preparation(task: Task, description: Mapping[str, Any]) -> int:
    """Prove that a bundle prepares the task's file, value by value, as training did.

    Args:
        task: From `load_table`.
        description: What `bundle.json` says of the modality `table`, as read back from JSON.

    Returns:
        The number of rows that were compared: all of the three splits.

    Raises:
        TaskError: If the file cannot be prepared, or a value differs; the first one is named.
    """
    if task.source is None:
        raise TaskError(f"task {task.name!r}: comes from no table, so there is no file to prove its preparation on.")
    path = task.source.path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PredictWarning)  # they are among the task's notes
            vectors = prepare(path, description, MODALITY)
    except PredictError as error:
        raise TaskError(f"{error}", "A bundle of this task could not read the task's own table.") from None
    splits = (task.train, task.valid, task.test)
    for split, rows in zip(splits, task.source.rows, strict=True):
        _compare(path, description, vectors, rows, split.inputs[MODALITY])
    return sum(map(len, splits))


def _compare(
    path: Path,
    description: Mapping[str, Any],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    trained: NDArray[np.float32],
) -> None:
    if len(vectors) <= rows.max() or vectors.shape[1:] != trained.shape[1:]:
        raise TaskError(
            f"{path}: the bundle's preparation gives vectors {vectors.shape}; training had rows up to {rows.max()} of "
            f"shape {trained.shape[1:]}.",
            "The table was changed since it was read; load it again.",
        )
    different = np.argwhere(vectors[rows] != trained)
    if len(different):
        row, place = map(int, different[0])
        bounds = np.cumsum([len(column.get("levels", " ")) for column in description["preprocessing"]["columns"]])
        column = description["preprocessing"]["columns"][int(np.searchsorted(bounds, place, side="right"))]["name"]
        raise TaskError(
            f"{path}: row {rows[row]}, column {column!r}: the bundle's preparation gives "
            f"{vectors[rows[row], place]:g}; training had {trained[row, place]:g}. {len(different)} values differ.",
            "The table was changed since it was read, or the bundle's description was.",
        )


def _read(path: Path) -> Table:
    if path.suffix.lower() not in TABLES:
        raise TaskError(f"{path}: cannot be read as a table; expected a file that ends in {', '.join(TABLES)}.")
    if not path.is_file():
        raise TaskError(f"{path}: there is no such table.", "Give --data TABLE.csv --label COLUMN.")
    try:
        return read_table(path)
    except PredictError as error:
        raise TaskError(str(error)) from None


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise TaskError(f"{path}: labels {', '.join(names) or '(none)'}; expected one or more columns, each once.")


def _strata(labels: Sequence[Label], kept: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """What rows are split alike by: the first label of classes, and how many there are; one where there is none."""
    for label in labels:
        if label.classes:
            return label.targets[kept].astype(np.int64), len(label.classes)
    return np.zeros(len(kept), np.int64), 1


def _split(targets: NDArray[np.int64], classes: int, seed: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for index in range(classes):
        order = rng.permutation(np.flatnonzero(targets == index))
        first = max(1, min(len(order) - 2, round(SHARES[0] * len(order))))
        second = max(1, min(len(order) - first - 1, round(SHARES[1] * len(order))))
        for part, chosen in zip(parts, np.split(order, [first, first + second]), strict=True):
            part.append(chosen)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def _learn(
    path: Path, table: Table, labels: Sequence[str], train: NDArray[np.int64]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The columns that can be used, and what is to be told of all."""
    columns: list[Mapping[str, Any]] = []
    notes: list[str] = []
    for name in table.columns:
        if name in labels:
            continue
        try:
            column, said = learn_column(table, name, train)
        except TaskError as error:
            raise TaskError(f"{path}: {error.message}", error.hint) from None
        columns += [column] if column is not None else []
        notes += said
    if not columns:
        raise TaskError(
            f"{path}: no column but {' and '.join(map(repr, labels))} can be used; expected numbers or categories.",
            " ".join(notes),
        )
    return columns, notes


def _encode(
    path: Path, table: Table, columns: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[np.float32], Sequence[str]]:
    try:
        return encode_table(table, columns)
    except PredictError as error:
        raise TaskError(f"{path}: {error}", "Clean it, or drop the column.") from None


def _modality(train: NDArray[np.float32], columns: Sequence[Mapping[str, Any]]) -> Modality:
    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    return Modality(
        "vector",
        (train.shape[1],),
        tuple(map(float, mean)),
        tuple(float(s) if s > 0 else 1.0 for s in std),
        {"files": [".npy", *TABLES], "columns": columns},
    )


def _description(modality: Modality) -> Mapping[str, Any]:
    """What a bundle says of it, as far as preparation goes."""
    return {"shape": modality.shape, "preprocessing": modality.preprocessing}
