"""One driver a run, where the study lies in a database that several machines reach.

The lock of a run folder (`nas.runs.lock`) holds on one machine. A folder that was copied, or lies on a network's
file system, can be opened on two: so the driver signs in the study, and renews its sign every minute.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import RunError
from nas.runs.ledger import Ledger, unanswered

_DRIVER = "driver"
RENEWED_S = 60.0
"""How often the sign is renewed."""

GONE_S = 5 * RENEWED_S
"""A driver on another machine whose sign is older than this was killed."""


@contextmanager
def driving(ledger: Ledger) -> Generator[None]:
    """Sign in the study of a run for as long as the block lasts; a journal needs no sign.

    Raises:
        RunError: If another driver signed.
    """
    if ledger.record.storage == "journal":
        yield
        return
    other = ledger.study.user_attrs.get(_DRIVER)
    if other and _is_alive(other):
        raise RunError(
            f"{ledger.folder}: its study is driven by process {other['pid']} on {other['host']}.",
            f"Wait for it, or end it; one that was killed is forgotten after {GONE_S / 60:.0f} minutes.",
        )
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(ledger, ended), daemon=True)
    try:
        _sign(ledger)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise unanswered("", error) from None
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(SQLAlchemyError, StorageInternalError):
            ledger.study.set_user_attr(_DRIVER, {})


def _renew(ledger: Ledger, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_S):
        with suppress(SQLAlchemyError, StorageInternalError):  # a database that is away is met by the search itself
            _sign(ledger)


def _sign(ledger: Ledger) -> None:
    ledger.study.set_user_attr(_DRIVER, {"host": socket.gethostname(), "pid": os.getpid(), "seen": time.time()})


def _is_alive(driver: Mapping[str, Any]) -> bool:
    is_fresh = time.time() - driver["seen"] < GONE_S
    if driver["host"] != socket.gethostname() or not is_fresh:
        return is_fresh
    try:
        os.kill(driver["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return driver["pid"] != os.getpid()
