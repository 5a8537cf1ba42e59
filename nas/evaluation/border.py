"""The border of one candidate: whatever goes wrong inside becomes its reason, and everything else goes on.

The one place that catches all. What would meet the next candidate too, a full disk, goes through it. Candidates are
the user's own programs: their `SystemExit` and `KeyboardInterrupt` are theirs, and what they print is kept with the
error instead of being written to a terminal or a log without end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import sysconfig
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import Any, TypeVar

from nas.errors import NasError, RunError, cleaned

T = TypeVar("T")

MOST_PRINTED = 64 * 1024
"""Characters that are kept of what a candidate prints, the last ones."""

MOST_SAID = 1500
"""Characters of an error that are kept; where it came from stands behind them."""

_OURS = tuple(
    f"{path}{os.sep}"
    for path in (Path(__file__).parent.parent, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))
)


@dataclass(frozen=True)
class Failure:
    """What went wrong with a candidate.

    Attributes:
        error: What was raised.
        printed: The last of what was printed.
    """

    error: BaseException
    printed: str

    @property
    def reason(self) -> str:
        """One line or a few: the error, and where in the user's own code it came from."""
        return reason_of(self.error)

    @property
    def details(self) -> str:
        """The traceback, and what was printed."""
        told = "".join(traceback.format_exception(self.error))
        return f"{told}\nprinted:\n{self.printed}" if self.printed else told


def within_border(work: Callable[[], T], folder: Path, is_worker: bool = False) -> T | Failure:
    """Do a candidate's work, and turn whatever goes wrong into a failure.

    Args:
        work: The work.
        folder: Where it writes; asked for its free space.
        is_worker: Whether this process works for candidates alone: elsewhere a `KeyboardInterrupt` is the user's.

    Raises:
        RunError: If the disk is full.
    """
    printed = Printed()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return work()
    except BaseException as error:
        if getattr(error, "ray_terminate_msg", None):  # not the candidate ends, but the process that works for it
            raise
        if isinstance(error, KeyboardInterrupt) and not is_worker:
            raise
        if is_disk_full(error, folder):
            raise disk_full(folder) from error
        return Failure(error, printed.text())


def at_border(step: Callable[[], T], refused: Callable[[str], T], folder: Path) -> T:
    """Take a step with one model and turn whatever goes wrong with it into a reason: the border of all other stages.

    Args:
        step: What is done.
        refused: Makes of a reason what the step would give; an error of ours needs no name.
        folder: Where the step writes.

    Raises:
        RunError: If the disk is full.
    """
    result = within_border(step, folder)
    if not isinstance(result, Failure):
        return result
    return refused(cleaned(result.error.message) if isinstance(result.error, NasError) else result.reason)


def reason_of(error: BaseException) -> str:
    """What an error says, and the file and line of the user's own code that it came from, if it did."""
    said = ""
    with suppress(Exception):  # an error may fail to say what it is
        said = error.message if isinstance(error, NasError) else str(error)
    return cleaned(f"{type(error).__name__}: {said}".removesuffix(": "), MOST_SAID) + cleaned(_place(error))


def disk_full(folder: Path) -> RunError:
    """The error that says that the disk is full."""
    return RunError(
        f"{folder}: no space left on the disk; everything told so far is kept.",
        "Free some space and run the same command again: it goes on where it stopped.",
    )


def is_disk_full(error: BaseException, folder: Path) -> bool:
    """Not every library raises `OSError` when it cannot write, so the disk itself is asked too."""
    parents = [p for p in (folder, *folder.parents) if p.exists()]
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or disk_usage(parents[0]).free < 2**16


class Printed(io.TextIOBase):
    """Keeps the last characters that are written to it."""

    def __init__(self, most: int = MOST_PRINTED) -> None:
        super().__init__()
        self._most = most
        self._parts: deque[str] = deque()
        self._kept = 0
        self._all = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take a text; forget the oldest where there is too much."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        part = text[-self._most :]
        self._parts.append(part)
        self._kept += len(part)
        self._all += len(text)
        while self._kept - len(self._parts[0]) >= self._most:
            self._kept -= len(self._parts.popleft())
        return len(text)

    def fileno(self) -> int:
        """That of the process, for programs that are started."""
        return sys.__stdout__.fileno() if sys.__stdout__ else 1

    @property
    def buffer(self) -> Any:
        """That of the process: bytes are not kept."""
        return sys.__stdout__.buffer if sys.__stdout__ else io.BytesIO()

    def text(self) -> str:
        """What is kept, and how much is not."""
        kept = "".join(self._parts)[-self._most :]
        left = self._all - len(kept)
        return f"... ({left:,} characters before)\n{kept}" if left else kept


def _place(error: BaseException) -> str:
    """The last place in the user's own code, of an error or of what caused it."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for each in reversed(chain):
        for frame in reversed(traceback.extract_tb(each.__traceback__)):
            if not frame.filename.startswith((*_OURS, "<")):
                return f" ({frame.filename}:{frame.lineno}, in {frame.name})"
    return ""
