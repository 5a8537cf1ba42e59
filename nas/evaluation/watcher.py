"""A process that ends another one when it takes too long or too much memory: run by `nas.evaluation.allowance` alone.

    python watcher.py PID

A line of JSON on standard input begins a watch: `time_s` and `memory_bytes`, either may be null, and the `file` that is
to say why; an empty line ends it. A process of its own, since what hangs in C code lets no thread beside it run. It
needs the standard library alone, and ends with its standard input or its parent, which is the process it watches.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

LOOKED_AT_S, IDLE_S = 0.1, 5.0


def main() -> None:
    """Watch until standard input ends, or the process had to be ended."""
    pid, waiting, watch = int(sys.argv[1]), b"", dict[str, Any]()
    begun = time.monotonic()
    while True:
        ready = select.select([0], [], [], LOOKED_AT_S if watch else IDLE_S)[0]
        if os.getppid() != pid:  # it is gone, and a child of it may hold our input open
            return
        if ready:
            read = os.read(0, 65536)
            if not read:
                return
            *lines, waiting = (waiting + read).split(b"\n")
            for line in lines:
                watch, begun = json.loads(line or b"{}"), time.monotonic()
        elif watch and (reason := overstepped(pid, watch, time.monotonic() - begun)):
            file = Path(watch["file"])
            draft = file.with_name(file.name + ".part")
            draft.write_text(reason, encoding="utf-8")
            draft.replace(file)
            os.kill(pid, signal.SIGKILL)
            return


def overstepped(pid: int, watch: dict[str, Any], took: float) -> str:
    """What a process has taken that it may not; empty where there is nothing."""
    if watch["time_s"] is not None and took > watch["time_s"]:
        return f"was ended after {took:.1f} s"
    used = own_memory(pid)
    if watch["memory_bytes"] is not None and used > watch["memory_bytes"]:
        return f"was ended after {took:.1f} s when its process had {used / 1e9:.2f} GB of memory"
    return ""


def own_memory(pid: int) -> int:
    """Bytes that a process has for itself; 0 where the system does not say."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
