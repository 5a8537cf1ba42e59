"""Where a run's latencies are measured, and what is said when it goes on somewhere else.

Nothing is measured anew then: each latency bears the device it is of, and is measured again only there.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from nas.errors import DeviceWarning
from nas.pipeline.run_config import differences
from nas.runs.ledger import Ledger
from nas.targets import Target, target_values


def note_device(ledger: Ledger, target: Target) -> None:
    """Keep with a run where its latencies are measured from now on; where that is not as before, note and warn of it.

    Args:
        ledger: Of the run, which must be held for writing.
        target: What it is measured on from now on.

    Raises:
        TargetError: If the device cannot be asked.
    """
    record, here = ledger.record, dict(target.fingerprint())
    changed = differences("device", record.device, here)
    if not changed:
        return
    note = _note(ledger, changed)
    notes = record.notes if note in record.notes else (*record.notes, note)
    ledger.keep(replace(record, target=target_values(target), device=here, notes=notes))
    warnings.warn(f"{ledger.folder}: {note}", DeviceWarning, stacklevel=2)


def _note(ledger: Ledger, changed: list[tuple[str, Any, Any]]) -> str:
    parts = ", ".join(f"{name} {_shown(now)}, was {_shown(was)}" for name, was, now in changed)
    told = sum(trial.state == "complete" for trial in ledger.trials())
    return (
        f"latency is measured otherwise since {told} trials were complete: {parts}; latencies of before are of what it "
        "was, and not to be compared with those that follow."
    )


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value)
