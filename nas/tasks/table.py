"""The user's own table as a classification task: numbers as they are, categories one-hot."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.errors import TaskError, unknown
from nas.predict import encode_row
from nas.tasks.task import Modality, Split, Task

SHARES = (0.7, 0.15)
"""Of training and validation; the test split gets the rest."""

MAX_CLASSES = 100
MAX_LEVELS = 50
MIN_OF_CLASS = 4
MIN_ROWS = 30


def load_table(path: Path, label: str, seed: int = 0) -> Task:
    """Load a CSV or Parquet file as a task with one modality, `table`.

    Numbers stay as they are, missing ones become the training split's median; other columns become one-hot over the
    levels of the training split. Rows are split 70 / 15 / 15, each class alike.

    Args:
        path: The file.
        label: The column to predict; rows without it are left out.
        seed: Of the split.

    Raises:
        TaskError: If the file cannot be read, the label is missing or is not a class, or rows are too few.
    """
    frame = _read(path)
    if label not in frame.columns:
        raise TaskError(f"{path}: {unknown('column', label, map(str, frame.columns))}", "Name it with --label.")
    frame = frame.dropna(subset=[label]).reset_index(drop=True)
    if len(frame) < MIN_ROWS:
        raise TaskError(
            f"{path}: has {len(frame)} rows with a value in {label!r}; expected at least {MIN_ROWS}.", "Add rows."
        )
    classes, targets = _classes(path, label, _series(frame, label))
    parts = _split(targets, len(classes), seed)
    columns = [_column(path, _series(frame, name), parts[0]) for name in frame.columns if name != label]
    columns = [column for column in columns if column is not None]
    if not columns:
        raise TaskError(f"{path}: no column but {label!r} can be used; expected numbers or categories.")
    features = frame.drop(columns=label)
    table = features.astype(object).where(features.notna(), None).to_numpy()
    names = [str(name) for name in features.columns]
    vectors = np.stack([encode_row(dict(zip(names, row, strict=True)), columns) for row in table])
    train, valid, test = (Split({"table": vectors[part]}, targets[part]) for part in parts)
    seen = vectors[parts[0]]
    mean, std = seen.mean(axis=0), seen.std(axis=0)
    modality = Modality(
        "vector",
        (vectors.shape[1],),
        tuple(map(float, mean)),
        tuple(float(s) if s > 0 else 1.0 for s in std),
        {"files": [".npy", ".csv", ".json"], "columns": columns},
    )
    return Task(f"{path.name}:{label}", {"table": modality}, tuple(classes), train, valid, test)


def _read(path: Path) -> pd.DataFrame:
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise TaskError(f"{path}: cannot be read as a table; expected a file that ends in .csv or .parquet.")
    if not path.is_file():
        raise TaskError(f"{path}: there is no such table.", "Give --data TABLE.csv --label COLUMN.")
    try:
        return readers[path.suffix](path)
    except (ValueError, OSError) as error:
        raise TaskError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def _series(frame: pd.DataFrame, name: Hashable) -> pd.Series:
    return frame.loc[:, name]


def _classes(path: Path, label: str, values: pd.Series) -> tuple[list[str], NDArray[np.int64]]:
    texts = values.astype(str)
    classes = sorted(texts.unique())
    if pd.api.types.is_float_dtype(values) and (values == values.round()).all():
        texts = values.astype("int64").astype(str)
        classes = sorted(texts.unique(), key=int)
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise TaskError(
            f"{path}: column {label!r} has {len(classes)} different values; expected 2 to {MAX_CLASSES} classes.",
            "Regression is not supported: bring the label into classes.",
        )
    targets = np.array([classes.index(text) for text in texts], dtype=np.int64)
    counts = np.bincount(targets)
    if counts.min() < MIN_OF_CLASS:
        rare = classes[int(counts.argmin())]
        raise TaskError(
            f"{path}: class {rare!r} of {label!r} has {counts.min()} rows; expected at least {MIN_OF_CLASS} of each.",
            "Add rows, or join rare classes.",
        )
    return classes, targets


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


def _column(path: Path, values: pd.Series, train: NDArray[np.int64]) -> Mapping[str, Any] | None:
    """How a column becomes numbers; None for one that says nothing, such as a constant or a name on each row."""
    seen = values.iloc[train].dropna()
    name = str(values.name)
    if seen.nunique() < 2:
        return None
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        if not np.isfinite(seen.to_numpy(dtype=np.float64)).all():
            raise TaskError(f"{path}: column {name!r} holds an infinite number.", "Clean it, or drop the column.")
        return {"name": name, "fill": float(seen.median())}
    levels = sorted(seen.astype(str).unique())
    return {"name": name, "levels": levels} if len(levels) <= MAX_LEVELS else None
