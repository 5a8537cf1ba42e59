"""The record of a run: a folder with an Optuna study in it, read and written here only.

The study is the truth about trials; `run.json` says under which terms they were made; `models/` holds what was
refined and compressed afterwards, one folder a model. Everything that a search needs to go on is in here.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.choices import Label
from nas.errors import RunError
from nas.objective import Limit, Objective, parse_limit, parse_objective

State = Literal["running", "complete", "infeasible", "failed", "duplicate", "abandoned"]
"""`duplicate`: answered from the ledger; `abandoned`: the driver died before the proposal was whole. Neither counts."""
Stage = Literal["search", "refined", "compressed"]

_AGAIN = "measured again: "
RECORD_FILE = "run.json"
SPACE_FILE = "space.py"


@dataclass(frozen=True)
class RunRecord:
    """The terms of a run, fixed when it begins; `run.json`.

    Attributes:
        name: The folder's name.
        command: The command or call that began it.
        space_file: The space's file as the user named it; its text is kept in `space.py`.
        space_fingerprint: `Space.fingerprint`.
        task: Name of the task.
        data: Data folder or table, as given; may be empty.
        label: The table's column to predict; empty for a built-in task.
        task_fingerprint: `Task.fingerprint`.
        objectives: Metrics, each with its own direction.
        limits: For example `latency_ms<=2`.
        target: Name of the target.
        sampler: Name of the sampler.
        seed: Seed of everything random.
        training: The fields of `Training`.
        storage: `journal`, or the kind of database that holds the study.
        versions: Of Python and of the packages that matter.
        revision: Git revision of the working folder, where there is one.
        created: Local time, ISO 8601.
        screen: Name of the proxy that chooses among proposals; empty for none, as in runs of before there were any.
        proposals: How many it chooses from.
    """

    name: str
    command: str
    space_file: str
    space_fingerprint: str
    task: str
    data: str
    label: str
    task_fingerprint: str
    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    target: str
    sampler: str
    seed: int
    training: Mapping[str, Any]
    storage: str
    versions: Mapping[str, str]
    revision: str
    created: str
    screen: str = ""
    proposals: int = 8

    @property
    def parsed_objectives(self) -> tuple[Objective, ...]:
        """The objectives as values."""
        return tuple(parse_objective(text) for text in self.objectives)

    @property
    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits as values."""
        return tuple(parse_limit(text) for text in self.limits)


@dataclass(frozen=True)
class Trial:
    """One evaluated architecture.

    Attributes:
        number: Its number in the study.
        state: What became of it.
        decisions: The architecture, path → label.
        metrics: All that was measured; objectives among them when complete.
        reason: Why it failed or was refused.
        duplicate_of: The trial that answered it.
        started: Unix time, seconds.
        finished: Unix time, seconds; 0 while running.
    """

    number: int
    state: State
    decisions: Mapping[str, Label]
    metrics: Mapping[str, Any]
    reason: str = ""
    duplicate_of: int | None = None
    started: float = 0.0
    finished: float = 0.0

    @property
    def name(self) -> str:
        """What it is called in pictures and tables."""
        return f"trial {self.number}"


@dataclass(frozen=True)
class Model:
    """A trained network with its files: a refined member of the front, or a compressed sibling of one.

    Attributes:
        name: `<trial>-refined`, or that with the labels of the passes: `12-refined-prune50-int8`.
        trial: The trial whose architecture it has.
        stage: How it came to be.
        passes: Labels of the compression passes, in order.
        parent: The model that it was compressed from.
        decisions: The architecture, path → label.
        metrics: All that was measured.
        folder: Where `model.onnx` and `weights.safetensors` lie.
    """

    name: str
    trial: int
    stage: Stage
    passes: tuple[str, ...]
    parent: str | None
    decisions: Mapping[str, Label]
    metrics: Mapping[str, Any]
    folder: Path


