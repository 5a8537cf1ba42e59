"""The one reader of tables: what it recognises, names, says and refuses."""

from __future__ import annotations

import codecs
import datetime
import decimal
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bundles import TABLE

from nas.runtime import (
    PredictError,
    PredictWarning,
    Table,
    canonical,
    encode_table,
    parse_number,
    prepare,
    read_table,
)

COLUMNS = TABLE["preprocessing"]["columns"]


def read(folder: Path, content: bytes | str, name: str = "a.csv") -> Table:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(folder / name)


# delimited files


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.Txt", "a.tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_endings(tmp_path: Path, name: str, separator: str, end: str) -> None:
    rows = [["a", "b"], ["1", f'"x{separator} y"'], ["", "z"]]
    table = read(tmp_path, end.join(separator.join(row) for row in rows), name)
    assert table.columns == {"a": ["1", None], "b": [f"x{separator} y", "z"]}
    assert table.notes == (() if separator == "," else (f"its cells are separated by {separator!r}.",))


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("price;name\n1,5;Ann\n2,5;Bob, Jr\n", {"price": ["1,5", "2,5"], "name": ["Ann", "Bob, Jr"]}),
        ("a;b\n1,5;2,5\n3,5;4,5\n", {"a": ["1,5", "3,5"], "b": ["2,5", "4,5"]}),
        ("text\nred\nblue\n", {"text": ["red", "blue"]}),
        (' a , "b"\n 1 , "x, y"\n', {"a": ["1"], "b": ["x, y"]}),
        ('a,b\n"1\n2",x\n', {"a": ["1\n2"], "b": ["x"]}),
    ],
)
def test_what_looks_like_another_separator_is_none(tmp_path: Path, content: str, columns: dict[str, Any]) -> None:
    assert read(tmp_path, content).columns == columns


def test_bytes_that_windows_1252_lacks_are_kept_apart(tmp_path: Path) -> None:
    table = read(tmp_path, b"a,b\n\x81,\x8d\xe9\n")
    assert table.columns == {"a": ["\x81"], "b": ["\x8d\xe9"]}
    assert table.notes == ("is not UTF-8 and read as Latin-1.",)


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_separators_are_found_in_long_files(tmp_path: Path, end: str) -> None:
    cell = "x" * 30_000
    table = read(tmp_path, end.join(["a;b", *[f"{cell},{cell};{cell}"] * 20]))
    assert {name: len(cells) for name, cells in table.columns.items()} == {"a": 20, "b": 20}


@pytest.mark.parametrize(
    ("mark", "encoding", "note"),
    [
        (b"", "utf-8", ()),
        (codecs.BOM_UTF8, "utf-8", ()),
        (codecs.BOM_UTF16_LE, "utf-16-le", ("is UTF-16.",)),
        (codecs.BOM_UTF16_BE, "utf-16-be", ("is UTF-16.",)),
        (b"", "cp1252", ("is not UTF-8 and read as Windows-1252.",)),
    ],
)
def test_encodings(tmp_path: Path, mark: bytes, encoding: str, note: tuple[str, ...]) -> None:
    table = read(tmp_path, mark + "größe,name\n1,Zoë\n".encode(encoding))
    assert table.columns == {"größe": ["1"], "name": ["Zoë"]}
    assert table.notes == note


