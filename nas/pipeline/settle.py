"""Measure again what was measured in a noisy moment, before a front is shown, refined or exported.

A trial does not wait for a quiet moment longer than its target's patience; whoever shows the front does. Every model,
and every trial that would be on the front if its latency had been disturbed, is measured until it is quiet or the time
is over. Limits are held against what is found. What cannot be measured here (another device, files that are gone)
stays as it is; what is still noisy is called so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.errors import RunError
from nas.evaluation.assess import timings
from nas.evaluation.border import at_border
from nas.objectives.metrics import MEASURED
from nas.pipeline.context import target_of
from nas.runs.front import front_of
from nas.runs.ledger import Ledger, Trial
from nas.runs.lock import writing
from nas.runs.models import Model, lineage, write_model
from nas.targets import Latency, Target, doubted, measure_patiently

MOST_S = 20.0
"""How long all of it may take, in seconds; what is left then stays noisy."""

PATIENCE_S = 5.0
"""How long one file waits for a quiet moment."""


def settle_unless_busy(ledger: Ledger, trials: bool = True) -> None:
    """Settle a run unless another process writes to it, or its folder cannot be written."""
    with ExitStack() as stack:
        try:
            stack.enter_context(writing(ledger.folder))
        except (RunError, OSError):
            return
        settle(ledger, trials=trials)


def settle(ledger: Ledger, most_s: float = MOST_S, trials: bool = True) -> int:
    """Measure noisy models of a run, and noisy trials of its front, again; the run must be held for writing.

    A compressed model is measured in turns with those that it was made of, so its ratios are found anew with it.

    Args:
        ledger: Of the run.
        most_s: Seconds after which nothing more is measured.
        trials: Whether trials are looked at besides models.

    Returns:
        How many latencies were measured again; 0 where no objective and no limit is on latency.
    """
    record = ledger.record
    if not record.is_timed:
        return 0
    target, end = target_of(ledger), time.monotonic() + most_s
    tried: set[str] = set()
    count = 0
    while time.monotonic() < end:
        waiting = [item for item in _noisy(ledger, target, trials) if item.name not in tried]
        if not waiting:
            break
        tried.add(waiting[0].name)
        count += _measure(ledger, waiting[0], target)
    for item in _noisy(ledger, target, trials):
        _record(ledger, item, {name: item.metrics[name] for name in ("latency_quality", "best_reference_ms")})
    if trials:
        _discard_beaten(ledger)
    return count


def _noisy(ledger: Ledger, target: Target, trials: bool) -> list[Trial | Model]:
    """Models, then trials that may be on the front, whose latency is of the target as it is now, and noisy."""
    here = target.fingerprint()
    shown: list[Trial | Model] = [replace(m, metrics=doubted(m.metrics)) for m in ledger.models()]
    shown += _hopeful(ledger) if trials else []
    return [
        item
        for item in shown
        if item.metrics.get("device") == here
        and item.metrics.get("latency_quality") == "noisy"
        and "best_reference_ms" in item.metrics
    ]


def _hopeful(ledger: Ledger) -> list[Trial]:
    """The front of the trials, and those that may be on it."""
    complete = [replace(t, metrics=doubted(t.metrics)) for t in ledger.trials() if t.state == "complete"]
    return front_of(complete, ledger.record.parsed_objectives, hopeful=True)


def _discard_beaten(ledger: Ledger) -> None:
    """Delete the large files of trials that were kept only because their latency was not certain."""
    shown = {trial.number for trial in _hopeful(ledger)}
    for trial in ledger.trials():
        if trial.state in ("complete", "infeasible") and trial.number not in shown:
            ledger.discard_weights(trial.number)


def _measure(ledger: Ledger, item: Trial | Model, target: Target) -> bool:
    """Measure one item's file and record it; False where files are gone or cannot be run any more."""

    def measure(paths: Sequence[Path]) -> Sequence[Latency]:
        return measure_patiently(paths, target, PATIENCE_S)

    def settled() -> bool:
        if isinstance(item, Model) and item.parent is not None:
            files = [model.folder / "model.onnx" for model in lineage(item)]
            metrics = timings(files[-1], measure, (files[-2], files[0]))
        else:
            folder = item.folder if isinstance(item, Model) else ledger.trial_folder(item.number)
            metrics = timings(folder / "model.onnx", measure)
        if metrics["latency_quality"] == "good" or metrics["latency_ms"] < item.metrics["latency_ms"]:
            _record(ledger, item, metrics)
        return True

    return at_border(settled, lambda _: False, ledger.folder)


def _record(ledger: Ledger, item: Trial | Model, metrics: Mapping[str, Any]) -> None:
    """Keep metrics of an item; a trial that breaks a limit on latency by a quiet one is infeasible."""
    if isinstance(item, Model):
        write_model(item.folder, replace(item, metrics={**item.metrics, **metrics}))
        return
    found = {**item.metrics, **metrics}
    limits = [limit for limit in ledger.record.parsed_limits if limit.metric in MEASURED]
    broken = [f"{limit} ({found[limit.metric]})" for limit in limits if limit.violation(found) > 0]
    is_certain = found["latency_quality"] == "good"
    ledger.measure_again(item.number, metrics, f"breaks {', '.join(broken)}" if broken and is_certain else "")
