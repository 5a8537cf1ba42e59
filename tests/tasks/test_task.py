from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from nas.blocks import Input
from nas.errors import TaskError
from nas.tasks import Classification, Modality, Split, Task, load_task
from nas.tasks.task import statistics


def tiny(target: int = 1) -> Task:
    split = Split({"x": np.arange(6, dtype=np.float32).reshape(3, 2)}, np.array([0, 1, target]))
    return Task(
        "tiny", {"x": Modality("vector", (2,), (1.0, 2.0), 3.0, {})}, Classification(("a", "b")), split, split, split
    )


def test_split_counts_its_samples() -> None:
    assert len(tiny().train) == 3


def test_modality_says_what_a_network_needs() -> None:
    task = tiny()
    assert task.modalities["x"].input == Input((2,), (1.0, 2.0), 3.0)
    assert task.inputs == {"x": Input((2,), (1.0, 2.0), 3.0)}


def test_fingerprint_depends_on_the_arrays() -> None:
    assert tiny().fingerprint == tiny().fingerprint
    assert len(tiny().fingerprint) == 16
    assert tiny().fingerprint != tiny(0).fingerprint


def test_task_travels() -> None:
    task = tiny()
    other = pickle.loads(pickle.dumps(task))
    assert other.fingerprint == task.fingerprint
    assert other.modalities == task.modalities


def test_statistics_of_a_constant_have_no_zero_deviation() -> None:
    assert statistics(np.full(3, 7.0)) == (7.0, 1.0)


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(TaskError, match=r"unknown task 'digit'; known: avdigits, digits. Did you mean 'digits'"):
        load_task("digit")


def test_data_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"gone: is not a folder; task 'avdigits' expects one"):
        load_task("avdigits", tmp_path / "gone")


def test_a_task_that_reads_no_folder_refuses_one(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"--data .*: task 'digits' brings its own data and reads no folder.\nLeave"):
        load_task("digits", tmp_path)
