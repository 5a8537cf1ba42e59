"""Measure again what was measured in a noisy moment, before a front is shown, refined or exported.

A trial does not wait for a quiet moment longer than its target's patience; whoever shows the front does. Every model,
and every trial that would be on the front if its latency had been disturbed, is measured until its latency is quiet or
the time is over. What cannot be measured here (another device, files that are gone) stays as it is and is marked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from nas.devices import Target, is_doubtful, is_measured_here, load_target, measure_local
from nas.errors import TargetError
from nas.evaluate import latency_metrics
from nas.front import front_of
from nas.ledger import Ledger, Model, Trial, write_model

MOST_S = 20.0
"""How long all of it may take, in seconds; what is left then stays noisy."""

PATIENCE_S = 5.0
"""How long one file waits for a quiet moment."""


@dataclass(frozen=True)
class Settled:
    """What became of noisy latencies.

    Attributes:
        measured: How many files were measured again.
        noisy: Names of trials and models that are still noisy, or cannot be measured here.
    """

    measured: int
    noisy: tuple[str, ...]


def settle(ledger: Ledger, most_s: float = MOST_S) -> Settled:
    """Measure noisy trials of the front and noisy models of a run again; it must be held for writing.

    Args:
        ledger: Of the run.
        most_s: Bound on the time, in seconds.
    """
    target = replace(load_target(ledger.record.target), patience_s=PATIENCE_S)
    end = time.monotonic() + most_s
    count = 0
    tried: set[str] = set()
    while True:
        waiting = [item for item in _doubtful(ledger, target) if item.name not in tried]
        if not waiting or time.monotonic() >= end:
            _discard_beaten(ledger)
            return Settled(count, tuple(item.name for item in _noisy(ledger)))
        for item in waiting:
            tried.add(item.name)
            if time.monotonic() < end and _measure(ledger, item, target):
                count += 1


def _noisy(ledger: Ledger) -> list[Trial | Model]:
    """Models, and trials that may be on the front, whose latency is recorded as noisy."""
    return [item for item in _shown(ledger) if item.metrics.get("latency_quality") == "noisy"]


def _doubtful(ledger: Ledger, target: Target) -> list[Trial | Model]:
    return [item for item in _shown(ledger) if is_measured_here(item.metrics, target) and is_doubtful(item.metrics)]


def _shown(ledger: Ledger) -> list[Trial | Model]:
    complete = [trial for trial in ledger.trials() if trial.state == "complete"]
    return [*front_of(complete, ledger.record.parsed_objectives, hopeful=True), *ledger.models()]


def _discard_beaten(ledger: Ledger) -> None:
    """Delete the large files of trials that were kept only because their latency was not certain."""
    shown = {item.number for item in _shown(ledger) if isinstance(item, Trial)}
    for trial in ledger.trials():
        if trial.state == "complete" and trial.number not in shown:
            ledger.discard_weights(trial.number)


def _measure(ledger: Ledger, item: Trial | Model, target: Target) -> bool:
    """Measure one item's file and record it; False where the file is gone or cannot be run any more."""
    folder = item.folder if isinstance(item, Model) else ledger.trial_folder(item.number)
    try:
        (latency,) = measure_local([folder / "model.onnx"], target)
    except TargetError:
        return False
    metrics = latency_metrics(latency)
    if latency.quality != "good" and latency.latency_ms >= item.metrics["latency_ms"]:
        metrics = {name: item.metrics[name] for name in metrics} | {"latency_quality": "noisy"}
    if isinstance(item, Model):
        write_model(item.folder, replace(item, metrics={**item.metrics, **metrics}))
    else:
        ledger.measure_again(item.number, metrics)
    return True
