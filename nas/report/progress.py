"""What a terminal, a log or a program sees of a running search."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nas.objectives.metrics import mean_of, on_test, std_of
from nas.pipeline.loop import COUNTED
from nas.runs.front import front_of, hypervolume_of, said, text_of
from nas.runs.ledger import Ledger, Trial
from nas.runs.models import Model
from nas.runs.record import RunRecord
from nas.terminal import Terminal

PACE = 0.02
"""Times whose ratio is nearer to 1 are called equal."""


class SearchProgress:
    """A live line on a terminal, a line a trial elsewhere, a JSON line a trial for programs.

    Args:
        console: Where it is shown.
        wanted: Trials that count, in all.
        time_s: Seconds that the search may take, if bounded.
        as_json: Whether programs read it.
    """

    def __init__(self, console: Terminal, wanted: int, time_s: float | None, as_json: bool) -> None:
        self.console = console
        self.wanted = wanted
        self.time_s = time_s
        self.as_json = as_json
        self.begun = time.monotonic()
        self.told = 0
        self.live = console.is_terminal and not as_json
        self.bar = Progress(
            TextColumn("search"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not self.live,
        )
        self.task = self.bar.add_task("search", total=wanted, state="starting")

    def __enter__(self) -> SearchProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def on_trial(self, ledger: Ledger, trial: Trial) -> None:
        """Show a trial that was told, and where the search stands; before the first, what is to be said of the data."""
        self.told += 1
        if self.told == 1 and not self.as_json:
            for note in ledger.record.notes:
                self.console.print(f"note: {note}")
        trials = [t for t in ledger.trials() if t.state in COUNTED]
        complete = [t for t in trials if t.state == "complete"]
        objectives = ledger.record.parsed_objectives
        front, volume, left = (
            len(front_of(complete, objectives)),
            hypervolume_of(trials, objectives),
            self._left(len(trials)),
        )
        if self.as_json:
            values = {"trial": trial.number, "state": trial.state, "reason": trial.reason, "metrics": trial.metrics}
            standing = {"done": len(trials), "front": front, "hypervolume": volume, "left_s": left}
            self.console.tell({**values, **standing})
            return
        state = f"front {front}, hypervolume {volume:.3f}, about {_readable(left)} left"
        self.bar.update(self.task, completed=len(trials), state=state)
        if not self.live:
            self.console.print(f"{len(trials)}/{self.wanted} {describe(trial, ledger.record.sought)}; {state}")
        elif trial.state == "failed":
            self.console.print(describe(trial, ledger.record.sought))

    def _left(self, done: int) -> float:
        """Seconds until the last trial, at the pace of this sitting."""
        elapsed = time.monotonic() - self.begun
        left = elapsed / self.told * max(0, self.wanted - done)
        return min(left, max(0.0, self.time_s - elapsed)) if self.time_s is not None else left


def describe(trial: Trial, names: Sequence[str]) -> str:
    """One line about a trial: what became of it, and its metrics of some names."""
    if trial.state != "complete":
        return f"trial {trial.number} {trial.state}: {trial.reason}"
    return f"trial {trial.number}: {listed(trial.metrics, names)}"


def listed(metrics: Mapping[str, Any], names: Sequence[str]) -> str:
    """The metrics of some names that are known, in a sentence; `~` stands before what was measured while disturbed."""
    return ", ".join(text for name in names if (text := said(metrics, name)))


def proven_text(scores: Mapping[str, float]) -> str:
    """The main one of proven scores, on validation and on test data."""
    main = next(iter(scores))
    return f"validation {said(scores, main)}, test {text_of(scores, on_test(main), main)}"


def scores_text(metrics: Mapping[str, Any], record: RunRecord) -> str:
    """What matters of a model: its main score, that over seeds and on test data, its objectives and limits."""
    main, *others = record.sought
    mean, deviation, test = (text_of(metrics, field(main), main) for field in (mean_of, std_of, on_test))
    seeds = f" (seeds {mean} ± {deviation})" if mean else ""
    return ", ".join(
        filter(None, (said(metrics, main) + seeds, f"test {test}" if test else "", listed(metrics, others)))
    )


def what_passes_brought(model: Model) -> str:
    """Whether the last pass paid on this target, in bytes and in time, and what all passes brought together."""
    m = model.metrics
    if "pass_time_ratio" not in m:
        return ""
    noisy = " (noisy)" if m["latency_quality"] == "noisy" else ""
    ratio = m["pass_time_ratio"]
    paid = f"{m['pass_bytes_ratio']:.2f} of the bytes, {ratio:.2f} of the time, {pace(ratio)}{noisy}"
    together = f"; all passes: {m['bytes_ratio']:.2f} of the bytes, {m['time_ratio']:.2f} of the time"
    return f"; {model.passes[-1].label} here: {paid}{together if model.passes[1:] else ''}"


def pace(ratio: float) -> str:
    """A ratio of times in words."""
    return "faster" if ratio < 1 - PACE else "slower" if ratio > 1 + PACE else "as fast"


def _readable(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
