from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.errors import TaskError
from nas.tasks import load_task


def test_loads_from_the_folder_or_the_one_above(data: Path) -> None:
    task = load_task("avdigits", data)
    assert [len(split) for split in (task.train, task.valid, task.test)] == [7000, 1000, 2000]
    assert task.train.inputs["image"].shape == (7000, 1, 28, 28)
    assert task.train.inputs["audio"].shape == (7000, 1, 40, 62)
    assert task.train.targets.dtype == np.int64
    assert "CC BY-SA 4.0" in task.attribution
    assert load_task("avdigits", data / "avdigits").fingerprint == task.fingerprint


def test_environment_names_the_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_DATA", str(data))
    assert len(load_task("avdigits").test) == 2000


def test_no_folder_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_DATA", raising=False)
    with pytest.raises(TaskError, match=r"no data folder is named.\nGive --data DIR, or set NAS_DATA"):
        load_task("avdigits")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"avdigits/avdigits.npz is missing.\nGive the folder that holds it: --data"):
        load_task("avdigits", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "avdigits.npz").write_bytes(content)
    with pytest.raises(TaskError, match=r"avdigits.npz: is damaged: .*\nCopy it again"):
        load_task("avdigits", tmp_path)


def test_file_without_the_arrays_is_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "avdigits.npz", other=np.zeros(1))
    with pytest.raises(TaskError, match=r"is damaged: .*image_train"):
        load_task("avdigits", tmp_path)
