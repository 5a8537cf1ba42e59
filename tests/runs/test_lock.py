"""Who may write to a run folder, and what a killed writer left in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from example_runs import RECORD

from nas.errors import RunError
from nas.runs.ledger import create_ledger
from nas.runs.lock import writing


def test_a_folder_that_was_made_for_nothing_is_gone_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "b" / "run" / "space.py").touch()
        (tmp_path / "a" / "b" / "run" / "journal.log").touch()
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    with writing(tmp_path):
        pass
    assert tmp_path.is_dir()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", "space.py", "journal.log"])
def test_a_folder_with_something_else_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=rf"holds '{name}' and no run; expected an empty folder or a run's"):
        writing(tmp_path).__enter__()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("below", ["file", "file/run"])
def test_a_file_is_no_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file, or lies below one; expected the folder of a run"):
        writing(tmp_path / below).__enter__()


def test_what_was_begun_by_a_killed_writer_can_be_begun_again(tmp_path: Path) -> None:
    for name in ("lock", "space.py", "journal.log", "journal.log.lock"):
        (tmp_path / name).touch()
    with writing(tmp_path):
        (tmp_path / "run.json").touch()
    assert (tmp_path / "run.json").exists()


def test_what_is_left_of_a_run_without_its_record_stays(tmp_path: Path) -> None:
    for name in ("lock", "space.py", "journal.log"):
        (tmp_path / name).write_text("kept\n")
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        raise ZeroDivisionError
    assert (tmp_path / "journal.log").read_text() == (tmp_path / "space.py").read_text() == "kept\n"


def test_drafts_of_killed_workers_are_removed_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    drafts = [tmp_path / name for name in ("trials/3.part", "models/3-refined-int8.part", "refining/4-0")]
    for draft in drafts:
        draft.mkdir(parents=True)
    (tmp_path / "trials/3").mkdir()
    with writing(tmp_path):
        assert not any(draft.exists() for draft in drafts)
        drafts[0].mkdir()
    assert not drafts[0].exists()
    assert (tmp_path / "trials/3").exists()


@pytest.mark.parametrize("target", ["run/journal.log", "journal.log"], ids=["dangling", "whole"])
def test_a_lock_that_a_kill_left_is_removed(tmp_path: Path, target: str) -> None:
    (tmp_path / "run.json").touch()
    (tmp_path / "journal.log").write_bytes(b'{"a": 1}\n{"b')
    lock = tmp_path / "journal.log.lock"
    lock.symlink_to(target)
    os.utime(lock, (time.time() - 60,) * 2, follow_symlinks=False)
    with writing(tmp_path):
        assert not os.path.lexists(lock)
        assert (tmp_path / "journal.log").read_bytes() == b'{"a": 1}\n'


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be"):
        writing(tmp_path / "run").__enter__()


def test_why_a_trial_was_ended_in_an_earlier_sitting_is_forgotten(tmp_path: Path) -> None:
    run = tmp_path / "run"
    create_ledger(run, RECORD, "")
    (run / "trials").mkdir()
    for name in ("1.ended", "2.ended.part", "3.where"):
        (run / "trials" / name).write_text("was ended after 5 s")
    with writing(run):
        assert not [*(run / "trials").iterdir()]
