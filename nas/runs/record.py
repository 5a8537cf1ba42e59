"""The terms of a run, as `run.json` keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from nas.errors import ObjectiveError, RunError
from nas.objectives.objective import Limit, Objective, parse_limit, parse_objective
from nas.runs.files import RECORD_FILE, check_types


@dataclass(frozen=True)
class RunRecord:
    """The terms of a run, fixed when it begins; `run.json`.

    Attributes:
        name: The folder's name.
        command: The command or call that began it.
        space_file: Where the space's file was; its text is kept in `space.py`, modules beside it in `modules/`.
        space_fingerprint: `Space.fingerprint`.
        task: Name of the task.
        data: Where the data folder or table was; may be empty.
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
        id: Of this run alone; its study bears it too. Empty in runs of before there was one.
        notes: What was left out of the data or changed in them, told when the run began.
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
    id: str = ""
    notes: tuple[str, ...] = ()

    @property
    def parsed_objectives(self) -> tuple[Objective, ...]:
        """The objectives as values."""
        return tuple(parse_objective(text) for text in self.objectives)

    @property
    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits as values."""
        return tuple(parse_limit(text) for text in self.limits)

    @property
    def main(self) -> str:
        """The metric by which models are chosen where nothing else is said."""
        return "accuracy"

    @property
    def scores(self) -> tuple[str, ...]:
        """All metrics of trained weights that the run's models have, the main one first."""
        return ("accuracy",)

    @property
    def sought(self) -> tuple[str, ...]:
        """What matters in this run: the main metric, the objectives, and what bears a limit; each once."""
        return tuple(dict.fromkeys((self.main, *self.objectives, *(limit.metric for limit in self.parsed_limits))))


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
        known |= {name: tuple(known[name]) for name in ("objectives", "limits", "notes") if name in known}
        record = RunRecord(**known)
        check_types(record)
        _ = record.parsed_objectives, record.parsed_limits
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{folder}: there is no run here ({RECORD_FILE} is missing).", "Begin one: nas search."
        ) from None
    except ObjectiveError as error:
        raise RunError(f"{file}: is damaged: {error.message}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{file}: is damaged: {type(error).__name__}: {error}.") from None
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}.") from None
    return record