@pytest.mark.parametrize(
    ("content", "columns", "note"),
    [
        ("a,a,a\n1,2,3\n", {"a": ["1"], "a (2)": ["2"], "a (3)": ["3"]}, "are called 'a (2)', 'a (3)'"),
        ("a,a (2),a\n1,2,3\n", {"a": ["1"], "a (2)": ["2"], "a (2)'": ["3"]}, 'are called "a (2)\'"'),
        (",a,\n1,2,3\n", {"unnamed 1": ["1"], "a": ["2"], "unnamed 2": ["3"]}, "called 'unnamed 1', 'unnamed 2'"),
        ("a,b\n0,1,2\n1,3,4\n", {"a": ["1", "3"], "b": ["2", "4"]}, "it is the row's name and no column"),
        ("a,b\n1,2,\n3,4,\n", {"a": ["1", "3"], "b": ["2", "4"]}, "every row ends with a separator"),
        ("\na\n1\n\n\n2\n\n", {"a": ["1", "2"]}, "2 blank lines between rows are no rows"),
    ],
)
def test_odd_headers_and_rows_are_read_in_one_way_and_said(
    tmp_path: Path, content: str, columns: dict[str, Any], note: str
) -> None:
    table = read(tmp_path, content)
    assert table.columns == columns
    assert len(table.notes) == 1
    assert note in table.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no rows; expected a header and rows"),
        (b"a,b\n", "holds no rows"),
        (b"\n\n", "holds no rows"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cells; expected 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 cells; expected 2"),
        (b"a,b\n0,1,2\n3,4\n", "line 3 has 2 cells; expected 3"),
        (b"a,b\n1,2,3,4\n", "line 2 has 4 cells; expected 2"),
        (b'a,b\n1,"2\n3,4\n', "line 3: unexpected end of data"),
        (b'a,b\n1,"2"3\n', "line 2: ',' expected after '\"'"),
        (b"a,b\n1,\0\n", "holds NUL characters"),
        ("a,b\n1,2\n".encode("utf-16-le"), "holds NUL characters. Save it as UTF-8"),
        (b"\xff\xfea", "is no text"),
        (bytes(range(256)) * 9, "is no text"),
        (b"a,b\n1," + b"x" * 10_000_000, "field larger than field limit"),
    ],
)
def test_irregular_files_are_refused_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(PredictError, match=message):
        read(tmp_path, content)


def test_places_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(PredictError, match=r"a.csv: is not a file; expected a file"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(PredictError, match=r"gone.csv: is not there"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(PredictError, match=r"a.xls: cannot be read as a table; expected a file that ends in .csv"):
        read_table(tmp_path / "a.xls")
    with pytest.raises(PredictError, match="File name too long"):
        read_table(tmp_path / ("a" * 300 + ".csv"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(PredictError, match="Permission denied"):
        read_table(tmp_path / "a.csv")


# JSON and Parquet


def test_json_is_read_as_its_texts(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": True, " c ": " x ", "": None}, {"a": 1.5, "b": False, " c ": "", "": "NA"}]
    table = read(tmp_path, json.dumps(rows), "a.json")
    assert table.columns == {"a": ["1", "1.5"], "b": ["True", "False"], "c": ["x", None], "unnamed 1": [None, "NA"]}
    assert table.typed == {"a"}
    assert read(tmp_path, '{"a": NaN}', "a.json").columns == {"a": [None]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read: Expecting"),
        ("[1]", "holds no rows"),
        ("[]", "holds no rows"),
        ("{}", "holds no rows"),
        ("[" * 100_000, "cannot be read: .*recursion"),
        ('{"a": [1]}', "object 0: 'a' holds a list; expected one value"),
        ('[{"a": 1}, {"a": {"b": 1}}]', "object 1: 'a' holds an object"),
        ('[{"a": 1, "b": 2}, {"a": 1}]', r"object 1 lacks 'b'; expected all keys \(null: missing\)"),
        ('{"a": 1, "a": 2}', "'a' is there twice in an object"),
        ('{"a": ' + "9" * 5000 + "}", "cannot be read: Exceeds the limit"),
    ],
)
def test_irregular_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(PredictError, match=message):
        read(tmp_path, content, "a.json")


def test_parquet_gives_the_texts_of_csv(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 1, 5)
    columns: dict[str, tuple[Any, list[Any], list[str | None]]] = {
        "truth": (pa.bool_(), [True, False, None], ["True", "False", None]),
        "int": (pa.int8(), [1, -2, None], ["1", "-2", None]),
        "double": (pa.float64(), [1.0, 0.1, float("nan")], ["1", "0.1", None]),
        "float": (pa.float32(), [1.0, 0.1, None], ["1", "0.1", None]),
        "half": (pa.float16(), [np.float16(1), np.float16(0.5), None], ["1", "0.5", None]),
        "money": (pa.decimal128(9, 2), [decimal.Decimal("1.00"), decimal.Decimal("1.50"), None], ["1", "1.50", None]),
        "text": (pa.string(), [" NA ", "", None], ["NA", None, None]),
        "level": (pa.dictionary(pa.int8(), pa.string()), ["red", "nan", None], ["red", "nan", None]),
        "day": (pa.date32(), [day.date(), day.date(), None], ["2024-01-05", "2024-01-05", None]),
        "time": (pa.timestamp("ns"), [day, day.replace(hour=7), None], ["2024-01-05", "2024-01-05 07:00:00", None]),
        "empty": (pa.null(), [None] * 3, [None] * 3),
    }
    arrays = {name: pa.array(values, kind) for name, (kind, values, _) in columns.items()}
    pq.write_table(pa.table(arrays), tmp_path / "a.PARQUET")
    table = read_table(tmp_path / "a.PARQUET")
    for name, (_, _, expected) in columns.items():
        assert [text and canonical(text) for text in table.columns[name]] == expected, name
    assert table.typed == {"int", "double", "float", "half", "money"}


def test_the_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}, index=["x", "y"]).to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.columns == {"a": ["1", "2"]}
    assert table.notes == ("the index that pandas stored is no column.",)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int8()), pa.struct({"x": pa.int8()}), pa.binary(), pa.map_(pa.int8(), pa.int8())]
)
def test_parquet_cells_that_are_no_single_value(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.table({"a": pa.array([None], kind)}), tmp_path / "a.parquet")
    with pytest.raises(PredictError, match=r"column 'a' holds (list|struct|binary|map).*; expected one text, number"):
        read_table(tmp_path / "a.parquet")


