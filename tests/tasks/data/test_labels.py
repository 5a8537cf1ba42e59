"""What a label column is taken to be: classes or numbers, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.errors import TaskError
from nas.tasks import Classification, MultiTask, Regression, Task, load_table

N = 200


def load(folder: Path, *labels: str, **columns: object) -> Task:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N), **columns})
    frame.to_csv(folder / "t.csv", index=False)
    return load_table(folder / "t.csv", labels)


def test_many_numbers_are_predicted_as_numbers(tmp_path: Path) -> None:
    values = np.round(np.random.default_rng(1).normal(5000, 900, N), 2)
    task = load(tmp_path, "price", price=values)
    assert isinstance(task.output, Regression)
    assert task.train.targets.dtype == np.float32
    assert task.output.mean == pytest.approx(task.train.targets.mean(), rel=1e-5)
    assert task.output.std == pytest.approx(task.train.targets.std(), rel=1e-4)
    assert [len(split) for split in (task.train, task.valid, task.test)] == [140, 30, 30]
    assert task.source is not None
    for split, rows in zip((task.train, task.valid, task.test), task.source.rows, strict=True):
        np.testing.assert_array_equal(split.targets, values[rows].astype(np.float32))
    count = len(set(values))
    assert f"column 'price' is predicted as a number: it holds {count} different numbers with fractions." in task.notes


def test_whole_numbers_of_few_values_are_classes(tmp_path: Path) -> None:
    task = load(tmp_path, "grade", grade=np.arange(N) % 5)
    assert task.output == Classification(("0", "1", "2", "3", "4"))
    assert "column 'grade' is predicted as classes: it holds 5 different numbers." in task.notes


def test_whole_numbers_of_which_some_are_rare_are_numbers(tmp_path: Path) -> None:
    ages = np.random.default_rng(2).integers(18, 90, N)
    assert isinstance(load(tmp_path, "age", age=ages).output, Regression)


def test_marks_of_numbers_are_recognised(tmp_path: Path) -> None:
    prices = [f"{1 + i // 100}.{i % 100:02d}0,{i % 10}5" for i in range(N)]
    task = load(tmp_path, "price", price=prices)
    assert isinstance(task.output, Regression)
    assert task.output.mean == pytest.approx(1995, abs=60)


def test_rows_without_a_number_are_left_out(tmp_path: Path) -> None:
    values: list[object] = [*np.random.default_rng(1).normal(size=N).round(4)]
    values[3], values[4] = "NA", None
    task = load(tmp_path, "y", y=values)
    assert sum(map(len, (task.train, task.valid, task.test))) == N - 2
    assert "2 of 200 rows are left out: they have no value in 'y'." in task.notes


def test_several_labels_are_each_recognised(tmp_path: Path) -> None:
    kinds = np.where(np.arange(N) % 3 == 0, "x", "y")
    task = load(tmp_path, "y", "kind", y=np.random.default_rng(1).normal(size=N), kind=kinds)
    assert isinstance(task.output, MultiTask)
    assert task.output.parts["kind"] == Classification(("x", "y"))
    assert task.train.targets.shape == (len(task.train), 2)
    assert task.name == "t.csv:y,kind"
    assert len(task.modalities["table"].preprocessing["columns"]) == 2
    assert task.valid.targets[:, 1].mean() == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "columns", "message"),
    [
        (("y", "y"), {"y": range(N)}, "labels y, y; expected one or more columns, each once"),
        ((), {}, r"labels \(none\); expected one or more"),
        (("y",), {"y": [*range(N - 1), "inf"]}, "column 'y' holds an infinite number"),
        (
            ("y",),
            {"y": [*range(N - 1), "many"]},
            "200 different.*\n1 of them are no numbers, for example 'many'",
        ),
        (("y", "z"), {"y": ["a", None] * (N // 2), "z": [None, "b"] * (N // 2)}, "expected 2 to 100"),
        (
            ("y", "z"),
            {"y": ["a", "c", None, None] * 50, "z": [None, None, "a", "b"] * 50},
            "has 0 rows with a",
        ),
    ],
)
def test_labels_that_cannot_be_learnt(
    tmp_path: Path, labels: tuple[str, ...], columns: dict[str, object], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        load(tmp_path, *labels, **columns)
