from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.errors import TaskError
from nas.predict import prepare
from nas.tasks import Task, load_table

N = 200


def frame(n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = rng.normal(10, 3, n)
    size[::9] = np.nan
    return pd.DataFrame(
        {
            "size": size,
            "colour": rng.choice(["red", "green", "blue"], n),
            "heavy": rng.choice([True, False], n),
            "id": [f"row-{i}" for i in range(n)],
            "constant": 1,
            "kind": rng.choice(["cat", "dog"], n, p=[0.3, 0.7]),
        }
    )


def load(table: pd.DataFrame, folder: Path, label: str = "kind", seed: int = 0) -> Task:
    table.to_csv(folder / "table.csv", index=False)
    return load_table(folder / "table.csv", label, seed)


def columns(task: Task) -> Mapping[str, Mapping[str, object]]:
    return {column["name"]: column for column in task.modalities["table"].preprocessing["columns"]}


def test_mixed_columns_become_one_vector(tmp_path: Path) -> None:
    task = load(frame(), tmp_path)
    assert list(columns(task)) == ["size", "colour", "heavy"], "names and constants are left out"
    assert columns(task)["colour"]["levels"] == ["blue", "green", "red"]
    assert task.modalities["table"].kind == "vector"
    assert task.modalities["table"].shape == (6,)
    for split in (task.train, task.valid, task.test):
        assert split.inputs["table"].dtype == np.float32
        assert split.inputs["table"].shape == (len(split), 6)
        assert np.isfinite(split.inputs["table"]).all()
        assert (split.inputs["table"][:, 1:4].sum(axis=1) == 1).all()


def test_split_is_stratified_disjoint_and_seeded(tmp_path: Path) -> None:
    table = frame().assign(size=np.arange(N, dtype=float))
    task = load(table, tmp_path)
    parts = [set(split.inputs["table"][:, 0]) for split in (task.train, task.valid, task.test)]
    assert [len(part) for part in parts] == pytest.approx([140, 30, 30], abs=2)
    assert len(set.union(*parts)) == N
    share = (table["kind"] == "dog").mean()
    for split in (task.train, task.valid, task.test):
        assert split.targets.mean() == pytest.approx(share, abs=0.03)
    assert load(table, tmp_path).fingerprint == task.fingerprint
    assert load(table, tmp_path, seed=1).fingerprint != task.fingerprint


def test_everything_is_learnt_from_the_training_split(tmp_path: Path) -> None:
    table = frame().assign(size=np.arange(N, dtype=float))
    rows = load(table, tmp_path).train.inputs["table"][:, 0].astype(int)
    other = table.astype({"colour": object})
    outside = np.setdiff1d(np.arange(N), rows)
    other.loc[outside, "size"] = np.nan
    other.loc[outside, "colour"] = "pink"
    task = load(other, tmp_path)
    median = np.float32(np.median(rows))
    assert columns(task)["size"]["fill"] == median
    assert (task.valid.inputs["table"][:, 0] == median).all()
    assert not task.valid.inputs["table"][:, 1:4].any(), "a level that training never saw is no level"
    seen = task.train.inputs["table"]
    assert task.modalities["table"].mean == pytest.approx(seen.mean(axis=0))
    assert np.array(task.modalities["table"].std) == pytest.approx(np.where(seen.std(axis=0) > 0, seen.std(axis=0), 1))


def test_parquet_is_the_same_as_csv(tmp_path: Path) -> None:
    table = frame()
    table.to_parquet(tmp_path / "table.parquet")
    parquet, csv = load_table(tmp_path / "table.parquet", "kind"), load(table, tmp_path)
    assert parquet.fingerprint == csv.fingerprint


@pytest.mark.parametrize(("label", "classes"), [("number", ("2", "10")), ("flag", ("False", "True"))])
def test_labels_of_other_types(tmp_path: Path, label: str, classes: tuple[str, ...]) -> None:
    kind = frame()["kind"] == "cat"
    table = frame().assign(number=np.where(kind, 2.0, 10.0), flag=kind)
    assert load(table, tmp_path, label).labels == classes


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    table = frame()
    table.loc[:19, "kind"] = None
    task = load(table, tmp_path)
    assert len(task.train) + len(task.valid) + len(task.test) == N - 20


def test_a_deployed_row_becomes_the_vector_of_training(tmp_path: Path) -> None:
    table = frame()
    task = load(table, tmp_path)
    modality = task.modalities["table"]
    described = {"shape": list(modality.shape), "preprocessing": json.loads(json.dumps(modality.preprocessing))}
    vectors = prepare(tmp_path / "table.csv", described)
    known = {vector.tobytes() for split in (task.train, task.valid, task.test) for vector in split.inputs["table"]}
    assert {vector.tobytes() for vector in vectors} == known
    row = {"size": None, "colour": "red", "heavy": True}
    (tmp_path / "row.json").write_text(json.dumps(row))
    fill = columns(task)["size"]["fill"]
    np.testing.assert_array_equal(prepare(tmp_path / "row.json", described), np.float32([[fill, 0, 0, 1, 0, 1]]))


def test_missing_label_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"unknown column 'kin'; known: .* Did you mean 'kind'"):
        load(frame(), tmp_path, "kin")


def test_continuous_label_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"column 'size' has \d+ different values; expected 2 to 100 classes.\nRegress"):
        load(frame(), tmp_path, "size")


def test_single_class(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="column 'constant' has 1 different values; expected 2 to 100 classes"):
        load(frame(), tmp_path, "constant")


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="has 29 rows with a value in 'kind'; expected at least 30"):
        load(frame(29), tmp_path)


def test_too_few_of_a_class(tmp_path: Path) -> None:
    table = frame()
    table.loc[:1, "kind"] = "emu"
    with pytest.raises(TaskError, match=r"class 'emu' of 'kind' has 2 rows; expected at least 4 of each"):
        load(table, tmp_path)


def test_no_column_that_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no column but 'kind' can be used; expected numbers or categories"):
        load(frame()[["id", "constant", "kind"]].assign(empty=np.nan), tmp_path)


def test_infinite_number(tmp_path: Path) -> None:
    table = frame()
    table["size"] = np.inf
    table.loc[::2, "size"] = 1.0
    with pytest.raises(TaskError, match="column 'size' holds an infinite number"):
        load(table, tmp_path)


def test_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"gone.csv: there is no such table"):
        load_table(tmp_path / "gone.csv", "kind")


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"expected a file that ends in .csv, .tsv, .txt, .json, .parquet"):
        load_table(tmp_path / "table.xls", "kind")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "holds no rows"),
        ("a.parquet", b"no parquet", "cannot be read: "),
        ("b.csv", b"\xff\xfe\x00", "cannot be read: is no text"),
    ],
)
def test_damaged_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=message):
        load_table(tmp_path / name, "kind")
