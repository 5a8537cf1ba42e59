"""Space files: what is read, and what is said where it cannot be."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from nas.errors import SpaceError
from nas.space.source import load_space, side_modules, space_from_source

GOOD = "import nas\nanything = nas.Space([nas.choose(1, 2)])\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.py"


def refused(path: Path, message: str) -> SpaceError:
    """Loading fails with exactly this message after the file's name, and leaves the import path as it was."""
    before = list(sys.path)
    with pytest.raises(SpaceError, match="^" + re.escape(str(path)) + message) as caught:
        load_space(path)
    assert sys.path == before
    return caught.value


def test_any_name_and_either_kind_of_path_will_do(file: Path) -> None:
    file.write_text(GOOD)
    assert load_space(file).size == load_space(str(file)).size == 2


def test_the_text_alone_gives_the_same_space(file: Path) -> None:
    file.write_text(GOOD)
    assert space_from_source(GOOD, file).fingerprint == load_space(file).fingerprint


def test_one_space_with_two_names_is_one(file: Path) -> None:
    file.write_text(GOOD + "again = anything\n")
    assert load_space(file).size == 2


def test_dataclasses_of_the_file_can_be_blocks(file: Path) -> None:
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport nas\n"
        "@dataclass(frozen=True)\nclass Mine:\n    width: int\n"
        "space = nas.Space(Mine(nas.integer(1, 4)))\n"
    )
    space = load_space(file)
    assert [space.decode(a).width for a in space.enumerate()] == [1, 2, 3, 4]


def test_the_file_knows_where_it_is(file: Path) -> None:
    file.write_text("import nas\nfrom pathlib import Path\nspace = nas.Space(Path(__file__).name)\n")
    assert load_space(file).network == "mine.py"


def test_missing(file: Path) -> None:
    refused(file, r": there is no such file; expected a Python file that defines a space\.$")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, r": cannot be read: .*Is a directory")


def test_not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    refused(file, r": cannot be read: 'utf-8' codec can't decode byte 0xff")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ny = (\n", r":2: '\(' was never closed; expected a Python file\.$"),
        ("x = 1\n\n  y = 2\n", r":3: unexpected indent; expected a Python file\.$"),
        ("x = 1\0", r":1: source code string cannot contain null bytes; expected a Python file\.$"),
    ],
)
def test_not_python(file: Path, source: str, message: str) -> None:
    file.write_text(source)
    refused(file, message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\nnothing", r":2: NameError: name 'nothing' is not defined$"),
        ("import nas\nnas.integer(2, 1)", r":2: SpaceError: integer\(2, 1, step=1\): the range is empty"),
        ("def f():\n    return 1 / 0\n\nf()", r":2: ZeroDivisionError: division by zero$"),
        ("import json\n\njson.loads('{')", r":3: JSONDecodeError: "),
        ("x = 1\nraise SystemExit(3)", r":2: SystemExit: 3$"),
    ],
)
def test_a_file_that_fails_says_in_which_of_its_lines(file: Path, source: str, message: str) -> None:
    file.write_text(source)
    error = refused(file, message)
    assert error.__cause__ is not None


def test_an_error_in_an_imported_file_is_put_to_the_import(file: Path) -> None:
    (file.parent / "broken_of_this_test.py").write_text("\n\n\nraise RuntimeError('deep')\n")
    file.write_text("x = 1\nimport broken_of_this_test\n")
    refused(file, ":2: RuntimeError: deep$")


def test_a_file_may_change_the_import_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file.write_text("import sys\nsys.path.remove(sys.path[0])\n" + GOOD)
    assert load_space(file).size == 2


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("", "no"),
        ("import nas\nspace = nas.choose(1, 2)", "no"),
        ("import nas\nspace = nas.Space", "no"),
        ("import nas\na, b = nas.Space(1), nas.Space(1)", "2"),
    ],
)
def test_exactly_one_space_is_expected(file: Path, source: str, number: str) -> None:
    file.write_text(source)
    error = refused(file, rf": defines {number} spaces; expected exactly one\.\n")
    assert error.hint == "End the file with: space = Space(Network(...))."


def test_spaces_with_modules_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for name, width in (("a", 4), ("b", 8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside_of_this_test.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "space.py").write_text(
            "import nas\nfrom beside_of_this_test import WIDTH\nspace = nas.Space([nas.choose(1, 2), WIDTH])\n"
        )
    for name, width in (("a", 4), ("b", 8), ("a", 4)):
        assert load_space(tmp_path / name / "space.py").network[1] == width


def test_modules_that_others_imported_stay_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "space.py").write_text(GOOD)
    (tmp_path / "a" / "mine_of_this_test.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "a")
    mine = importlib.import_module("mine_of_this_test")
    load_space(tmp_path / "a" / "space.py")
    load_space(tmp_path / "b" / "space.py")
    assert sys.modules["mine_of_this_test"] is mine


def test_what_stands_beside_a_space_is_told_as_far_as_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "lazy_of_this_test.py").write_text("import other_of_this_test\n")
    (tmp_path / "other_of_this_test.py").write_text("")
    (tmp_path / "unused_of_this_test.py").write_text("")
    file = tmp_path / "space.py"
    file.write_text(GOOD + "def used():\n    import lazy_of_this_test\n")
    load_space(file)
    assert set(side_modules(file)) == {"lazy_of_this_test.py", "other_of_this_test.py"}
