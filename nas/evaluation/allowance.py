"""What one candidate may take of time and memory, and who sees to it.

After each epoch the time is looked at, and training ends in order. What does not come so far, because it hangs or
grows, is ended with its whole process by a second one that watches it; why stands in a file beside the candidate's, so
that whoever runs the candidate again finds the reason instead.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nas.errors import TrainingError
from nas.evaluation import watcher

GRACE_S, GRACE = 1.0, 0.1
"""How much longer than its time a candidate may take to end an epoch: seconds, and share of the time."""

SHARE = 0.8
"""Of the machine's memory that all workers together may have."""

LEAST_BYTES = 1_500_000_000
"""That a worker may have by default however small its share is: its libraries alone take a quarter of it."""


LIBRARIES_BYTES = 500_000_000
"""That a worker has for itself before it trains anything: measured .32 to .36 GB."""


@dataclass(frozen=True)
class Allowance:
    """What one candidate may take.

    Attributes:
        time_s: Seconds from its beginning to its end, measuring included; None for no bound.
        memory_bytes: Of its whole process, libraries included, without what it shares; None for no bound.
    """

    time_s: float | None = None
    memory_bytes: int | None = None

    def __str__(self) -> str:
        time = [] if self.time_s is None else [f"{self.time_s:g} s"]
        return " and ".join([*time, *([] if self.memory_bytes is None else [f"{self.memory_bytes / 1e9:.2f} GB"])])


def check_allowance(time_s: float | None, memory_bytes: int | None) -> None:
    """Refuse what no candidate could keep to.

    Raises:
        TrainingError: If it is nothing, or less memory than libraries take.
    """
    if time_s is not None and not time_s > 0:
        raise TrainingError(f"--trial-time: {time_s:g} s; expected more than 0.")
    if memory_bytes is not None and memory_bytes < LIBRARIES_BYTES:
        raise TrainingError(
            f"--trial-memory: {memory_bytes / 1e9:.2f} GB; libraries alone take about {LIBRARIES_BYTES / 1e9:.1f} GB.",
            "Give at least 1GB.",
        )


def memory_share(workers: int) -> int:
    """Bytes that one of some workers may have on this machine, by default."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # a container's bound, where there is one
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return max(int(SHARE * total / workers), LEAST_BYTES)


@contextmanager
def watched(folder: Path, allowance: Allowance) -> Generator[None]:
    """Watch this process as long as the block lasts.

    Args:
        folder: Of the candidate; the reason is written beside it if the process is ended.
        allowance: What it may take; where that is nothing, nobody watches.
    """
    if allowance == Allowance():
        yield
        return
    hard_s = None if allowance.time_s is None else allowance.time_s * (1 + GRACE) + GRACE_S
    folder.parent.mkdir(parents=True, exist_ok=True)
    if allowance.memory_bytes is not None and watcher.own_memory(os.getpid()) > allowance.memory_bytes / 2:
        _give_back()
    _tell({"time_s": hard_s, "memory_bytes": allowance.memory_bytes, "file": str(_verdict(folder))})
    where = _place(folder)
    try:
        with where.open("w", encoding="utf-8") as file:
            if hard_s is not None:
                faulthandler.dump_traceback_later(max(hard_s - GRACE_S / 2, 0.01), file=file)
            yield
            faulthandler.cancel_dump_traceback_later()
    finally:
        faulthandler.cancel_dump_traceback_later()
        _tell(None)
        where.unlink(missing_ok=True)


def verdict(folder: Path, allowance: Allowance) -> tuple[str, str] | None:
    """Why the process of a candidate was ended when it ran before, and where it was then; None if it was not.

    It is told once: the next time the candidate runs as if it had never been.
    """
    file, place = _verdict(folder), _place(folder)
    try:
        reason = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    where = place.read_text(encoding="utf-8", errors="replace") if place.exists() else ""
    for each in (file, place):
        each.unlink(missing_ok=True)
    return f"{reason}; a trial may take {allowance}", where


def _give_back() -> None:
    """Give memory that candidates of before have left in this process back to the system."""
    gc.collect()
    with suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def _verdict(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.ended")


def _place(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.where")


def _tell(watch: Mapping[str, object] | None) -> None:
    """Begin or end a watch; a watcher that died is replaced."""
    line = (json.dumps(watch) if watch is not None else "") + "\n"
    try:
        _write(line)
    except OSError:
        _watcher.cache_clear()
        _write(line)


def _write(line: str) -> None:
    given = _watcher().stdin
    if given is not None:
        os.write(given.fileno(), line.encode())


@lru_cache(maxsize=1)
def _watcher() -> subprocess.Popen[bytes]:
    """The process that watches this one; it ends with it."""
    line = [sys.executable, "-I", "-S", watcher.__file__, str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - our own file
        line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
