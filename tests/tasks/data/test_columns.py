from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from nas.errors import TaskError
from nas.runtime import Table, encode_table
from nas.tasks.data.columns import learn_column, missing_note, spelled_alike


def learn(
    *cells: str | None, separator: str = ",", typed: bool = False, train: int | None = None
) -> tuple[Mapping[str, Any] | None, list[str]]:
    table = Table({"x": cells}, frozenset(["x"] if typed else []), separator)
    return learn_column(table, "x", np.arange(len(cells) if train is None else train))


@pytest.mark.parametrize(
    ("cells", "marks", "fill", "note"),
    [
        (("1", "2.5", "1e3"), (".", ""), 2.5, None),
        (("1,5", "2,25", "3"), (",", ""), 2.25, "column 'x': a comma is the decimal mark: '1,5' is 1.5."),
        (("1,500", "2", "12,000"), (".", ","), 1500, "column 'x': a comma separates thousands: '1,500' is 1500."),
        (("1.500,5", "2,5", "7"), (",", "."), 7, "column 'x': a point separates thousands: '1.500,5' is 1500.5."),
        (("1 500", "2 500", "7"), (".", " "), 1500, "column 'x': a space separates thousands: '1 500' is 1500."),
        (("1'500", "2'500", "7"), (".", "'"), 1500, "column 'x': an apostrophe separates thousands: "),
        (("1.5%", "2.5%", "50%"), (".", ""), 0.025, "column 'x': what ends in % is divided by 100: '1.5%' is 0.015."),
        (("1.500", "2.500", "3.125"), (".", ""), 2.5, None),
    ],
)
def test_marks_are_those_of_the_whole_column(
    cells: tuple[str, ...], marks: tuple[str, str], fill: float, note: str | None
) -> None:
    description, notes = learn(*cells)
    assert description == {"name": "x", "fill": fill, "decimal": marks[0], "thousands": marks[1]}
    assert not notes if note is None else notes[0].startswith(note)


def test_a_comma_is_a_decimal_mark_where_semicolons_separate() -> None:
    for separator, fill in ((",", 1500), (";", 1.5)):
        description, notes = learn("1,500", "1,250", "2,125", separator=separator)
        assert description is not None
        assert description["fill"] == fill
        assert notes


def test_a_point_is_told_where_semicolons_make_it_doubtful() -> None:
    assert learn("1.500", "12.250")[1] == []
    assert learn("1.500", "12.25", separator=";")[1] == []
    assert learn("1.500", "12.250", separator=";")[1] == ["column 'x': a point is the decimal mark: '1.500' is 1.5."]


def test_mostly_numbers_are_numbers() -> None:
    odd = [*map(str, range(500)), "?", "n/a", None, "unknown"]
    description, _ = learn(*odd)
    assert description == {"name": "x", "fill": 249.5, "decimal": ".", "thousands": ""}
    table = Table({"x": odd})
    vectors, notes = encode_table(table, [description])
    assert (vectors[500:] == 249.5).all()
    assert notes == [
        "column 'x': 1 of 504 values ('unknown') is no number, so 249.5, the median of training, stands for it."
    ]
    assert missing_note(table, [description]) == [
        "missing numbers are the median of the training rows: 'x' (3 of 504)."
    ]


def test_less_than_mostly_is_not() -> None:
    description, notes = learn(*map(str, range(200)), *[f"{i} kg" for i in range(200)])
    assert description is None
    assert notes == [
        "column 'x' is left out: it has 400 different texts, more than 50; "
        "50% of its values are numbers, less than 90%."
    ]


def test_levels_keep_every_text() -> None:
    description, notes = learn("NA", "None", "null", "true", "TRUE", "1.0", "1", None)
    assert description == {"name": "x", "levels": ["1", "NA", "None", "True", "null"]}
    assert notes == ["column 'x': one value written in several ways is one value: '1', '1.0'; 'TRUE', 'true'."]
    assert missing_note(Table({"x": ["a", None]}), [{"name": "x", "levels": ["a"]}]) == [
        "empty cells have none of the levels: 'x' (1 of 2)."
    ]
    assert spelled_alike("x", ["1", "1", "a"]) == []


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        ((None, None), "in the training rows it holds no value"),
        (("a", "a", None), "in the training rows it holds one value only ('a')"),
        (("1", "1.0", "NA"), "in the training rows it holds one number only ('1')"),
        (tuple(f"row {i}" for i in range(51)), "it has 51 different texts, more than 50"),
    ],
)
def test_what_says_nothing_is_left_out_aloud(cells: tuple[str | None, ...], note: str) -> None:
    assert learn(*cells) == (None, [f"column 'x' is left out: {note}."])


def test_only_training_rows_are_learnt_from() -> None:
    description, _ = learn("1", "3", "x", "y", train=2)
    assert description == {"name": "x", "fill": 2, "decimal": ".", "thousands": ""}


def test_typed_numbers_have_no_marks() -> None:
    description, _ = learn("1.500", "2.500", separator=";", typed=True)
    assert description == {"name": "x", "fill": 2, "decimal": ".", "thousands": ""}


def test_infinite_numbers() -> None:
    with pytest.raises(TaskError, match="column 'x' holds an infinite number"):
        learn("1", "inf")
