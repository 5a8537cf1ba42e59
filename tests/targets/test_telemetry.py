"""ONNX Runtime leaves nothing in a user's home and sends nothing: its telemetry is off wherever we import it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAS = Path(__file__).resolve().parent.parent.parent / "nas"


def at_home(home: Path, *arguments: str, **variables: str) -> list[str]:
    """What a process of Python leaves in an empty home."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONPATH": str(NAS.parent)}
    line = [sys.executable, "-B", *arguments]
    subprocess.run(line, env=environment | variables, cwd=home, capture_output=True, check=True)
    return sorted(str(file.relative_to(home)) for file in home.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import nas.targets.local"),
        ("-c", "import nas, onnxruntime"),
        (str(NAS / "targets" / "measure.py"), "-h"),
    ],
    ids=["package", "import nas", "measure.py alone"],
)
def test_nothing_is_left_at_home(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert at_home(tmp_path, *arguments) == []


def test_who_wants_it_has_it(tmp_path: Path) -> None:
    said = "import nas, os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'"
    assert at_home(tmp_path, "-c", said, ORT_DISABLE_TELEMETRY="0") == []
