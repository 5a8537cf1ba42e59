"""Tasks that are dear to make: once a session, in a cache of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nas.tasks import Task
from nas.tasks.builtin.digits import Difficulty, load_digits

SMALL = Difficulty(train=100, valid=50, test=50)


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="session")
def digits(digits_cache: Path) -> Task:
    return load_digits(None, digits_cache)


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    load_digits(SMALL, folder)
    (file,) = folder.glob("digits-*.npz")
    return file


@pytest.fixture
def small(small_file: Path, tmp_path: Path) -> Path:
    """A cache that holds a small task, to be damaged."""
    return Path(shutil.copy2(small_file, tmp_path))


@pytest.fixture(scope="session")
def data() -> Path:
    folder = Path(os.environ.get("NAS_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "avdigits" / "avdigits.npz").exists():
        pytest.skip("avdigits.npz is absent: set NAS_DATA to the folder that holds avdigits/avdigits.npz")
    return folder
