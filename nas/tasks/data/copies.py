"""Rows of validation and test that have a twin in training: a score on them says nothing of new data.

Identical rows are counted. Near copies, such as several visits of one patient, are those whose nearest training row is
far nearer than the training rows lie apart: that distance is foretold from small samples of training rows, in which
copies of one another are rare, by how many dimensions the rows really spread in (the median form of Facco et al.,
"Estimating the intrinsic dimension of datasets by a minimal neighborhood information", 2017).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

SAMPLE = 16
"""Training rows in each small sample."""

DRAWS = 100
"""Small samples."""

NEAR = 0.2
"""Share of the foretold distance below which a row is a near copy."""

MANY = 0.1
"""Least share of rows that have to be near copies to be told; three times what chance brings counts as well."""

TELLING = 3
"""Columns in which a row must be unlike half of all rows, to have near copies; most rows of zeros are near others."""

LOOKED_AT = 1000
"""Rows of validation and test, each, that near copies are looked for among."""

MAX_TRAIN = 50_000
"""Training rows that they are held against."""

BLOCK = 1 << 23
"""Distances in memory at a time."""


def copies_across(train: NDArray[np.float32], others: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Tell of rows of other splits that have twins in training.

    Args:
        train: Vectors `(n, width)`.
        others: Name of a split → its vectors.

    Returns:
        A sentence for each split that has identical rows, and for each that has many near copies.
    """
    known = {row.tobytes() for row in train}
    centre, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    rng = np.random.default_rng(0)
    scaled = (_some(train, MAX_TRAIN, rng) - centre) / scale
    notes: list[str] = []
    for name, rows in others.items():
        fresh = np.array([row.tobytes() not in known for row in rows], dtype=bool)
        if not fresh.all():
            notes.append(f"{(~fresh).sum()} of {len(rows)} rows of {name} are in train too, value for value.")
        near, looked_at = _near(scaled, (_some(rows[fresh], LOOKED_AT, rng) - centre) / scale, rng)
        if near:
            notes.append(
                f"{near} of {looked_at} other rows of {name} are near copies of a row of train: they may come from one "
                "person, device or moment, and then say little of new data."
            )
    return notes


def _some(rows: NDArray[np.float32], most: int, rng: np.random.Generator) -> Matrix:
    chosen = rng.permutation(len(rows))[:most] if len(rows) > most else slice(None)
    return rows[chosen].astype(np.float64)


def _near(train: Matrix, rows: Matrix, rng: np.random.Generator) -> tuple[int, int]:
    """How many rows are near copies, 0 where no more are than chance brings; and of how many."""
    if len(train) <= SAMPLE or not len(rows):
        return 0, len(rows)
    expected, dimensions = _expected(train, rng)
    if expected == 0:
        return 0, len(rows)
    distances = _distances(rows, train)
    near = int(((distances < NEAR * expected) & _is_telling(train, rows)).sum())
    by_chance = 1 - 0.5 ** (NEAR**dimensions)  # of rows whose nearest neighbours lie as a Poisson process has them
    return (near if near > len(rows) * max(MANY, 3 * by_chance) else 0), len(rows)


def _expected(train: Matrix, rng: np.random.Generator) -> tuple[float, float]:
    """The median distance to the nearest training row that a new row should have, and the dimensions of the rows."""
    samples = (train[rng.choice(len(train), SAMPLE, replace=False)] for _ in range(DRAWS))
    apart = (np.linalg.norm(sample[:, None] - sample, axis=-1) for sample in samples)
    _, first, second = np.concatenate([np.sort(distances, axis=1)[:, :3] for distances in apart]).T
    base = float(np.median(first))
    ratio = float(np.median(second[first > 0] / first[first > 0])) if (first > 0).any() else 1.0
    dimensions = float(np.log(2) / max(np.log(ratio), 1e-3))
    return base * (SAMPLE / len(train)) ** (1 / dimensions), dimensions


def _distances(rows: Matrix, train: Matrix) -> Matrix:
    """The distance of each row to the nearest training row; by matrices, which no number of columns makes slow."""
    squares = (train**2).sum(axis=1)
    blocks = np.array_split(rows, 1 + len(rows) * len(train) // BLOCK)
    nearest = [((block**2).sum(axis=1)[:, None] + squares - 2 * block @ train.T).min(axis=1) for block in blocks]
    return np.sqrt(np.maximum(0, np.concatenate(nearest)))


def _is_telling(train: Matrix, rows: Matrix) -> NDArray[np.bool_]:
    """Which rows are special enough for a near row to be more than chance."""
    middle = np.median(train, axis=0)
    common = (train == middle).mean(axis=0) >= 0.5
    return ((rows != middle) | ~common).sum(axis=1) >= min(TELLING, train.shape[1])
