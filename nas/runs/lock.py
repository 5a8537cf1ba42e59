"""Who may write to a run folder, and what a killed writer left in it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import RunError
from nas.runs.files import RECORD_FILE, SPACE_FILE
from nas.runs.storage import JOURNAL, mend_journal
from nas.space.source import MODULES_FOLDER

LOCK_FILE = "lock"


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Hold the run folder for writing; the lock goes with the process, however it ends.

    What a killed writer left half made is removed. A folder that was empty and holds no run afterwards is empty again:
    one that was made for it is gone. What else is there of a run without its record stays.

    Raises:
        RunError: If another process is writing to this run, or the folder cannot be one of a run.
    """
    made = _make(folder)
    was_empty = not {entry.name for entry in folder.iterdir()} - {LOCK_FILE}
    with _locked(folder):
        mend_journal(folder)
        _remove_drafts(folder)
        try:
            yield
        finally:
            _remove_drafts(folder)
            if was_empty and not (folder / RECORD_FILE).exists():
                _remove_all(folder, made)


def _make(folder: Path) -> list[Path]:
    """Make the folder; gives those that were made, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = sorted(entry.name for entry in folder.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{folder}: is a file, or lies below one; expected the folder of a run.", _RENAME) from None
    except OSError as error:
        raise RunError(f"{folder}: cannot be made or read: {error.strerror}.", _RENAME) from None
    foreign = [name for name in entries if name not in _FIRST_FILES and not name.startswith(JOURNAL)]
    if RECORD_FILE not in entries and (foreign or (entries and LOCK_FILE not in entries)):
        raise RunError(f"{folder}: holds {entries[0]!r} and no run; expected an empty folder or a run's.", _RENAME)
    return missing


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    try:
        handle = (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}.", _RENAME) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another process is writing to this run.", "Wait for it, or end it.") from None
        yield


def _remove_drafts(folder: Path) -> None:
    """Remove what is not finished: drafts of trials and models, and trainings that nobody chose among."""
    for draft in (folder / "refining", *folder.glob("trials/*.part"), *folder.glob("models/*.part")):
        shutil.rmtree(draft, ignore_errors=True)
    for ending in ("ended", "ended.part", "where"):  # of a trial that was ended before its driver heard of it
        for file in folder.glob(f"trials/*.{ending}"):
            file.unlink(missing_ok=True)


def _remove_all(folder: Path, made: list[Path]) -> None:
    """Remove all that a run which did not begin has written, and the folders that were made for it."""
    for path in [folder / name for name in _FIRST_FILES] + [*folder.glob(f"{JOURNAL}*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in made:
        if not any(path.iterdir()):
            path.rmdir()


_FIRST_FILES = (LOCK_FILE, SPACE_FILE, MODULES_FOLDER, f"{RECORD_FILE}.part")
"""What is there before a run is: a writer may be killed between them."""

_RENAME = "Name another folder with --run."
