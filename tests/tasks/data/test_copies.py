from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.tasks.data.copies import copies_across

RNG = np.random.default_rng(0)


def across(rows: NDArray[np.float64]) -> list[str]:
    rows = rows[np.random.default_rng(1).permutation(len(rows))].astype(np.float32)
    first = round(0.7 * len(rows))
    return copies_across(rows[:first], {"test": rows[first:]})


@pytest.mark.parametrize("width", [2, 5, 30])
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_patients_in_both_splits_are_told(width: int, scale: float) -> None:
    patients = np.repeat(RNG.normal(size=(40, width)), 10, axis=0)
    (note,) = across(scale * (patients + 0.005 * RNG.normal(size=patients.shape)))
    assert int(note.split()[0]) >= 100
    assert "of 120 other rows of test are near copies of a row of train" in note


def test_pairs_are_told() -> None:
    pairs = np.repeat(RNG.normal(size=(200, 6)), 2, axis=0)
    (note,) = across(pairs + 0.01 * RNG.normal(size=pairs.shape))
    assert "near copies" in note


@pytest.mark.parametrize(
    "rows",
    [
        *(RNG.normal(size=(400, width)) for width in (1, 2, 3, 10, 50)),
        np.exp(1.5 * RNG.normal(size=(1000, 3))),
        np.repeat(RNG.normal(size=(5, 6)) * 10, 80, axis=0) + RNG.normal(size=(400, 6)),
        np.hstack([np.eye(5)[RNG.integers(0, 5, 1000)], RNG.normal(size=(1000, 3))]),
        np.stack([np.sin(np.arange(800) / 20), np.cos(np.arange(800) / 33), np.arange(800) % 97], axis=1),
        RNG.normal(size=(1000, 12)) * (RNG.random((1000, 12)) < 0.25),
    ],
    ids=["1", "2", "3", "10", "50", "skewed", "clusters", "mixed", "curves", "sparse"],
)
def test_ordinary_rows_are_not(rows: NDArray[np.float64]) -> None:
    assert [note for note in across(rows) if "near copies" in note] == []


def test_identical_rows_are_counted() -> None:
    train = RNG.normal(size=(50, 3)).astype(np.float32)
    fresh = RNG.normal(size=(20, 3)).astype(np.float32)
    others = {"valid": fresh, "test": np.concatenate([fresh, train[:4]])}
    assert copies_across(train, others) == ["4 of 24 rows of test are in train too, value for value."]
    assert copies_across(train[:3], {"test": train[:1]}) == ["1 of 1 rows of test are in train too, value for value."]


def test_many_rows_and_columns_take_seconds_at_most() -> None:
    rows = RNG.normal(size=(20_000, 40)).astype(np.float32)
    assert copies_across(rows[:15_000], {"test": rows[15_000:]}) == []
