from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.errors import TaskError
from nas.runtime import prepare
from nas.tasks import Classification, Regression, Task, load_table, prove_preparation

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


def described(task: Task) -> dict[str, Any]:
    """What a bundle says of the table."""
    modality = task.modalities["table"]
    return json.loads(json.dumps({"shape": modality.shape, "preprocessing": modality.preprocessing}))


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


def test_every_kind_of_file_is_the_same(tmp_path: Path) -> None:
    table = frame()
    csv = load(table, tmp_path)
    table.to_parquet(tmp_path / "a.parquet")
    table.to_csv(tmp_path / "a.TSV", index=False, sep="\t")
    table.to_csv(tmp_path / "a.txt", index=False, sep=";", decimal=",", encoding="utf-16")
    (tmp_path / "a.json").write_text(table.to_json(orient="records", double_precision=15))
    for name in ("a.parquet", "a.TSV", "a.txt"):
        assert load_table(tmp_path / name, "kind").fingerprint == csv.fingerprint, name
    other = load_table(tmp_path / "a.json", "kind")
    np.testing.assert_allclose(other.train.inputs["table"], csv.train.inputs["table"], rtol=1e-6)


@pytest.mark.parametrize(("label", "classes"), [("number", ("2", "10")), ("flag", ("False", "True"))])
def test_labels_of_other_types(tmp_path: Path, label: str, classes: tuple[str, ...]) -> None:
    kind = frame()["kind"] == "cat"
    table = frame().assign(number=np.where(kind, 2.0, 10.0), flag=kind)
    assert load(table, tmp_path, label).output == Classification(classes)


def test_rows_without_a_label_are_left_out_aloud(tmp_path: Path) -> None:
    table = frame()
    table.loc[:19, "kind"] = None
    task = load(table, tmp_path)
    assert len(task.train) + len(task.valid) + len(task.test) == N - 20
    assert "20 of 200 rows are left out: they have no value in 'kind'." in task.notes


def test_labels_that_other_readers_lose_are_classes(tmp_path: Path) -> None:
    names = np.array(["NA", "None", "null", "nan"])
    assert load(frame().assign(kind=names[np.arange(N) % 4]), tmp_path).output == Classification(
        ("NA", "None", "nan", "null")
    )


def test_whole_labels_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    task = load(frame().assign(kind=np.arange(N) % 12 - 1), tmp_path)
    assert task.output == Classification(tuple(map(str, range(-1, 11))))


def test_an_ordinary_table_has_nothing_to_tell(tmp_path: Path) -> None:
    assert load(frame()[["colour", "heavy", "kind"]].assign(size=np.arange(N) / 7), tmp_path).notes == ()


def test_everything_that_is_left_out_or_converted_is_told(tmp_path: Path) -> None:
    table = frame().astype(object)
    table["price"] = [f"{1000 + i:,}" for i in range(N)]
    table["share"] = [f"{i % 50}%" for i in range(N)]
    table.loc[3, "size"] = "?"
    table.loc[5, "size"] = "heavy"
    table.loc[:20, "heavy"] = "TRUE"
    assert load(table, tmp_path).notes == (
        "column 'heavy': one value written in several ways is one value: 'TRUE', 'True'.",
        "column 'id' is left out: it has 140 different texts, more than 50.",
        "column 'constant' is left out: in the training rows it holds one number only ('1').",
        "column 'price': a comma separates thousands: '1,046' is 1046.",
        "column 'share': what ends in % is divided by 100: '46%' is 0.46.",
        "missing numbers are the median of the training rows: 'size' (24 of 200).",
        "column 'size': 1 of 200 values ('heavy') is no number, so 10.2551, the median of training, stands for it.",
    )


def test_levels_that_training_never_saw_are_told(tmp_path: Path) -> None:
    table = frame()
    rows = load(table, tmp_path).source
    assert rows is not None
    table.loc[rows.rows[1][:2], "colour"] = "pink"
    note = "column 'colour': 2 of 200 values ('pink') is no level that training saw, so it has none."
    assert note in load(table, tmp_path).notes


