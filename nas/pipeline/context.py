"""What every worker of a run needs, and where the space of a run comes from once it has begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas.errors import RunError, SpaceError
from nas.evaluation.allowance import Allowance
from nas.evaluation.assess import Measure
from nas.evaluation.context import EvaluationContext
from nas.objectives.objective import Limit
from nas.runs.files import RECORD_FILE, SPACE_FILE, check_types
from nas.runs.ledger import Ledger
from nas.space.source import MODULES_FOLDER, space_from_source
from nas.space.space import Space
from nas.targets import Target, target_from
from nas.tasks import Task
from nas.training import Training, training_from


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
        allowance: What one candidate may take of time and memory.
        wanted: Metrics that the run seeks.
    """

    space_source: str
    space_file: Path
    task: Task
    target: Target
    training: Training
    limits: tuple[Limit, ...]
    folder: Path
    allowance: Allowance = Allowance()
    wanted: frozenset[str] = frozenset()

    def space(self) -> Space:
        """The space, made from its text and the modules that the run keeps; once in each process."""
        return self._space

    @cached_property
    def _space(self) -> Space:
        return space_from_source(self.space_source, self.space_file, folders(self.folder, self.space_file))

    def evaluation(self, measure: Measure | None) -> EvaluationContext:
        """What candidates are evaluated under."""
        return EvaluationContext(self.task, self.training, self.limits, measure, self.allowance, wanted=self.wanted)

    def __getstate__(self) -> Mapping[str, Any]:
        """The attributes alone: each process makes the space for itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def target_of(ledger: Ledger) -> Target:
    """The target of a run.

    Raises:
        RunError: If what is kept of it is damaged.
        TargetError: If its kind is unknown.
    """
    try:
        target = target_from(ledger.record.target)
        check_types(target)
    except (KeyError, TypeError) as error:
        raise RunError(f"{ledger.folder / RECORD_FILE}: is damaged: target: {error}.") from None
    return target


def context_of(ledger: Ledger, task: Task) -> WorkerContext:
    """What workers need of a run that is open.

    Raises:
        RunError: If its training or its target is damaged.
        TargetError: If its kind of target is unknown.
    """
    record, target = ledger.record, target_of(ledger)
    try:
        training = training_from(record.training)
    except (KeyError, TypeError) as error:
        raise RunError(f"{ledger.folder / RECORD_FILE}: is damaged: training: {error}.") from None
    return WorkerContext(
        ledger.space_source,
        Path(record.space_file),
        task,
        target,
        training,
        record.parsed_limits,
        ledger.folder.resolve(),
        wanted=frozenset(record.sought),
    )


def check_kept_space(ledger: Ledger) -> None:
    """Refuse a run whose own copy of its space was changed, or needs another version of the package.

    Raises:
        RunError: If it was, or does.
    """
    record, file = ledger.record, ledger.folder / SPACE_FILE
    try:
        source = ledger.space_source
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: cannot be read: {error}.") from None
    try:
        space = space_from_source(source, Path(record.space_file), folders(ledger.folder, record.space_file))
    except SpaceError as error:
        if _is_of_another_version(error.__cause__):
            raise _other_version(file, error, record.versions.get("nas", "")) from error
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


def _is_of_another_version(error: BaseException | None) -> bool:
    """Whether an error is of a name that this package does not have."""
    if isinstance(error, AttributeError):
        name = getattr(error.obj, "__name__", "") if error.obj is not None else ""
    else:
        name = (error.name or "") if isinstance(error, ImportError) else ""
    return name.partition(".")[0] == "nas"


def _other_version(file: Path, error: SpaceError, begun: str) -> RunError:
    return RunError(
        f"{file}, the run's copy of its space, uses a name that nas {version('nas')} does not have: {error.message}. "
        f"The run was begun with nas {begun or 'of an unknown version'}.",
        "Open it with the version that it was begun with, or begin another run with a space that names today's parts.",
    )
