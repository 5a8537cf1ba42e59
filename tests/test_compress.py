"""What a pass brought is told by files measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nas.devices import Latency
from nas.evaluate import beside


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The parent, what came before the last pass, and the result."""
    made = [tmp_path / name for name in ("parent", "pruned", "int8")]
    for file, size in zip(made, (1000, 500, 200), strict=True):
        file.write_bytes(bytes(size))
    return made


def measure(paths: Sequence[Path]) -> Sequence[Latency]:
    times = {"parent": 2.0, "pruned": 1.0, "int8": 1.5}
    ms = [times[path.name] for path in paths]
    return [Latency(t, (t, t), t, t, 1.0, 1.0, 8, "good", 10, 10, {}) for t in ms]


def test_a_chain_is_held_against_what_came_before_and_against_the_parent(files: list[Path]) -> None:
    parent, pruned, int8 = files
    metrics = beside(int8, pruned, parent, measure)
    assert (metrics["pass_bytes_ratio"], metrics["pass_time_ratio"]) == (0.4, 1.5)
    assert (metrics["bytes_ratio"], metrics["time_ratio"]) == (0.2, 0.75)
    assert metrics["latency_ms"] == 1.5


def test_the_first_pass_is_held_against_the_parent_alone(files: list[Path]) -> None:
    parent, pruned, _ = files
    metrics = beside(pruned, parent, parent, measure)
    assert (metrics["pass_time_ratio"], metrics["time_ratio"]) == (0.5, 0.5)
    assert (metrics["pass_bytes_ratio"], metrics["bytes_ratio"]) == (0.5, 0.5)
