"""Damage in a journal is told with its line, and no password with anything."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage

from nas.errors import RunError
from nas.runs.journal import JournalFile
from nas.runs.storage import open_storage

GOOD = b'{"op_code":0,"worker_id":"w","study_name":"run","directions":[2]}\n'


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"garbage\n", "'garbage'"),
        (b"\n", "'nothing'"),
        (b"\x00\x00\x00\n", r"'\x00\x00\x00'"),
        (b"\xff\xfe\n", r"'\\xff\\xfe'"),
        (b"[1, 2]\n", "'[1, 2]'"),
        (b"null\n", "'null'"),
        (b"[" * 100_000 + b"\n", "'[[["),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: bytes, shown: str) -> None:
    journal = tmp_path / "journal.log"
    journal.write_bytes(GOOD + line + GOOD)
    with pytest.raises(RunError, match=re.escape(f"{journal}: is damaged: line 2 holds {shown}")):
        open_storage(tmp_path)


@pytest.mark.parametrize("line", [b"{}\n", b'{"op_code":99,"worker_id":"w"}\n', b'{"op_code":4}\n'])
def test_lines_that_contradict_are_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "journal.log").write_bytes(GOOD + line)
    with pytest.raises(RunError, match=r"journal.log: is damaged: its lines contradict each other"):
        open_storage(tmp_path)


def test_a_line_that_is_being_written_is_left(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    journal.write_bytes(GOOD + b'{"op_co')
    open_storage(tmp_path)
    assert journal.read_bytes() == GOOD + b'{"op_co'


def test_an_error_of_a_database_shows_no_password(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        open_storage(tmp_path, "nonsense://user:secret@host/db")
    assert "secret" not in str(caught.value)


def test_what_cannot_be_written_whole_leaves_nothing_of_it(tmp_path: Path) -> None:
    """A disk that is full for a moment: what is told afterwards is whole."""
    file = tmp_path / "journal.log"
    storage = JournalStorage(JournalFile(file))
    study = optuna.create_study(storage=storage)
    study.tell(study.ask(), 1.0)
    first, second = study.ask(), study.ask()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, usual[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            study.tell(first, 2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    study.tell(second, 3.0)
    assert all(json.loads(line) for line in file.read_text().splitlines())
    again = optuna.load_study(study_name=study.study_name, storage=JournalStorage(JournalFile(file)))
    assert [trial.value for trial in again.trials] == [1.0, None, 3.0]