def test_patients_in_two_splits_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(rng.normal(size=(40, 5)), 10, axis=0) + 0.01 * rng.normal(size=(400, 5))
    table = pd.DataFrame(patients, columns=list("abcde")).assign(kind=np.repeat(rng.choice(["x", "y"], 40), 10))
    said = load(table, tmp_path).notes
    assert [note.partition(" are near copies of a row of train")[0] for note in said] == [
        "60 of 60 other rows of valid",
        "60 of 60 other rows of test",
    ]


# one reader for training and prediction


def lines(header: str, line: Callable[[int], str]) -> str:
    return "\n".join([header, *map(line, range(300))])


FAULTS = {
    "truths": lines("size,heavy,kind", lambda i: f"{i},{'true' if i % 3 else 'false'},{'ab'[i % 2]}"),
    "duplicates": lines("size,size,,kind", lambda i: f"{i},{-i},{i % 7},{'ab'[i % 2]}"),
    "index": lines("size,more,kind", lambda i: f"{i},{i * 2},{i % 7},{'ab'[i % 2]}"),
    "marks": lines("size;more;kind", lambda i: f"{i},5;1.{i:03},5;{'ab'[i % 2]}"),
    "chunks": lines("code,kind", lambda i: f"{('1', '1.0', 'x')[i % 3]},{'ab'[i % 2]}"),
    "latin": lines("größe,kind", lambda i: f"{i},{('é', 'ü')[i % 2]}"),
    "odd": lines("size,kind", lambda i: f"{i if i % 40 else '?'},{'ab'[i % 2]}"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_file_trained_on_is_prepared_as_it_was_trained_on(tmp_path: Path, name: str) -> None:
    (tmp_path / "table.csv").write_bytes(FAULTS[name].encode("cp1252"))
    task = load_table(tmp_path / "table.csv", "kind")
    assert prove_preparation(task, described(task)) == 300
    assert task.source is not None
    vectors = task.train.inputs["table"]
    assert (vectors.std(axis=0) > 0).all()
    if name == "marks":
        np.testing.assert_allclose(vectors[:, 0], task.source.rows[0] + 0.5)
        np.testing.assert_allclose(vectors[:, 1], task.source.rows[0] + 1000.5)
    if name == "chunks":
        assert columns(task)["code"]["levels"] == ["1", "x"]
    if name == "duplicates":
        assert list(columns(task)) == ["size", "size (2)", "unnamed 1"]
        np.testing.assert_array_equal(vectors[:, 0], -vectors[:, 1])


def test_the_proof_names_the_first_value_that_differs(tmp_path: Path) -> None:
    task = load(frame(), tmp_path)
    assert prove_preparation(task, described(task)) == N
    wrong = described(task)
    wrong["preprocessing"]["columns"][1]["levels"] = ["blue", "red", "green"]
    with pytest.raises(TaskError, match=r"row \d+, column 'colour': the bundle's preparation gives .; training had ."):
        prove_preparation(task, wrong)
    wrong["preprocessing"]["columns"][1]["levels"] = ["blue", "red"]
    with pytest.raises(TaskError, match="A bundle of this task could not read"):
        prove_preparation(task, wrong)
    wrong["shape"] = [5]
    with pytest.raises(TaskError, match=r"preparation gives vectors \(200, 5\); training had .* shape \(6,\)"):
        prove_preparation(task, wrong)
    frame(100).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(TaskError, match=r"gives vectors \(100, 6\); training had rows up to 19."):
        prove_preparation(task, described(task))
    (tmp_path / "table.csv").unlink()
    with pytest.raises(TaskError, match="table.csv does not exist"):
        prove_preparation(task, described(task))
    with pytest.raises(TaskError, match="comes from no table"):
        prove_preparation(replace(task, source=None), described(task))


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
    assert isinstance(load(frame(), tmp_path, "size").output, Regression)
    with pytest.raises(TaskError, match=r"'id' has \d+ different values; expected 2 to 100 classes, or numbers.\n"):
        load(frame(), tmp_path, "id")


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


def test_numbers_whose_squares_are_too_large(tmp_path: Path) -> None:
    task = load(frame().assign(size=np.arange(N) * 1e35), tmp_path)
    assert task.modalities["table"].std[0] == pytest.approx(np.arange(N).std() * 1e35, rel=0.1)
    with pytest.raises(TaskError, match=r"table.csv: column 'size' holds an infinite number \(1e\+39"):
        load(frame().assign(size=np.arange(N) * 1e39), tmp_path)


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
