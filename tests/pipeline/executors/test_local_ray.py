"""The private folder of Ray: short, closed to others, gone at the end; what a killed driver left is removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nas.errors import RunError
from nas.pipeline.executors.local_ray import PREFIX, private_folder, variables

HOLD = (
    "import nas.pipeline.executors.local_ray as r\nwith r.private_folder() as f:\n    print(f, flush=True)\n    input()"
)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Path:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_nobody_else_may_look_in_and_nothing_is_left(place: Path) -> None:
    with private_folder() as folder:
        assert folder.parent == place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "ray").mkdir()
    assert not list(place.iterdir())


def test_a_long_temporary_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with private_folder() as folder:
        assert folder.parent == Path("/tmp")  # noqa: S108
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RunError, match=r"its path is too long for Ray's sockets.*\n.*TMPDIR"):
        private_folder().__enter__()


def test_what_a_killed_driver_left_is_removed_and_a_living_ones_stays(place: Path) -> None:
    (place / f"{PREFIX}someones").mkdir()
    line = [sys.executable, "-c", HOLD]
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with private_folder():
            assert left.exists()
        other.kill()
    with private_folder():
        assert not left.exists()
        assert (place / f"{PREFIX}someones").exists(), "a folder without a lock is not ours to judge"


def test_variables_that_the_user_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_TEST_ONE", "mine")
    with variables({"NAS_TEST_ONE": "ours", "NAS_TEST_TWO": "ours"}):
        assert (os.environ["NAS_TEST_ONE"], os.environ["NAS_TEST_TWO"]) == ("mine", "ours")
    assert os.environ["NAS_TEST_ONE"] == "mine"
    assert "NAS_TEST_TWO" not in os.environ