def test_parquet_that_claims_too_much_or_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"a": pa.array(np.zeros(1_000_000))}), tmp_path / "a.parquet")
    with monkeypatch.context() as patch:
        patch.setattr("nas.runtime.limits.MAX_CELLS", 999_999)
        with pytest.raises(PredictError, match="says that it has 1000000 rows, .* Give it in parts"):
            read_table(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for cut in (content[:-9], content[:100], content[:200] + content[300:]):
        with pytest.raises(PredictError, match="cannot be read"):
            read(tmp_path, cut, "b.parquet")


def test_a_text_that_many_rows_share_is_unpacked_once(tmp_path: Path) -> None:
    text = pa.array(["x" * 1_000_000, "y"])
    rows = pa.DictionaryArray.from_arrays(pa.array(np.arange(100_000, dtype=np.int32) % 2), text)
    pq.write_table(pa.table({"a": rows, "b": pa.array(["z"] * 100_000)}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.columns["a"][:2] == ["x" * 1_000_000, "y"]
    assert len({id(text) for text in table.columns["a"]}) == 2


def test_parquet_without_pyarrow_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PredictError, match="Parquet needs pyarrow: pip install pyarrow. Or give the table as CSV"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize(("name", "content"), [("a.csv", "a,b\n1,2\n3,4\n"), ("a.json", '[{"a": 1, "b": 2}]')])
def test_tables_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("nas.runtime.limits.MAX_TABLE_BYTES", len(content) - 1)
        patch.setattr("nas.runtime.limits.MAX_JSON_BYTES", len(content) - 1)
        with pytest.raises(PredictError, match=f"has {len(content)} bytes; expected at most"):
            read(tmp_path, content, name)
    monkeypatch.setattr("nas.runtime.limits.MAX_CELLS", 1)
    with pytest.raises(PredictError, match="has more than 1 cells"):
        read(tmp_path, content, name)


# values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", "True"), ("FALSE", "False"), ("1.0", "1"), ("-3.", "-3"), ("1.50", "1.50"), ("01", "01"),
        ("v1.0", "v1.0"),
        ("2024-01-05 00:00:00", "2024-01-05"), ("2024-01-05T00:00:01", "2024-01-05T00:00:01"), ("None", "None"),
    ],
)  # fmt: skip
def test_one_text_for_one_value(text: str, expected: str) -> None:
    assert canonical(text) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    ("text", "marks", "number"),
    [
        ("1.5", ".", 1.5), ("-1e-3", ".", -0.001), (".5", ".", 0.5), ("1.", ".", 1), ("+7", ".", 7),
        ("inf", ".", np.inf), ("1,5", ".", None), ("1_0", ".", None), ("0x1", ".", None), ("nan", ".", None),
        ("", ".", None), ("1 2", ".", None), ("١", ".", None), ("1.5%", ".", 0.015), ("50 %", ".", 0.5),
        ("1,500", ".,", 1500), ("1,500.25", ".,", 1500.25), ("12,345,678", ".,", 12345678), ("7", ".,", 7),
        ("1,5", ".,", None), ("1,5000", ".,", None), ("1500,000", ".,", None), (",500", ".,", None),
        ("1,5", ",", 1.5), ("1.5", ",", None), ("1.500,5", ",.", 1500.5), ("1.500", ",.", 1500), ("1.5", ",.", None),
        ("1 500,5", ", ", 1500.5), ("1\u00a0500", ", ", 1500), ("1'500.5", ".'", 1500.5),
    ],
)  # fmt: skip
def test_numbers_are_read_by_their_marks(text: str, marks: str, number: float | None) -> None:
    assert parse_number(text, *marks) == number


