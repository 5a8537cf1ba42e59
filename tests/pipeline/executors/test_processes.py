"""Commands in processes that start a Ray of their own: the whole way, and what it survives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from example_runs import counted, kept, nas

from nas.pipeline.loop import COUNTED
from nas.runs.ledger import open_ledger


def command(run: Path, space: Path, table: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "nas.cli", "search", str(space), "--run", str(run), "--data", str(table), "--label",
            "kind", "--epochs", "30", *more]  # fmt: skip


def wait_for(run: Path, trials: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "run.json").exists() and len(counted(run)) >= trials:
            return
        time.sleep(0.3)
    process.kill()
    pytest.fail(f"no {trials} trials: {process.communicate()}")


def test_search_for_programs_and_then_refine_compress(tmp_path: Path, space_file: Path, table: Path) -> None:
    run = tmp_path / "run"
    done = nas(
        "search", space_file, "--run", run, "--data", table, "--label", "kind", "--epochs", 2, "--trials", 3, "--json"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["done"] for line in lines[:-1]] == [1, 2, 3]
    assert lines[-1]["front"]
    done = nas("refine", run, "--seeds", 1, "--epochs", 3, "--members", 1)
    assert done.returncode == 0, done.stderr
    assert "-refined" in done.stdout
    done = nas("compress", run)
    assert done.returncode == 0, done.stderr
    assert "-int8" in done.stdout
    assert (run / "front.png").stat().st_size > 10_000


def test_killed_driver_resumes_to_exactly_the_trials_asked_for(tmp_path: Path, table: Path, space_file: Path) -> None:
    run = tmp_path / "run"
    line = command(run, space_file, table, "--trials", "6")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(run, 2, process)
    process.kill()
    process.communicate()
    before = {t.number: t for t in open_ledger(run).trials() if t.state in COUNTED}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    after = counted(run)
    assert len(after) == 6
    assert len(set(after)) == 6
    trials = {t.number: t for t in open_ledger(run).trials()}
    assert all(kept(trials[n]) == kept(t) for n, t in before.items())
    assert Counter(t.state for t in trials.values())["running"] == 0


def test_ctrl_c_ends_cleanly_and_the_run_goes_on(tmp_path: Path, table: Path, space_file: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(run, space_file, table, "--trials", "30"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(run, 1, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    told = len(counted(run))
    assert 1 <= told < 30
    assert {t.state for t in open_ledger(run).trials()} <= {"complete", "running"}
    done = subprocess.run(command(run, space_file, table, "--trials", str(told + 1)), capture_output=True, text=True,
                          check=False, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(counted(run))) == told + 1
