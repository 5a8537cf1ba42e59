"""Begin a run in a folder, or open the one that is there: its terms are fixed then, and checked ever after."""

from __future__ import annotations

import platform
import random
import subprocess
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from nas.blocks.cost import evaluating
from nas.errors import BlockError, NasError, ObjectiveError, RunError, SpaceError, TaskError
from nas.evaluation.border import Failure, within_border
from nas.evaluation.build import build
from nas.evaluation.candidate import candidate_of
from nas.objectives.metrics import needs_training
from nas.pipeline.context import WorkerContext, check_kept_space, context_of, folders
from nas.pipeline.device_change import note_device
from nas.pipeline.run_config import COSTS, check_same, config_from
from nas.pipeline.terms import Terms
from nas.runs.config import RunConfig
from nas.runs.files import RECORD_FILE, SPACE_FILE
from nas.runs.ledger import Ledger, create_ledger, open_ledger
from nas.runs.record import RunRecord, read_record
from nas.runs.storage_url import masked
from nas.space.source import load_space, side_modules, space_from_source
from nas.space.space import Space
from nas.targets import target_from
from nas.tasks import Task, load_table, load_task
from nas.training import find_device
from nas.training.train import tensors

_TRIED = 5
"""Networks that are tried before a space is refused: some of a good one may not fit."""


def begin_run(
    folder: Path, space_file: Path, terms: Terms, storage: str = "", command: str = ""
) -> tuple[Ledger, WorkerContext]:
    """Begin a run in a folder, or open the one that is there under the terms it was begun with.

    Args:
        folder: The run folder.
        space_file: The space's Python file.
        terms: What is asked of the run.
        storage: URL of a database for the study; default a journal file in the folder.
        command: What is recorded as the command that began the run.

    Raises:
        RunError: If the folder's run was begun with other terms.
        BlockError: If no network of the space fits the task.
        NasError: If a term is wrong by itself.
    """
    space_file = space_file.absolute()
    space = load_space(space_file)
    if (folder / RECORD_FILE).exists():
        begun = read_record(folder)
        asked = config_from(terms, begun)
        check_same(folder, begun, asked)
        _check_same_space(folder, begun, space)
        ledger, context = open_run(folder, terms.get("data"), storage)
        context = replace(context, target=target_from(asked.target))
        note_device(ledger, context.target)
        return ledger, context
    modules = side_modules(space_file)
    config = config_from(terms)
    task = _load_task(config)
    _check_scores(task, config)
    _check_fits(space, task, config.seed, folder)
    record = _record(folder, config, space, space_file, task, storage, command)
    source = space_file.read_text(encoding="utf-8")
    ledger = create_ledger(folder, record, source, storage_url=storage, modules=modules)
    return ledger, context_of(ledger, task)


def open_run(folder: Path, data: str | Path | None = None, storage: str = "") -> tuple[Ledger, WorkerContext]:
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
    check_kept_space(ledger)
    kept = record.data if record.label or Path(record.data).exists() else ""
    task = _load_task(replace(record, data=str(data or kept)))
    if task.fingerprint != record.task_fingerprint:
        raise RunError(
            f"{folder}: the data of task {record.task!r} differ from those that the run was begun with "
            f"(fingerprint {task.fingerprint}, was {record.task_fingerprint}).",
            "Give the folder or table it was begun with: --data.",
        )
    return ledger, context_of(ledger, task)


def _check_scores(task: Task, config: RunConfig) -> None:
    """Refuse objectives and limits on trained weights that the task's output does not have.

    Raises:
        ObjectiveError: If there is one; names those it has.
    """
    for name in (*config.objectives, *(limit.metric for limit in config.parsed_limits)):
        if needs_training(name) and name not in task.output.scores:
            raise ObjectiveError(
                f"{name}: is no metric of task {task.name!r}, which predicts a {type(task.output).__name__}; "
                f"it has {', '.join(task.output.scores)}."
            )


def versions() -> Mapping[str, str]:
    """The versions of this package, of Python and of the packages that results may depend on."""
    packages = ("nas", "torch", "onnx", "onnxruntime", "optuna", "ray", "numpy", "torch-pruning")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _record(
    folder: Path, config: RunConfig, space: Space, space_file: Path, task: Task, storage: str, command: str
) -> RunRecord:
    objectives = config.objectives or (task.output.main, *COSTS)
    found = replace(config, task=task.name, data=config.data or str(task.folder or ""), objectives=objectives)
    terms: dict[str, Any] = {f.name: getattr(found, f.name) for f in fields(found)}
    return RunRecord(
        **terms,
        name=folder.resolve().name,
        command=masked(command),
        space_file=str(space_file),
        space_fingerprint=space.fingerprint,
        task_fingerprint=task.fingerprint,
        output=task.output.description,
        scores=task.output.scores,
        storage=storage.split(":", 1)[0].split("+", 1)[0] if storage else "journal",
        versions=versions(),
        revision=_revision(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        id=uuid4().hex,
        notes=(*task.notes, *find_device().notes),
        device=target_from(config.target).fingerprint(),
    )


def _check_same_space(folder: Path, begun: RunRecord, space: Space) -> None:
    """Refuse a space that is not the run's, and say what is different; the fingerprints if its own cannot be read."""
    if space.fingerprint == begun.space_fingerprint:
        return
    try:
        source = (folder / SPACE_FILE).read_text(encoding="utf-8")
        changes = space.changes(space_from_source(source, Path(begun.space_file), folders(folder, begun.space_file)))
    except (OSError, UnicodeDecodeError, SpaceError):
        changes = []
    lines = changes or [f"fingerprint: {begun.space_fingerprint} -> {space.fingerprint}"]
    raise RunError(
        "\n  ".join([f"{folder}: was begun with another space; since then:", *lines]),
        f"Go on with its own space, {folder / SPACE_FILE}, or begin another run in another folder.",
    )


def _check_fits(space: Space, task: Task, seed: int, folder: Path) -> None:
    """Build and run one network of a space for a task, before many are trained.

    Raises:
        BlockError: If none of a few fits; says what is wrong with the last one.
        TrainingError: If the space does not describe networks.
    """
    rng = random.Random(seed)

    def try_one() -> bool:
        module = build(candidate_of(space.sample(rng).network).network, task, seed)
        with evaluating(module), torch.inference_mode():
            module(*(x[:2].float() for x in tensors(module, task.train)[0]))
        return True

    failures: list[Failure] = []
    while len(failures) < _TRIED:
        result = within_border(try_one, folder)
        if not isinstance(result, Failure):
            return
        failures.append(result)
    error = failures[-1].error
    if isinstance(error, SpaceError):
        raise error
    modalities = ", ".join(f"{name} {modality.shape}" for name, modality in task.modalities.items())
    ours = error if isinstance(error, NasError) else BlockError(failures[-1].reason)
    raise type(ours)(
        f"the space does not fit task {task.name!r} with {modalities}: {ours.message}",
        ours.hint or "Name its modalities in the space's encoders, or search another task.",
    ) from error


def _load_task(config: RunConfig) -> Task:
    """The task that a config names, from the data that it names."""
    if not config.label:
        return load_task(config.task, Path(config.data) if config.data else None)
    if not config.data:
        raise TaskError(
            f"--label {', '.join(config.label)}: names a column, but no table is given.", "Give --data TABLE.csv."
        )
    return load_table(Path(config.data), config.label)


def _revision() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return found.stdout.strip()
