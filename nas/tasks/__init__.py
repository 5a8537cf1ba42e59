"""What is learnt: built-in tasks by name, and the user's own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from nas.errors import TaskError, unknown
from nas.tasks.builtin.avdigits import load_avdigits
from nas.tasks.builtin.digits import load_digits
from nas.tasks.data.table import load_table, prove_preparation
from nas.tasks.outputs import (
    Binary,
    Classification,
    Embedding,
    MultiLabel,
    MultiTask,
    Output,
    Regression,
    output_from,
)
from nas.tasks.task import Modality, Source, Split, Task

__all__ = [
    "TASKS",
    "Binary",
    "Classification",
    "Embedding",
    "Modality",
    "MultiLabel",
    "MultiTask",
    "Output",
    "Regression",
    "Source",
    "Split",
    "Task",
    "load_table",
    "load_task",
    "output_from",
    "prove_preparation",
]


def _digits(data: Path | None) -> Task:
    if data is not None:
        raise TaskError(
            f"--data {data}: task 'digits' brings its own data and reads no folder.",
            "Leave --data out, or name the task that the folder is for with --task.",
        )
    return load_digits()


TASKS: Mapping[str, Callable[[Path | None], Task]] = {"digits": _digits, "avdigits": load_avdigits}
"""Every built-in task: name → loader, which is given the data folder."""


def load_task(name: str, data: Path | None = None) -> Task:
    """Load a built-in task.

    Args:
        name: Its name.
        data: Folder of data that the project does not bring along.

    Raises:
        TaskError: If the task is not known, its data are missing or damaged, or it reads no folder and is given one.
    """
    if name not in TASKS:
        raise TaskError(unknown("task", name, TASKS))
    if data is not None and not data.is_dir():
        raise TaskError(
            f"--data {data}: is not a folder; task {name!r} expects one.", "For a table give --label COLUMN too."
        )
    return TASKS[name](data)
