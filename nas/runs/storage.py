"""Where a run's study lies: a journal file in its folder, or a database that the user names.

A journal is checked line by line before Optuna reads it, so that damage is told with its line. A kill while it is
written can leave half a line and a lock: whoever holds the run for writing cuts the one and removes the other.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import RunError
from nas.runs.journal import JournalFile
from nas.runs.storage_url import masked

JOURNAL = "journal.log"
DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What Optuna raises on a journal whose lines contradict each other."""

_LOCK_S = 1.0
"""A lock that is older belongs to nobody: Optuna holds one for the milliseconds of a write."""


def open_storage(folder: Path, url: str = "") -> BaseStorage:
    """Open the storage of a run.

    Args:
        folder: The run folder.
        url: Of a database; empty for the journal in the folder.

    Raises:
        RunError: If the journal is damaged, or the database cannot be opened; no password is shown.
    """
    if url:
        try:
            return optuna.storages.get_storage(url)
        except (ValueError, ImportError, SQLAlchemyError, StorageInternalError) as error:
            told = str(error).splitlines()[0].replace(url, masked(url))
            raise RunError(f"storage {masked(url)}: {told}") from None
    journal = folder / JOURNAL
    if journal.exists():
        _check_lines(journal)
    try:
        return JournalStorage(JournalFile(journal))
    except DAMAGE as error:
        raise damaged(journal, f"its lines contradict each other ({type(error).__name__}: {error})") from None


def damaged(journal: Path, what: str) -> RunError:
    """Say that a journal is damaged."""
    return RunError(
        f"{journal}: is damaged: {what}.",
        "Take a copy of it from before the damage, or begin another run in another folder.",
    )


def mend_journal(folder: Path) -> None:
    """Cut the half line and remove the lock that a killed writer left; to be called by who holds the run for writing.

    Optuna would refuse all that follows the one and wait for ever for the other. A lock that goes away by itself is
    another program's, such as a dashboard's, that is writing just now.
    """
    lock, journal = folder / f"{JOURNAL}.lock", folder / JOURNAL
    with suppress(FileNotFoundError):
        while 0 <= time.time() - lock.lstat().st_mtime < _LOCK_S:
            time.sleep(_LOCK_S / 20)
    for left in folder.glob(f"{JOURNAL}.lock*"):
        left.unlink(missing_ok=True)
    if journal.exists():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(journal, whole)


def _check_lines(journal: Path) -> None:
    """Check all whole lines; a half one at the end is being written, or is cut before the next is."""
    with journal.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                is_record = isinstance(json.loads(line), dict)
            except (ValueError, RecursionError):
                is_record = False
            if not is_record:
                shown = line[:40].decode("utf-8", "backslashreplace").strip() or "nothing"
                raise damaged(journal, f"line {number} holds {shown!r}; expected a JSON object")
