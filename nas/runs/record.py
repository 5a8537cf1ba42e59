"""What `run.json` keeps of a run: its terms, and what was found when it began."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from nas.errors import ObjectiveError, RunError
from nas.objectives.metrics import MEASURED, metric
from nas.runs.config import RunConfig
from nas.runs.files import RECORD_FILE, check_types


@dataclass(frozen=True, kw_only=True)
class RunRecord(RunConfig):
    """The terms of a run, fixed when it begins, and what was found then; `run.json`.

    Attributes:
        name: The folder's name.
        command: The command or call that began it.
        space_file: Where the space's file was; its text is kept in `space.py`, modules beside it in `modules/`.
        space_fingerprint: `Space.fingerprint`.
        task_fingerprint: `Task.fingerprint`.
        output: What is predicted, as `Output.description` says it.
        scores: Its metrics, the main one first.
        storage: `journal`, or the kind of database that holds the study.
        versions: Of `nas`, Python and the packages that matter.
        revision: Git revision of the working folder, where there is one.
        created: Local time, ISO 8601.
        id: Of this run alone; its study bears it too. Empty in runs of before there was one.
        notes: What was left out of the data or changed in them, told when the run began; on what GPU it trains,
            if one does; and where it was resumed on another device.
        device: What a latency depends on besides the file, where the run was measured last.
    """

    name: str
    command: str
    space_file: str
    space_fingerprint: str
    task_fingerprint: str
    output: Mapping[str, Any]
    scores: tuple[str, ...]
    storage: str
    versions: Mapping[str, str]
    revision: str
    created: str
    id: str = ""
    notes: tuple[str, ...] = ()
    device: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def main(self) -> str:
        """The metric by which models are chosen where nothing else is said."""
        return self.scores[0]

    @property
    def sought(self) -> tuple[str, ...]:
        """What matters in this run: the main metric, the objectives, and what bears a limit; each once."""
        return tuple(dict.fromkeys((self.main, *self.objectives, *(limit.metric for limit in self.parsed_limits))))

    @property
    def is_timed(self) -> bool:
        """Whether an objective or a limit is on a time on the target; the search times nothing otherwise."""
        return bool(set(self.sought) & set(MEASURED))


def read_record(folder: Path) -> RunRecord:
    """Read what is kept of a run.

    Raises:
        RunError: If the folder holds no run, or `run.json` is damaged.
    """
    file = folder / RECORD_FILE
    try:
        record = record_from(json.loads(file.read_text(encoding="utf-8")))
        _ = record.parsed_objectives, record.parsed_limits, record.main, [metric(name) for name in record.scores]
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{folder}: there is no run here ({RECORD_FILE} is missing).", "Begin one: nas search."
        ) from None
    except ObjectiveError as error:
        raise RunError(f"{file}: is damaged: {error.message}") from None
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise RunError(f"{file}: is damaged: {type(error).__name__}: {error}.") from None
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}.") from None
    return record


def record_from(values: Mapping[str, Any]) -> RunRecord:
    """Make a record of what JSON gave; what came into `run.json` later may be missing, and is then as it was before.

    Raises:
        KeyError: If a field is missing.
        TypeError: If one has another type.
    """
    known: dict[str, Any] = {
        f.name: values[f.name]
        for f in fields(RunRecord)
        if f.name in values or f.default is f.default_factory is MISSING
    }
    kinds = get_type_hints(RunRecord)
    known |= {name: tuple(value) for name, value in known.items() if get_origin(kinds[name]) is tuple}
    record = RunRecord(**known)
    check_types(record)
    return record
