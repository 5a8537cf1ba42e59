"""What was done to searches and what they made of it is counted, and written to `results/faults.md` at the end."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers import Counts

PAGE = Path(__file__).parents[2] / "results" / "faults.md"


@pytest.fixture(scope="session")
def counts(request: pytest.FixtureRequest) -> Iterator[Counts]:
    begun, kept = time.monotonic(), Counts()
    yield kept
    minutes = (time.monotonic() - begun) / 60
    failed = request.session.testsfailed
    command = shlex.join(["pytest", *request.config.invocation_params.args])
    lines = [
        "# What a search survives",
        "",
        f"`{command}` on {platform.processor() or platform.machine()}, Python {platform.python_version()}: "
        f"{minutes:.0f} minutes, {failed or 'no'} test{'s' * (failed != 1)} failed. "
        "Moments are drawn at random, the same each time; what they strike depends on the machine.",
        "",
        "| what was done | times | what held each time |",
        "|---|---|---|",
        *(f"| {fault} | {times:,} | {held} |" for fault, times, held in kept.rows),
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
