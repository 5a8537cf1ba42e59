"""Kills, full disks, damaged files and hostile candidates: nothing told is lost, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from drivers import Counts, Driver, end, ray_processes
from example_runs import RECORD as EXAMPLE
from example_runs import kept

from nas.errors import RunError
from nas.runs.ledger import create_ledger, open_ledger
from nas.runs.lock import writing

pytestmark = pytest.mark.faults

RECORD = replace(EXAMPLE, objectives=("accuracy",), limits=())

KILLS = 25
"""How often the driver of a run is killed."""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_driver_loses_nothing(tmp_path: Path, table: Path, counts: Counts, seed: int) -> None:
    rng = random.Random(seed)
    driver = Driver(tmp_path, table, 36, "--seed", str(seed))
    for kill in range(KILLS):
        before = driver.told()
        process = driver.start()
        if kill % 4:
            time.sleep(rng.uniform(0.5, 6))
        else:
            driver.wait_until_told(process, len(before))
            time.sleep(rng.uniform(0, 0.3))
        end(process)
        told = driver.told()
        assert len(told) < driver.trials, "the run ended before it was killed as often as it should be"
        assert all(kept(told[number]) == kept(trial) for number, trial in before.items())
    before = driver.told()
    code, said = driver.finish()
    assert code == 0, said
    driver.check_whole(before)
    held = "the same command went on, to exactly the trials asked for, none twice, none lost, nothing left behind"
    counts.add("driver killed (SIGKILL) while it started or searched", KILLS, held)


def test_a_killed_writer_blocks_nobody(tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child writes trials without a pause and is killed; the run is named relatively."""
    monkeypatch.chdir(tmp_path)
    create_ledger(Path("run"), RECORD, "")
    rng = random.Random(0)
    locked = told = 0
    for _ in range(200):
        child = os.fork()
        if not child:
            _write_for_ever()
        time.sleep(rng.uniform(0.01, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        locked += os.path.lexists("run/journal.log.lock")
        with writing(Path("run").absolute()):
            ledger = open_ledger(Path("run"))
            complete = [trial for trial in ledger.trials() if trial.state == "complete"]
            assert len(complete) >= told
            ledger.complete(ledger.study.ask().number, {"accuracy": 1.0})
            told = len(complete) + 1
    assert locked, "no lock was left, so nothing was tried"
    counts.add("writer of the journal killed", 200, f"opened at once, nothing told was lost ({locked} had left a lock)")


@pytest.mark.parametrize("named", ["ray::ResourceTrainable", "ray::_Meter"])
def test_a_killed_worker_costs_no_trial(tmp_path: Path, table: Path, counts: Counts, named: str) -> None:
    driver = Driver(tmp_path, table, 16)
    process = driver.start()
    killed = 0
    for _ in range(4):
        driver.wait_until_told(process, len(driver.told()) + 1)
        for pid in ray_processes(process.pid, named)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert killed >= 2, output
    driver.check_whole({})
    states = [trial.state for trial in driver.told().values()]
    assert states.count("complete") >= len(states) - killed
    what = "meter" if "Meter" in named else "worker"
    counts.add(f"{what} killed", killed, "the search ended with exactly the trials asked for")


@pytest.mark.parametrize("named", ["raylet", "gcs_server"])
def test_a_killed_ray_is_told_at_once(tmp_path: Path, table: Path, counts: Counts, named: str) -> None:
    driver = Driver(tmp_path, table, 12)
    for _ in range(3):
        before = driver.told()
        process = driver.start()
        driver.wait_until_told(process, len(before))
        (pid,) = [p for p in ray_processes(process.pid, named) if Path(f"/proc/{p}/exe").resolve().name == named]
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 1, output
        assert f"Ray's process {named} was killed" in output
        assert "Traceback" not in output
        assert time.monotonic() - begun < 30
        told = driver.told()
        assert all(kept(told[number]) == kept(trial) for number, trial in before.items())
        assert all(trial.state == "complete" for trial in told.values())
    before = driver.told()
    assert driver.finish()[0] == 0
    driver.check_whole(before)
    counts.add(f"{named} killed", 3, "one sentence within 30 s, exit 1; the same command went on")


def test_a_terminated_search_ends_in_order(tmp_path: Path, table: Path, counts: Counts) -> None:
    rng = random.Random(1)
    driver = Driver(tmp_path, table, 16, "--time", "10m")
    for kill, (number, expected) in enumerate(((signal.SIGTERM, 143), (signal.SIGINT, 130)) * 3):
        before = driver.told()
        process = driver.start()
        driver.wait_until_told(process, len(before))
        time.sleep(rng.uniform(0, 1))
        code, output = end(process, number, group=kill > 1)
        assert code == expected, output
        assert "Traceback" not in output
        driver.check_clean()
    before = driver.told()
    assert driver.finish()[0] == 0
    driver.check_whole(before)
    held = "exit 143, no draft and no temporary folder left; went on"
    counts.add("SIGTERM to the driver or its group, as of Slurm or `timeout`", 3, held)
    counts.add("Ctrl-C, with `--time`", 3, held.replace("143", "130"))


def test_a_full_disk_is_told_and_the_run_goes_on(small_disk: Path, table: Path, counts: Counts) -> None:
    driver = Driver(small_disk, table, 40)
    code, output = driver.finish()
    assert code == 1, output
    assert "no space left on the disk; everything told so far is kept" in output
    before = driver.told()
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    code, output = driver.finish()
    assert code == 0, output
    driver.check_whole(before)
    counts.add("disk full", 1, "one sentence, exit 1; with more space the same command went on")


def test_a_damaged_journal_is_refused_with_a_sentence(tmp_path: Path, counts: Counts) -> None:
    rng = random.Random(0)
    ledger = create_ledger(tmp_path / "run", RECORD, "")
    for _ in range(20):
        ledger.complete(ledger.study.ask().number, {"accuracy": 0.5})
    journal = ledger.folder / "journal.log"
    content = journal.read_bytes()
    refused = 0
    for _ in range(500):
        at = rng.randrange(len(content))
        damage = rng.choice(DAMAGES)
        journal.write_bytes(damage(content, at, rng))
        try:
            open_ledger(ledger.folder).trials()
        except RunError as error:
            refused += 1
            assert "journal.log" in str(error) or "no study named" in str(error)
    assert refused > 100
    counts.add("journal damaged (bytes changed, cut, blank or foreign lines, NULs)", 500,
               f"opened as it was, or refused in one sentence ({refused})")  # fmt: skip


def test_hostile_candidates_are_told_as_what_they_are(tmp_path: Path, table: Path, counts: Counts) -> None:
    space = (Path(__file__).parent / "hostile.py").read_text()
    driver = Driver(tmp_path, table, 14, space=space)
    driver.line[driver.line.index("random")] = "grid"
    code, output = driver.finish()
    assert code == 0, output
    driver.check_whole({})
    told = {str(trial.decisions["encoders.table.how"]): trial for trial in driver.told().values()}
    assert {how for how, trial in told.items() if trial.state == "complete"} == {"well", "print", "chdir", "thread"}
    for how, expected in REASONS.items():
        assert expected in told[how].reason
    assert all(len(trial.reason) < 3000 for trial in told.values())
    errors = {how: tmp_path / "run/trials" / str(trial.number) / "error.txt" for how, trial in told.items()}
    assert "space.py" in errors["raise"].read_text()
    assert "said before it broke" in errors["raise"].read_text()
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 10 * 2**20
    counts.add("hostile candidates (exit, crash, interrupt, print 200 MB, NaN, megabytes of reason, ...)", len(told),
               "each told as what it is, the others evaluated; less than 10 MB written")  # fmt: skip


REASONS = {
    "raise": "space.py:",
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "crash": "its worker died twice",
    "nan": "the loss became nan",
    "huge": "more characters",
    "surrogate": "\\udc80",
    "recursion": "RecursionError",
    "memory": "MemoryError",
    "assert": "AssertionError",
}


def _flipped(content: bytes, at: int, rng: random.Random) -> bytes:
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, at: int, rng: random.Random) -> bytes:
    return content[:at] + content[at + rng.randrange(1, 200) :]


def _with_line(content: bytes, at: int, rng: random.Random) -> bytes:
    line = rng.choice((b"", b"null", b"[]", b"3", b"\xff\xfe", b"{}", b'{"op_code": 99}', b"<<<<<<< HEAD", bytes(100)))
    start = content.find(b"\n", at) + 1
    return content[:start] + line + b"\n" + content[start:]


def _emptied(content: bytes, at: int, _: random.Random) -> bytes:
    return content[:at] + bytes(len(content) - at)


DAMAGES: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (_flipped, _cut, _with_line, _emptied)


def _write_for_ever() -> None:
    with suppress(BaseException), writing(Path("run").absolute()):
        ledger = open_ledger(Path("run"))
        while True:
            ledger.complete(ledger.study.ask().number, {"accuracy": 0.5})
    os._exit(1)
