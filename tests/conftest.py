"""A small real run that many tests look at: dense networks on a table, searched, refined and compressed once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.compress import compress
from nas.refine import refine
from nas.search import search
from nas.training import Training

SPACE = """
from nas import Space, choose, integer
from nas.blocks import MLP, Dense, Network

space = Space(
    Network(
        encoders={"table": Dense(width=choose(16, 32, 64), depth=integer(1, 3))},
        head=MLP(hidden=choose(0, 16), dropout=choose(0.0, 0.2)),
    )
)
"""


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
def pristine_run(tmp_path_factory: pytest.TempPathFactory, table: Path, space_file: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    search(space_file, run, data=table, label="kind", trials=6, training=Training(epochs=4))
    refine(run, seeds=2, epochs=8, members=3)
    compress(run)
    return run


@pytest.fixture
def finished_run(pristine_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine_run, tmp_path / "run"))
