"""The terms of a run: fixed when it begins, checked whenever it is opened again."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas.devices import Target, load_target
from nas.errors import RunError, SpaceError, TaskError
from nas.ledger import RECORD_FILE, SPACE_FILE, Ledger, RunRecord, create_ledger, open_ledger, read_record
from nas.objective import Limit, parse_limit, parse_objective
from nas.space import Space
from nas.space_file import load_space, space_from_source
from nas.tasks import Task, load_table, load_task
from nas.training import Training, check_proxy, training_from

OBJECTIVES = ("accuracy", "latency_ms", "size_bytes")
"""Of a run that names none."""


@dataclass(frozen=True)
class Asked:
    """What a command asks of a run; None is as the run was begun, or the default of a new one.

    Attributes:
        task: Name of a built-in task; default `digits`.
        data: Data folder of the task, or with `label` a table.
        label: The table's column to predict.
        objectives: Metrics; default `OBJECTIVES`.
        limits: For example `latency_ms<=2`.
        target: Name of the target; default `local`.
        sampler: Name of the sampler; default `surrogate`.
        seed: Seed of everything random; default 0.
        training: How long and how candidates are trained.
        screen: Name of the proxy that chooses among proposals; default none.
        proposals: How many it chooses from; default 8.
    """

    task: str | None = None
    data: str | Path | None = None
    label: str | None = None
    objectives: Sequence[str] | None = None
    limits: Sequence[str] | None = None
    target: str | None = None
    sampler: str | None = None
    seed: int | None = None
    training: Training | None = None
    screen: str | None = None
    proposals: int | None = None


@dataclass(frozen=True)
class Context:
    """What every worker of a run needs; shipped once.

    Attributes:
        space_source: Text of the space's file.
        space_file: Its name, for errors and imports from its folder.
        task: What is learnt.
        target: What latency is measured on.
        training: How long and how candidates are trained.
        limits: Bounds on metrics.
        folder: The run folder, which workers write to.
    """

    space_source: str
    space_file: Path
    task: Task
    target: Target
    training: Training
    limits: tuple[Limit, ...]
    folder: Path

    def space(self) -> Space:
        """The space, made from its text."""
        return space_from_source(self.space_source, self.space_file)


def begin_run(
    folder: Path, space_file: Path, asked: Asked, storage: str = "", command: str = ""
) -> tuple[Ledger, Context]:
    """Begin a run in a folder, or open the one that is there under the terms it was begun with.

    Args:
        folder: The run folder.
        space_file: The space's Python file.
        asked: The terms.
        storage: URL of a database for the study; default a journal file in the folder.
        command: What is recorded as the command that began the run.

    Raises:
        RunError: If the folder's run was begun with other terms.
        NasError: If a term is wrong by itself.
    """
    space = load_space(space_file)
    begun = read_record(folder) if (folder / RECORD_FILE).exists() else None
    terms = _checked(asked)
    if begun is not None:
        _same_terms(folder, begun, terms)
        _same_space(folder, begun, space)
        return open_run(folder, asked.data, storage)
    task = _load_task(asked.task, asked.data, asked.label)
    seed = asked.seed or 0
    defaults: dict[str, Any] = {
        "label": "",
        "objectives": OBJECTIVES,
        "limits": (),
        "target": "local",
        "sampler": "surrogate",
        "training": asdict(Training(seed=seed)),
        **{name: value for name, value in terms.items() if value is not None},
        "seed": seed,
        "task": task.name,
    }
    record = RunRecord(
        name=folder.resolve().name,
        command=command,
        space_file=str(space_file),
        space_fingerprint=space.fingerprint,
        data=str(asked.data or ""),
        task_fingerprint=task.fingerprint,
        storage=storage.split(":", 1)[0].split("+", 1)[0] if storage else "journal",
        versions=versions(),
        revision=_revision(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        **defaults,
    )
    ledger = create_ledger(folder, record, space_file.read_text(encoding="utf-8"), storage_url=storage)
    return ledger, _context(ledger, task)


def open_run(folder: Path, data: str | Path | None = None, storage: str = "") -> tuple[Ledger, Context]:
    """Open the run in a folder.

    Args:
        folder: The run folder.
        data: Where its data are now, if not where they were.
        storage: URL of the database that holds its study, if one does.

    Raises:
        RunError: If there is no run, or its data are not those it was begun with.
        TaskError: If its data are missing.
    """
    ledger = open_ledger(folder, storage_url=storage)
    record = ledger.record
    task = _load_task(None if record.label else record.task, data or record.data or None, record.label or None)
    if task.fingerprint != record.task_fingerprint:
        raise RunError(
            f"{folder}: the data of task {record.task!r} differ from those that the run was begun with "
            f"(fingerprint {task.fingerprint}, was {record.task_fingerprint}).",
            "Give the folder or table it was begun with: --data.",
        )
    return ledger, _context(ledger, task)


def versions() -> Mapping[str, str]:
    """The versions of Python and of the packages that results may depend on."""
    packages = ("torch", "onnx", "onnxruntime", "optuna", "ray", "numpy", "torch-pruning")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _context(ledger: Ledger, task: Task) -> Context:
    record = ledger.record
    return Context(
        ledger.space_source,
        Path(record.space_file),
        task,
        load_target(record.target),
        training_from(record.training),
        record.parsed_limits,
        ledger.folder.resolve(),
    )


def _checked(asked: Asked) -> dict[str, Any]:
    """The terms that were asked for, in the form they are recorded in, each checked by itself."""
    return {
        "task": asked.task if asked.label is None else None,
        "label": asked.label,
        "objectives": None if asked.objectives is None else tuple(parse_objective(o).metric for o in asked.objectives),
        "limits": None if asked.limits is None else tuple(str(parse_limit(text)) for text in asked.limits),
        "target": None if asked.target is None else load_target(asked.target).name,
        "sampler": asked.sampler,
        "seed": asked.seed,
        "training": None if asked.training is None else asdict(asked.training),
        "screen": None if asked.screen is None else check_proxy(asked.screen),
        "proposals": asked.proposals,
    }


def _same_terms(folder: Path, begun: RunRecord, terms: Mapping[str, Any]) -> None:
    for name, value in terms.items():
        was = getattr(begun, name)
        if value is not None and value != was:
            raise RunError(
                f"{folder}: was begun with {name.replace('_', ' ')} {_readable(was)}, not {_readable(value)}.",
                "Go on with its own terms, or begin another run in another folder.",
            )


def _same_space(folder: Path, begun: RunRecord, space: Space) -> None:
    """Refuse a space that is not the run's, and say what is different; the fingerprints if its own cannot be read."""
    if space.fingerprint == begun.space_fingerprint:
        return
    try:
        source = (folder / SPACE_FILE).read_text(encoding="utf-8")
        changes = space.changes(space_from_source(source, Path(begun.space_file)))
    except (OSError, UnicodeDecodeError, SpaceError):
        changes = []
    lines = changes or [f"fingerprint: {begun.space_fingerprint} -> {space.fingerprint}"]
    raise RunError(
        "\n  ".join([f"{folder}: was begun with another space; since then:", *lines]),
        f"Go on with its own space, {folder / SPACE_FILE}, or begin another run in another folder.",
    )


def _load_task(name: str | None, data: str | Path | None, label: str | None) -> Task:
    if label is None:
        return load_task(name or "digits", Path(data) if data is not None else None)
    if data is None:
        raise TaskError(f"--label {label}: names a column, but no table is given.", "Give --data TABLE.csv.")
    return load_table(Path(data), label)


def _revision() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return found.stdout.strip()


def _readable(value: Any) -> str:
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "none"
