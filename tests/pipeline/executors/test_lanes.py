"""Trials at a time, and their share of a GPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nas.pipeline.executors.lanes import Lanes, lanes


@pytest.mark.parametrize(
    ("cores", "gpus", "workers", "expected"),
    [
        (8, 0, None, Lanes(8)),
        (8, 0, 3, Lanes(3)),
        (16, 1, None, Lanes(4, 0.25)),
        (2, 1, None, Lanes(2, 0.5)),
        (16, 2, None, Lanes(8, 0.25)),
        (16, 1, 7, Lanes(7, 0.1428)),
        (16, 4, 6, Lanes(6, 0.5)),
        (16, 4, 2, Lanes(2, 1.0)),
        (3, 1, None, Lanes(3, 0.3333)),
    ],
)
def test_gpus_are_shared_evenly(cores: int, gpus: int, workers: int | None, expected: Lanes) -> None:
    assert lanes(cores, gpus, workers) == expected


@pytest.mark.parametrize("workers", range(1, 40))
def test_all_workers_fit_on_the_gpus(workers: int) -> None:
    for gpus in (1, 2, 3):
        share = lanes(64, gpus, workers).gpu
        assert gpus * int(10_000 // round(10_000 * share)) >= workers


TOLD = """
import ray
from nas.pipeline.executors import ray_tune
from nas.targets import load_target
from nas.training import Device
ray_tune.find_device = lambda: Device("cuda")
ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
def work(context, job, measure, report):
    import os, ray
    return os.environ["CUDA_VISIBLE_DEVICES"], ray.get_runtime_context().get_assigned_resources()["GPU"]
with ray_tune.cluster(load_target("local")) as cluster:
    print(cluster.workers, cluster.gpu, [result for _, result in ray_tune.run_jobs(cluster, [0, 1], work, None)])
"""


def test_jobs_hold_their_share_of_a_gpu() -> None:
    """Ray takes the word of who starts it for what GPUs there are."""
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4 0.25 [('0', 0.25), ('0', 0.25)]"
