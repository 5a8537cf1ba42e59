"""Ray Tune itself: jobs in a few reused processes, what they tell on their way, and who ends them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nas.evaluation.context import Report
from nas.pipeline.executors.ray_tune import Cluster, cluster, run_trials


class Numbers:
    """Jobs that are numbers; those of `stopped` are stopped when they tell of the epoch that it names."""

    def __init__(
        self, count: int, rungs: Collection[int] | None = (), stopped: Mapping[int, int] | None = None
    ) -> None:
        self.waiting = list(range(count))
        self.rungs, self.stopped = rungs, stopped or {}
        self.heard: dict[int, list[int]] = {}
        self.results: dict[int, Any] = {}

    @property
    def ended(self) -> bool:
        return not self.waiting

    def next(self) -> tuple[int, int] | None:
        return (number := self.waiting.pop(0), number) if self.waiting else None

    def hear(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        assert metrics == {"loss": float(epoch)}
        self.heard.setdefault(number, []).append(epoch)
        return self.stopped.get(number, -1) != epoch

    def finish(self, number: int, result: Any | None) -> None:
        self.results[number] = result


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(None, 2) as given:
        yield given


def test_jobs_run_in_reused_processes_that_measure_nothing(running: Cluster) -> None:
    def work(context: str, job: int, measure: Any, report: Report) -> tuple[str, int, bool, bool, int]:
        return context, job * job, measure is None, report(0, {}), os.getpid()

    jobs = Numbers(12)
    run_trials(running, jobs, work, "shared")
    assert running.meter is None
    assert {number: result[:4] for number, result in jobs.results.items()} == {
        number: ("shared", number * number, True, True) for number in range(12)
    }
    assert len({result[4] for result in jobs.results.values()}) <= 2
    assert not jobs.heard


def test_jobs_are_heard_at_rungs_and_stopped_in_order(running: Cluster, tmp_path: Path) -> None:
    def work(folder: Path, job: int, _measure: Any, report: Report) -> str:
        for epoch in range(4):
            if not report(epoch, {"loss": float(epoch)}):
                (folder / str(job)).write_text(f"ended after {epoch}")
                return "dropped"
        return "done"

    jobs = Numbers(5, (1, 2), stopped={1: 1, 3: 2})
    run_trials(running, jobs, work, tmp_path)
    assert jobs.heard == {0: [1, 2], 1: [1], 2: [1, 2], 3: [1, 2], 4: [1, 2]}
    assert jobs.results == {0: "done", 1: None, 2: "done", 3: None, 4: "done"}
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"1": "ended after 1", "3": "ended after 2"}
