"""A search in a process of its own, the processes of its Ray, and what must be true of its run at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from example_runs import counted, kept

from nas.pipeline.executors.local_ray import PREFIX
from nas.pipeline.loop import COUNTED
from nas.runs.ledger import Trial, open_ledger

SPACE = """
from nas import Space, choose, integer
from nas.blocks import MLP, Dense, Network

space = Space(
    Network(
        encoders={"table": Dense(width=integer(8, 128, 4), depth=integer(1, 3))},
        head=MLP(hidden=choose(0, 16), dropout=choose(0.0, 0.2)),
    )
)
"""


class Driver:
    """Runs `nas search` in a folder, named as users name things: relatively."""

    def __init__(self, folder: Path, table: Path, trials: int, *more: str, space: str = SPACE) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.trials = trials
        (folder / "space.py").write_text(space)
        (folder / "table.csv").write_bytes(table.read_bytes())
        self.line = [
            sys.executable, "-m", "nas.cli", "search", "space.py", "--run", "run", "--data", "table.csv", "--label",
            "kind", "--epochs", "1", "--sampler", "random", "--trials", str(trials), *more,
        ]  # fmt: skip

    def start(self) -> subprocess.Popen[str]:
        """Start the search, or go on with it."""
        return subprocess.Popen(
            self.line, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def finish(self) -> tuple[int, str]:
        """Let it run to its end; its exit code and what it said."""
        done = subprocess.run(self.line, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def told(self) -> dict[int, Trial]:
        """The trials that count so far."""
        if not (self.run / "run.json").exists():
            return {}
        return {trial.number: trial for trial in open_ledger(self.run).trials() if trial.state in COUNTED}

    def wait_until_told(self, process: subprocess.Popen[str], more_than: int, most_s: float = 120) -> None:
        """Wait until more trials are told, or it has ended."""
        deadline = time.monotonic() + most_s
        while process.poll() is None and len(self.told()) <= more_than:
            assert time.monotonic() < deadline, "no trial was told"
            time.sleep(0.05)

    def check_whole(self, before: dict[int, Trial]) -> None:
        """Exactly the trials asked for, none twice, none of those told before lost or changed, nothing left behind."""
        architectures = counted(self.run)
        assert len(architectures) == len(set(architectures)) == self.trials
        trials = {trial.number: trial for trial in open_ledger(self.run).trials()}
        assert all(kept(trials[number]) == kept(trial) for number, trial in before.items())
        assert not [trial for trial in trials.values() if trial.state == "running"]
        self.check_clean()

    def check_clean(self) -> None:
        """No draft, no lock, no temporary folder is left."""
        assert not [*self.run.rglob("*.part"), *self.run.glob("journal.log.lock*")]
        assert not [
            folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if folder.stat().st_mtime > STARTED
        ]


STARTED = time.time()


def ray_processes(driver: int, named: str) -> list[int]:
    """The processes of a driver's Ray whose title or program has a name."""
    children: dict[int, list[int]] = {}
    titles: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    below, waiting = list[int](), [driver]
    while waiting:
        waiting += (more := children.get(waiting.pop(), []))
        below += more
    return [pid for pid in below if named in titles.get(pid, "")]


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL, group: bool = False) -> tuple[int, str]:
    """Send a signal, to its whole group if asked, and wait for the end; the exit code and what was said."""
    os.killpg(process.pid, number) if group else process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


class Counts:
    """How often each fault was made, and what held afterwards; a row stands when its test has passed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str]] = []

    def add(self, fault: str, times: int, held: str) -> None:
        self.rows.append((fault, times, held))
