"""The terms of a run: fixed when it begins, checked whenever it is opened again."""

from __future__ import annotations

import platform
import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from nas.blocks.cost import evaluating
from nas.errors import BlockError, NasError, RunError, SpaceError, TaskError
from nas.evaluation.assess import Measure
from nas.evaluation.border import Failure, within_border
from nas.evaluation.build import build
from nas.evaluation.context import EvaluationContext
from nas.objectives.objective import Limit, parse_limit, parse_objective
from nas.runs.files import RECORD_FILE, SPACE_FILE
from nas.runs.ledger import Ledger, create_ledger, open_ledger
from nas.runs.record import RunRecord, read_record
from nas.runs.storage_url import masked
from nas.space.source import MODULES_FOLDER, load_space, side_modules, space_from_source
from nas.space.space import Space
from nas.targets import Target, load_target
from nas.tasks import Task, load_table, load_task
from nas.training import Training, check_proxy, training_from
from nas.training.train import tensors

OBJECTIVES = ("accuracy", "latency_ms", "size_bytes")
"""Of a run that names none."""

_TRIED = 5
"""Networks that are tried before a space is refused: some of a good one may not fit."""


@dataclass(frozen=True)
class RunConfig:
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
        epochs: Epochs of each trial, of a training that is otherwise the default's.
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
    epochs: int | None = None
    screen: str | None = None
    proposals: int | None = None


@dataclass(frozen=True)
class WorkerContext:
    """What every worker of a run needs; shipped once.

    Attributes:
        space_source: Text of the space's file.
        space_file: Where it was when the run began, for errors.
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
        """The space, made from its text and the modules that the run keeps."""
        return space_from_source(self.space_source, self.space_file, folders(self.folder, self.space_file))

    def evaluation(self, measure: Measure | None) -> EvaluationContext:
        """What candidates are evaluated under."""
        return EvaluationContext(self.task, self.training, self.limits, measure)


def begin_run(
    folder: Path, space_file: Path, asked: RunConfig, storage: str = "", command: str = ""
) -> tuple[Ledger, WorkerContext]:
    """Begin a run in a folder, or open the one that is there under the terms it was begun with.

    Args:
        folder: The run folder.
        space_file: The space's Python file.
        asked: The terms.
        storage: URL of a database for the study; default a journal file in the folder.
        command: What is recorded as the command that began the run.

    Raises:
        RunError: If the folder's run was begun with other terms.
        BlockError: If no network of the space fits the task.
        NasError: If a term is wrong by itself.
    """
    begun = read_record(folder) if (folder / RECORD_FILE).exists() else None
    space_file = space_file.absolute()
    space = load_space(space_file)
    terms = _checked(asked)
    if begun is not None:
        _same_terms(folder, begun, terms)
        _same_space(folder, begun, space)
        return open_run(folder, asked.data, storage)
    modules = side_modules(space_file)
    task = _load_task(asked.task, asked.data, asked.label)
    seed = asked.seed or 0
    _check_fits(space, task, seed, folder)
    record = RunRecord(
        name=folder.resolve().name,
        command=masked(command),
        space_file=str(space_file),
        space_fingerprint=space.fingerprint,
        task=task.name,
        data=str(Path(asked.data).absolute()) if asked.data else "",
        label=asked.label or "",
        task_fingerprint=task.fingerprint,
        objectives=terms["objectives"] or OBJECTIVES,
        limits=terms["limits"] or (),
        target=terms["target"] or "local",
        sampler=asked.sampler or "surrogate",
        seed=seed,
        training=asdict(asked.training or Training(seed=seed, epochs=asked.epochs or Training().epochs)),
        storage=storage.split(":", 1)[0].split("+", 1)[0] if storage else "journal",
        versions=versions(),
        revision=_revision(),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        screen=asked.screen or "",
        proposals=asked.proposals or RunRecord.proposals,
        id=uuid4().hex,
        notes=task.notes,
    )
    source = space_file.read_text(encoding="utf-8")
    ledger = create_ledger(folder, record, source, storage_url=storage, modules=modules)
    return ledger, _context(ledger, task)


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
    _check_kept_space(ledger)
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


def _context(ledger: Ledger, task: Task) -> WorkerContext:
    record = ledger.record
    try:
        training = training_from(record.training)
    except (KeyError, TypeError) as error:
        raise RunError(f"{ledger.folder / RECORD_FILE}: is damaged: training: {error}.") from None
    return WorkerContext(
        ledger.space_source,
        Path(record.space_file),
        task,
        load_target(record.target),
        training,
        record.parsed_limits,
        ledger.folder.resolve(),
    )


def _checked(asked: RunConfig) -> dict[str, Any]:
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
        "epochs": asked.epochs,
        "screen": None if asked.screen is None else check_proxy(asked.screen),
        "proposals": asked.proposals,
    }


def _same_terms(folder: Path, begun: RunRecord, terms: Mapping[str, Any]) -> None:
    for name, value in terms.items():
        was = begun.training.get("epochs") if name == "epochs" else getattr(begun, name)
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
        module = build(space.sample(rng).network, task, seed)
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


def _check_kept_space(ledger: Ledger) -> None:
    """Refuse a run whose own copy of its space was changed."""
    record, file = ledger.record, ledger.folder / SPACE_FILE
    try:
        source = ledger.space_source
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read: {error}.") from None
    try:
        space = space_from_source(source, Path(record.space_file), folders(ledger.folder, record.space_file))
    except SpaceError as error:
        raise RunError(f"{file}, the run's copy of its space: {error.message}", error.hint) from error
    if space.fingerprint != record.space_fingerprint:
        raise RunError(
            f"{file}: was changed since the run began (fingerprint {space.fingerprint}, was "
            f"{record.space_fingerprint}).",
            "Put back what was changed, or begin another run in another folder.",
        )


def folders(run: Path, space_file: str | Path) -> list[Path]:
    """What a run's space imports from: the folder where it was, which may have data too, and the modules that are kept.

    The folder comes first only as long as its modules are what they were.
    """
    kept, folder = run / MODULES_FOLDER, Path(space_file).parent
    pairs = [(file, folder / file.relative_to(kept)) for file in kept.rglob("*.py")]
    is_same = all(theirs.is_file() and theirs.read_bytes() == own.read_bytes() for own, theirs in pairs)
    return [folder, kept] if is_same else [kept, folder]


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