class Ledger:
    """An open run folder.

    Attributes:
        folder: The run folder.
        record: The terms of the run.
        study: The Optuna study that holds the trials.
    """

    def __init__(self, folder: Path, record: RunRecord, study: optuna.Study) -> None:
        self.folder = folder
        self.record = record
        self.study = study

    @property
    def space_source(self) -> str:
        """The text of the space's file as it was when the run began."""
        return (self.folder / SPACE_FILE).read_text(encoding="utf-8")

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial's files."""
        return self.folder / "trials" / str(number)

    def trials(self) -> list[Trial]:
        """All trials in the order of their numbers, without those that are enqueued and not yet asked for."""
        trials, again = self.study.get_trials(deepcopy=False), self.study.user_attrs
        return [
            _read(trial, again.get(f"{_AGAIN}{trial.number}", {}))
            for trial in trials
            if trial.state != TrialState.WAITING
        ]

    def trial(self, number: int) -> Trial:
        """One trial."""
        trial = self.study._storage.get_trial(self._trial_id(number))  # pyright: ignore[reportPrivateUsage]
        return _read(trial, self.study.user_attrs.get(f"{_AGAIN}{number}", {}))

    def models(self) -> list[Model]:
        """All refined and compressed models, by name."""
        files = sorted(self.folder.glob("models/*/model.json"))
        return [_model(json.loads(file.read_text(encoding="utf-8")), file.parent) for file in files]

    def complete(self, number: int, metrics: Mapping[str, Any]) -> None:
        """Tell a trial's metrics; its objective values are taken from them."""
        self._annotate(number, metrics=dict(metrics))
        self.study.tell(number, [float(metrics[o.metric]) for o in self.record.parsed_objectives])

    def refuse(self, number: int, metrics: Mapping[str, Any], reason: str, violations: Mapping[str, float]) -> None:
        """Tell that a trial broke a limit or a constraint, and by how much: shares of the bounds, see `Limit`."""
        self._annotate(number, metrics=dict(metrics), reason=reason)
        trial = optuna.trial.Trial(self.study, self._trial_id(number))
        for limit, amount in violations.items():
            trial.set_constraint(limit, min(amount, 1e300))
        self.study.tell(number, state=TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """Tell that a trial failed, and why."""
        self._annotate(number, reason=reason)
        self.study.tell(number, state=TrialState.FAIL)

    def abandon(self, number: int) -> None:
        """Close a trial whose proposal was cut off before it was whole; it does not count."""
        self._annotate(number, abandoned=True)
        self.study.tell(number, state=TrialState.FAIL)

    def measure_again(self, number: int, metrics: Mapping[str, Any], reason: str = "") -> None:
        """Replace metrics of a complete trial by better measured ones; the study's own values stay as they were told.

        Optuna closes a trial when it is told, so they are kept as an attribute of the study.

        Args:
            number: Of the trial.
            metrics: Those that are replaced.
            reason: Which limit it breaks by them, if one: it is infeasible then.
        """
        before = self.study.user_attrs.get(f"{_AGAIN}{number}", {}).get("metrics", {})
        self.study.set_user_attr(f"{_AGAIN}{number}", {"metrics": {**before, **metrics}, "reason": reason})

    def answer(self, number: int, original: Trial) -> None:
        """Tell a repeated proposal what its first trial told."""
        self._annotate(number, duplicate_of=original.number, metrics=dict(original.metrics), reason=original.reason)
        if original.state == "complete":
            self.study.tell(number, [float(original.metrics[o.metric]) for o in self.record.parsed_objectives])
        else:
            self.study.tell(number, state=TrialState.PRUNED if original.state == "infeasible" else TrialState.FAIL)

    def discard_weights(self, number: int) -> None:
        """Delete the large files of a trial that left the front; what describes it stays."""
        for name in ("weights.safetensors", "model.onnx"):
            (self.trial_folder(number) / name).unlink(missing_ok=True)

    def discard_draft(self, number: int) -> None:
        """Delete what a trial without a result left behind."""
        shutil.rmtree(self.trial_folder(number).with_name(f"{number}.part"), ignore_errors=True)

    def _annotate(self, number: int, **attributes: Any) -> None:
        trial_id = self._trial_id(number)
        for name, value in attributes.items():
            self.study._storage.set_trial_user_attr(trial_id, name, value)  # pyright: ignore[reportPrivateUsage]

    def _trial_id(self, number: int) -> int:
        return self.study._storage.get_trial_id_from_study_id_trial_number(  # pyright: ignore[reportPrivateUsage]
            self.study._study_id,  # pyright: ignore[reportPrivateUsage]
            number,
        )


def create_ledger(
    folder: Path,
    record: RunRecord,
    space_source: str,
    sampler: optuna.samplers.BaseSampler | None = None,
    storage_url: str = "",
) -> Ledger:
    """Begin a run in a folder that does not hold one yet.

    Raises:
        RunError: If the folder holds a run already, or the storage cannot be opened.
    """
    if (folder / RECORD_FILE).exists():
        raise RunError(f"{folder}: holds a run already.", "Open it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPACE_FILE).write_text(space_source, encoding="utf-8")
    study = optuna.create_study(
        storage=_storage(folder, storage_url),
        study_name=record.name,
        directions=[o.direction for o in record.parsed_objectives],
        sampler=sampler,
        load_if_exists=not storage_url,
    )
    name_metrics(study, record.objectives)
    write_json(folder / RECORD_FILE, asdict(record))
    return Ledger(folder, record, study)


def name_metrics(study: optuna.Study, objectives: Sequence[str]) -> None:
    """Name the objectives in the study: samplers are told by it what they are, and the dashboard shows it."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        study.set_metric_names(list(objectives))


def open_ledger(folder: Path, sampler: optuna.samplers.BaseSampler | None = None, storage_url: str = "") -> Ledger:
    """Open the run in a folder.

    Raises:
        RunError: If there is no run, its record is damaged, or its study lies in a database that was not named.
    """
    record = read_record(folder)
    if record.storage != "journal" and not storage_url:
        raise RunError(
            f"{folder}: its study lies in a {record.storage} database, and none was named.", "Give --storage URL."
        )
    try:
        study = optuna.load_study(storage=_storage(folder, storage_url), study_name=record.name, sampler=sampler)
    except KeyError:
        raise RunError(f"{folder}: the storage holds no study named {record.name!r}.") from None
    return Ledger(folder, record, study)


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Hold the run folder for writing; the lock goes with the process, however it ends.

    Raises:
        RunError: If another process is writing to this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another process is writing to this run.", "Wait for it, or end it.") from None
        yield


def read_record(folder: Path) -> RunRecord:
    """Read the terms of a run.

    Raises:
        RunError: If the folder holds no run, or `run.json` is damaged.
    """
    file = folder / RECORD_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        known: dict[str, Any] = {
            f.name: values[f.name] for f in fields(RunRecord) if f.name in values or f.default is MISSING
        }
        known |= {"objectives": tuple(known["objectives"]), "limits": tuple(known["limits"])}
    except FileNotFoundError:
        raise RunError(
            f"{folder}: there is no run here ({RECORD_FILE} is missing).", "Begin one: nas search."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is damaged: {type(error).__name__}: {error}.") from None
    return RunRecord(**known)


def write_model(folder: Path, model: Model) -> None:
    """Write `model.json` last and at once, so that a model that is listed is complete."""
    values = {f.name: getattr(model, f.name) for f in fields(model) if f.name != "folder"}
    write_json(folder / "model.json", values)


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, whole.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(file)


def replace_folder(source: Path, destination: Path) -> None:
    """Put a finished folder in the place of an older one."""
    if destination.exists():
        shutil.rmtree(destination)
    source.replace(destination)


def _model(values: Mapping[str, Any], folder: Path) -> Model:
    fields: dict[str, Any] = {**values, "passes": tuple(values["passes"]), "folder": folder}
    return Model(**fields)


def _storage(folder: Path, url: str) -> BaseStorage:
    if not url:
        journal = folder / "journal.log"
        _drop_half_line(journal)
        return JournalStorage(JournalFileBackend(str(journal)))
    try:
        return optuna.storages.get_storage(url)
    except (ValueError, ImportError, SQLAlchemyError, StorageInternalError) as error:
        raise RunError(f"storage {url.split('@')[-1]}: {error}") from None


def _drop_half_line(journal: Path) -> None:
    """Cut a line that a killed writer or a full disk left unfinished: Optuna would refuse all that follows it."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)


def _read(trial: FrozenTrial, again: Mapping[str, Any]) -> Trial:
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "infeasible",
        TrialState.FAIL: "failed",
    }
    duplicate_of = trial.user_attrs.get("duplicate_of")
    state = states.get(trial.state, "running")
    if duplicate_of is not None:
        state = "duplicate"
    elif trial.user_attrs.get("abandoned"):
        state = "abandoned"
    elif again.get("reason"):
        state = "infeasible"
    return Trial(
        number=trial.number,
        state=state,
        decisions=trial.params,
        metrics={**trial.user_attrs.get("metrics", {}), **again.get("metrics", {})},
        reason=again.get("reason") or trial.user_attrs.get("reason", ""),
        duplicate_of=duplicate_of,
        started=trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
        finished=trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0,
    )
