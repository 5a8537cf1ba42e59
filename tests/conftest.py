"""What many tests share: one Ray, and a small real run on it: dense networks on a table.

`make test` runs the tests in several processes. All that search in their own process are in one group, so that one
process starts Ray, once.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import ray
import torch
from example_runs import SPACE
from xdist.scheduler import LoadScopeScheduling

from nas.pipeline.compress import compress
from nas.pipeline.executors.ray_tune import TRAINER_ENVIRONMENT
from nas.pipeline.refine import refine
from nas.pipeline.search import search
from nas.targets.measure import STATE
from nas.training import Training

if STATE not in os.environ:  # all processes learn one device, and not the user's; the first one removes it
    reference = tempfile.TemporaryDirectory(prefix="nas-reference-")
    os.environ[STATE] = reference.name
os.environ.setdefault("NAS_DEVICE", "cpu")  # figures are the same wherever the tests run
torch.set_num_threads(1)  # networks are small, and several processes share the cores

RAY = {
    "test_api.py",
    "test_bundle.py",
    "test_static_metrics.py",
    "test_cli.py",
    "test_outputs_end_to_end.py",
    "test_pipeline.py",
    "test_proof.py",
    "test_report.py",
}
"""Files of which tests need Ray: one process takes them all."""

WHOLE = {"test_avdigits.py", "test_targets.py", "test_digits.py", "test_processes.py"}
"""Files whose tests share what is dear to make, start Ray, or measure latency: one process takes such a file."""


def group(nodeid: str) -> str:
    """Tests of one group run in one process, one after the other; each block's contract is a group, most are alone."""
    name = Path(nodeid.partition("::")[0]).name
    if name in RAY:
        return "ray"
    if name == "test_contract.py":
        return re.sub(r"-?(smallest|largest|0\.0|255\.0)-?", "", nodeid.partition("[")[2])
    return name if name in WHOLE else nodeid


class Groups(LoadScopeScheduling):
    """Hands groups to processes, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes longest: what needs Ray, and what starts its own."""
    first = dict.fromkeys(RAY, 0) | {"test_processes.py": 1}
    for item in items:
        if "one_ray" in getattr(item, "fixturenames", ()) and item.path.name not in RAY:
            raise pytest.UsageError(f"{item.nodeid} needs Ray; expected its file among RAY in tests/conftest.py")
    items.sort(key=lambda item: first.get(item.path.name, 2))


def write_table(path: Path, rows: int = 400) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 6))
    frame = pd.DataFrame(x, columns=list("abcdef"))
    frame["colour"] = rng.choice(["red", "green"], rows)
    frame["kind"] = np.where(x[:, 0] * x[:, 1] + (frame["colour"] == "red") > 0.5, "yes", "no")
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "table.csv")


@pytest.fixture(scope="session")
def space_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "dense.py"
    file.write_text(SPACE)
    return file


@pytest.fixture(scope="session")
def one_ray() -> Iterator[str]:
    """Ray for all tests that search in this process; its address, for commands that join it."""
    ray.init(
        num_cpus=2, resources={"target:local": 1}, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": TRAINER_ENVIRONMENT}, logging_level=logging.ERROR,
    )  # fmt: skip
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def pristine_run(tmp_path_factory: pytest.TempPathFactory, one_ray: str, table: Path, space_file: Path) -> Path:
    """A run that was searched, refined and compressed once."""
    run = tmp_path_factory.mktemp("runs") / "run"
    search(space_file, run, data=table, label="kind", trials=6, training=Training(epochs=4))
    refine(run, seeds=2, epochs=8, members=2)
    compress(run)
    return run


@pytest.fixture
def finished_run(pristine_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine_run, tmp_path / "run"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that a run soon fills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
