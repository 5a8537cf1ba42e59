"""The journal of a study: one line a change, kept on the disk before anything depends on it.

Optuna waits for the disk after every line, some milliseconds each and several times a trial. Here it is waited for when
a trial is told, which covers all lines before. A killed process loses nothing either way, since the system has what was
written; a machine that loses power loses the trials in flight at most.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._storage import JournalOperation

_IN_FLIGHT = {
    JournalOperation.CREATE_TRIAL,
    JournalOperation.SET_TRIAL_PARAM,
    JournalOperation.SET_TRIAL_USER_ATTR,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR,
}
"""What belongs to a trial that is not told yet."""


class JournalFile(JournalFileBackend):
    """A journal file as Optuna writes it.

    Args:
        file: The file; it is made where there is none.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._alone = file, JournalFileSymlinkLock(str(file))
        super().__init__(str(file), self._alone)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append changes, one line each, and wait for the disk unless all are of trials in flight.

        What cannot be written whole is taken back: half a line would join the next one.

        Raises:
            OSError: If the file cannot be written.
        """
        left = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._alone.acquire()
        try:
            with self._file.open("ab", buffering=0) as file:
                whole = file.seek(0, os.SEEK_END)
                try:
                    while left:
                        left = left[file.write(left) :]
                    if any(log["op_code"] not in _IN_FLIGHT for log in logs):
                        os.fsync(file.fileno())
                except BaseException:
                    file.truncate(whole)
                    raise
        finally:
            self._alone.release()
