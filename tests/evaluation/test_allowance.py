"""What takes too long or too much memory is ended with its process, and says why when it is run again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.evaluation.allowance import Allowance, memory_share, verdict, watched

GIVEN = """
import sys
from pathlib import Path
from nas.evaluation.allowance import Allowance, watched
"""
HANGS = f"""{GIVEN}
import re
with watched(Path(sys.argv[1]) / "0", Allowance(0.2)):
    re.match("(a+)+$", "a" * 64 + "b")  # C code that lets no thread beside it run
"""
GROWS = f"""{GIVEN}
held = []
with watched(Path(sys.argv[1]) / "0", Allowance(None, 200_000_000)):
    while True:
        held.append(bytearray(b"x") * 10_000_000)
"""


@pytest.mark.parametrize(
    ("program", "allowance", "reason"),
    [
        (HANGS, Allowance(0.2), r"was ended after [1-9][\d.]* s; a trial may take 0.2 s"),
        (
            GROWS,
            Allowance(None, 200_000_000),
            r"was ended after [\d.]+ s when its process had [\d.]+ GB of memory; a trial may take 0.20 GB",
        ),
    ],
    ids=["hangs", "grows"],
)
def test_a_process_that_takes_too_much_is_ended_and_says_why_once(
    program: str, allowance: Allowance, reason: str, tmp_path: Path
) -> None:
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -9
    told = verdict(tmp_path / "0", allowance)
    assert told is not None
    assert re.fullmatch(reason, told[0])
    assert ("most recent call first" in told[1]) == (allowance.time_s is not None)
    assert verdict(tmp_path / "0", allowance) is None
    assert list(tmp_path.iterdir()) == []


def test_what_keeps_to_its_allowance_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with watched(tmp_path / "0", Allowance(30.0, 10**12)):
            assert [file.name for file in tmp_path.iterdir()] == ["0.where"]
    assert list(tmp_path.iterdir()) == []
    assert verdict(tmp_path / "0", Allowance(30.0)) is None


def test_workers_share_the_machine() -> None:
    assert memory_share(1) // 4 == pytest.approx(memory_share(4), abs=1)