def test_a_wild_number_takes_no_time() -> None:
    assert parse_number("1," * 60_000 + "x", ".", ",") is None
    assert parse_number("1" * 130_000 + "x") is None


# encoding


def test_rows_become_vectors_and_what_is_odd_is_counted(tmp_path: Path) -> None:
    table = read(tmp_path, "colour,size,more\nred,1,x\ngreen,NA,x\n,nan,x\nblue,many,x\ngreen,?,x\n")
    vectors, notes = encode_table(table, COLUMNS)
    np.testing.assert_array_equal(vectors, [[1, 0, 1], [5, 0, 0], [5, 0, 0], [5, 1, 0], [5, 0, 0]])
    assert notes == [
        "column 'size': 1 of 5 values ('many') is no number, so 5, the median of training, stands for it.",
        "column 'colour': 2 of 5 values ('green') is no level that training saw, so it has none.",
    ]
    with pytest.warns(PredictWarning) as said:
        np.testing.assert_array_equal(prepare(tmp_path / "a.csv", TABLE, "table"), vectors)
    assert [str(each.message) for each in said] == [f"table: {note}" for note in notes]


def test_numbers_that_a_file_types_need_no_marks(tmp_path: Path) -> None:
    german = [{**COLUMNS[0], "decimal": ",", "thousands": "."}]
    for name, content, size in [("a.json", '{"size": 1.125}', 1.125), ("a.csv", "size\n1.125\n", 1125)]:
        vectors, notes = encode_table(read(tmp_path, content, name), german)
        assert (vectors.item(), notes) == (size, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "siez,colour\n1,red\n",
            r"a.csv: lacks 1 of 2 columns: 'size' \(is it 'siez'\?\). It has 'siez', 'col",
        ),
        ("other\n1\n", "lacks 2 of 2 columns: 'size', 'colour'. It has 'other'; .* Cells are separated by ',', ';', "),
        ("Size,colour\n1,red\n", r"'size' \(is it 'Size'\?\)"),
        ("size,colour\ninf,red\n", r"column 'size' holds an infinite number \(inf\)"),
        ("size,colour\n1e99,red\n", r"column 'size' holds an infinite number \(1e99\)"),
    ],
)
def test_columns_that_are_missing_or_infinite(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(PredictError, match=message):
        prepare(tmp_path / "a.csv", TABLE)
