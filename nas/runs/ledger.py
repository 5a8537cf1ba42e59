"""The record of a run: a folder with an Optuna study in it, read and written here only.

The study is the truth about trials; `run.json` says under which terms they were made; `models/` holds what was
refined and compressed afterwards, one folder a model. Everything that a search needs to go on is in here.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import RunError, cleaned
from nas.runs.files import RECORD_FILE, SPACE_FILE, write_json
from nas.runs.models import STAGES_FOLDER, Model, read_model
from nas.runs.record import RunRecord, read_record
from nas.runs.storage import DAMAGE, JOURNAL, damaged, masked, open_storage
from nas.space.choices import Label
from nas.space.source import MODULES_FOLDER

State = Literal["running", "complete", "infeasible", "stopped", "failed", "duplicate", "abandoned"]
"""`stopped`: on its way, by a scheduler. `duplicate`: answered from the ledger; `abandoned`: the driver died before the
proposal was whole; neither counts."""

_AGAIN = "measured again: "
_RUN = "run"
"""Attribute of a study that says whose it is."""


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


class Ledger:
    """An open run folder.

    Attributes:
        folder: The run folder.
        record: The terms of the run.
        study: The Optuna study that holds the trials.
    """

    def __init__(self, folder: Path, record: RunRecord, study: optuna.Study) -> None:
        self.folder = folder.absolute()
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
        """All refined and compressed models, by name.

        Raises:
            RunError: If a `model.json` is damaged; names it.
        """
        return [read_model(file.parent) for file in sorted(self.folder.glob("models/*/model.json"))]

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

    def fail(self, number: int, reason: str, metrics: Mapping[str, Any] | None = None) -> None:
        """Tell that a trial failed, why, and what was measured before."""
        self._annotate(number, metrics=dict(metrics or {}), reason=reason)
        self.study.tell(number, state=TrialState.FAIL)

    def stop(self, number: int, metrics: Mapping[str, Any], reason: str) -> None:
        """Tell that a trial was stopped while it trained, and why; to a sampler it is one that breaks a limit."""
        self._annotate(number, metrics=dict(metrics), reason=reason, stopped=True)
        self.study.tell(number, state=TrialState.PRUNED)

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
            self.study.tell(number, state=TrialState.FAIL if original.state == "failed" else TrialState.PRUNED)

    def discard_weights(self, number: int) -> None:
        """Delete the large files of a trial that left the front; what describes it stays."""
        for name in ("weights.safetensors", "model.onnx"):
            (self.trial_folder(number) / name).unlink(missing_ok=True)
        shutil.rmtree(self.trial_folder(number) / STAGES_FOLDER, ignore_errors=True)

    def discard_draft(self, number: int) -> None:
        """Delete what a trial without a result left behind."""
        shutil.rmtree(self.trial_folder(number).with_name(f"{number}.part"), ignore_errors=True)

    def forget(self) -> None:
        """Take back a run that was begun and has no trial: the folder holds no run any more, a database no study."""
        if self.record.storage != "journal":
            optuna.delete_study(study_name=self.record.name, storage=self.study._storage)  # pyright: ignore
        (self.folder / RECORD_FILE).unlink()

    def keep(self, record: RunRecord) -> None:
        """Keep a record in the place of the run's own: only where it is measured, and notes, may be others."""
        write_json(self.folder / RECORD_FILE, asdict(record))
        self.record = record

    def _annotate(self, number: int, **attributes: Any) -> None:
        trial_id = self._trial_id(number)
        for name, given in attributes.items():
            value = cleaned(given) if isinstance(given, str) else given
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
    modules: Mapping[str, bytes] | None = None,
) -> Ledger:
    """Begin a run in a folder that does not hold one yet.

    Args:
        folder: The run folder.
        record: The terms.
        space_source: Text of the space's file.
        sampler: Who proposes.
        storage_url: Of a database for the study; default a journal in the folder.
        modules: Of the modules beside the space's file that it needs: path below their folder → content.

    Raises:
        RunError: If the folder holds a run already, the storage cannot be opened or holds a study of this name.
    """
    if (folder / RECORD_FILE).exists():
        raise RunError(f"{folder}: holds a run already.", "Open it, or name another folder.")
    folder = folder.absolute()  # the journal's lock names its place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOURNAL).unlink(missing_ok=True)  # of a run that was killed before it began
    (folder / SPACE_FILE).write_text(space_source, encoding="utf-8")
    for name, content in (modules or {}).items():
        file = folder / MODULES_FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    try:
        study = optuna.create_study(
            storage=open_storage(folder, storage_url),
            study_name=record.name,
            directions=[o.direction for o in record.parsed_objectives],
            sampler=sampler,
        )
        study.set_user_attr(_RUN, record.id)
    except DuplicatedStudyError:
        raise RunError(
            f"storage {masked(storage_url)}: holds a run named {record.name!r} already.",
            "Open that run's folder, or name this one differently: --run.",
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise unanswered(storage_url, error) from None
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
        RunError: If there is no run, its record or study is damaged, they belong to different runs, or its study lies
            in a database that was not named.
    """
    folder = folder.absolute()  # the journal's lock names its place
    record = read_record(folder)
    if record.storage != "journal" and not storage_url:
        raise RunError(
            f"{folder}: its study lies in a {record.storage} database, and none was named.", "Give --storage URL."
        )
    if record.storage == "journal" and storage_url:
        raise RunError(
            f"{folder}: its study lies in {JOURNAL}, not in {masked(storage_url)}.",
            "Leave out --storage, or unset NAS_STORAGE.",
        )
    try:
        study = optuna.load_study(storage=open_storage(folder, storage_url), study_name=record.name, sampler=sampler)
        _check_study(folder, record, study)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise unanswered(storage_url, error) from None
    except KeyError:
        raise RunError(f"{folder}: the storage holds no study named {record.name!r}.") from None
    except DAMAGE as error:
        if isinstance(error, RunError) or storage_url:
            raise
        raise damaged(folder / JOURNAL, f"{type(error).__name__}: {error}") from None
    return Ledger(folder, record, study)


def _check_study(folder: Path, record: RunRecord, study: optuna.Study) -> None:
    """Check that a study is the one that a record's run began, with its objectives."""
    if study.user_attrs.get(_RUN, record.id) != record.id:
        raise RunError(f"{folder}: the study {record.name!r} is another run's of the same name.", _OWN)
    directions = [direction.name.lower() for direction in study.directions]
    if directions != [objective.direction for objective in record.parsed_objectives]:
        raise RunError(
            f"{folder / RECORD_FILE}: has objectives {', '.join(record.objectives)}; its study has {len(directions)} "
            f"to {' and '.join(directions)}.",
            _OWN,
        )


def unanswered(url: str, error: Exception) -> RunError:
    """Say that a database does not answer; its password is not shown."""
    told = str(error).splitlines()[0].replace(url, masked(url))
    return RunError(f"the storage {masked(url)} does not answer: {told}", "Look whether it runs, and go on.")


_OWN = "Give the storage and the folder that belong together, as they were when the run began."


def _read(trial: FrozenTrial, again: Mapping[str, Any]) -> Trial:
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "infeasible",
        TrialState.FAIL: "failed",
    }
    duplicate_of = trial.user_attrs.get("duplicate_of")
    state = states.get(trial.state, "running")
    if state == "running":  # what is said of it is not told yet: its writer was killed between the two
        duplicate_of = None
    elif duplicate_of is not None:
        state = "duplicate"
    elif trial.user_attrs.get("abandoned"):
        state = "abandoned"
    elif trial.user_attrs.get("stopped"):
        state = "stopped"
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
