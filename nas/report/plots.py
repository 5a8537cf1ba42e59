"""The picture of a run: accuracy against latency and against size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nas.objectives.pareto import front
from nas.report.view import RunView, labels_of, measured, printable
from nas.runs.front import interval_of
from nas.runs.ledger import Trial
from nas.runs.models import Model

COLOURS = {
    "trials": "#b8b8b8",
    "search front": "#7a7a7a",
    "refined": "#0072b2",
    "compressed": "#d55e00",
    "knee": "#000000",
}
"""One colour a stage, told apart by colour-blind readers too (Okabe & Ito)."""

RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""One colour a run where runs are compared; they begin again after six."""

AXES = {"latency_ms": "latency on the target (ms)", "size_bytes": "size of the file (KiB)"}

LABELS = {
    "trials": "searched (few epochs)",
    "search front": "front of the search",
    "refined": "refined, 32 bits",
    "compressed": "compressed",
}


@dataclass(frozen=True)
class _Style:
    colour: str
    label: str
    marker: str = "o"


def plot_front(run: RunView, to: Path) -> None:
    """Draw the fronts of a run.

    Args:
        run: From `view`.
        to: A PNG file.
    """
    figure, panels = _panels()
    for axes, metric in zip(panels, AXES, strict=True):
        _draw(axes, run, metric)
    complete = sum(trial.state == "complete" for trial in run.trials)
    name, task = printable(run.record.name), printable(run.record.task)
    title = f"{name}: task {task}, {complete} complete trials, {len(run.models)} models"
    figure.suptitle(title if len(title) < 110 else f"{title[:109]}…", parse_math=False)
    _save(figure, panels, to)


def plot_comparison(runs: Sequence[RunView], to: Path) -> None:
    """Draw the final fronts of several runs into one picture.

    Args:
        runs: From `view`.
        to: A PNG file.
    """
    figure, panels = _panels()
    for axes, metric in zip(panels, AXES, strict=True):
        for i, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
            _stage(axes, run.front, metric, _Style(run_colour(i), _listed(label), "osD^vP"[i % 6]))
        _frame(axes, metric, [item for run in runs for item in run.front])
    _save(figure, panels, to)


def staircase(items: Sequence[Trial | Model], metric: str) -> list[Trial | Model]:
    """The items that are non-dominated in accuracy and one cost, in order of the cost: the line of a picture."""
    known = measured(items, metric, "accuracy")
    mask = front(np.array([[i.metrics[metric], -i.metrics["accuracy"]] for i in known]).reshape(-1, 2))
    return sorted((i for i, kept in zip(known, mask, strict=True) if kept), key=lambda i: i.metrics[metric])


def scaled(item: Trial | Model, metric: str) -> float:
    """A metric in the unit of its axis."""
    return item.metrics[metric] / 1024 if metric == "size_bytes" else item.metrics[metric]


def is_wide(costs: Sequence[float]) -> bool:
    """Whether costs span about a decade or more, so that their axis should be logarithmic; not if absurdly more."""
    return bool(costs) and min(costs) > 0 and 8 < max(costs) / min(costs) < 1e12


def run_colour(i: int) -> str:
    """The colour of the run at a place of a comparison."""
    return RUN_COLOURS[i % len(RUN_COLOURS)]


def latency_bars(items: Sequence[Trial | Model]) -> tuple[list[Trial | Model], list[float], list[float]]:
    """The items whose latency has a noise interval, and how far it reaches below and above, in milliseconds."""
    found = [(item, interval_of(item.metrics)) for item in measured(items, "latency_ms", "accuracy")]
    known = [item for item, interval in found if interval is not None]
    reach = [(item.metrics["latency_ms"], *interval) for item, interval in found if interval is not None]
    return known, [max(ms - low, 0.0) for ms, low, _ in reach], [max(high - ms, 0.0) for ms, _, high in reach]


def _listed(label: str) -> str:
    """A label that a legend shows; matplotlib leaves out what begins with an underscore."""
    return f" {label}" if label.startswith("_") else label


def _panels() -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    panels[0].set_ylabel("validation accuracy")
    return figure, panels


def _save(figure: Figure, panels: Sequence[Axes], to: Path) -> None:
    entries = {label: h for axes in panels for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if entries:
        legend = figure.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=min(len(entries), 5), frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    temporary = to.with_name(f"{to.name}.part")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(temporary, format="png")
    temporary.replace(to)


def _draw(axes: Axes, run: RunView, metric: str) -> None:
    trials = measured([t for t in run.trials if t.state == "complete"], metric, "accuracy")
    if trials:
        x, y = _places(trials, metric)
        axes.scatter(x, y, s=20, color=COLOURS["trials"], linewidths=0, label=LABELS["trials"], zorder=1)
    if steps := staircase(run.search_front, metric):
        x, y = _places(steps, metric)
        style: dict[str, Any] = {"color": COLOURS["search front"], "linewidth": 1.1, "linestyle": (0, (4, 2))}
        axes.step(x, y, where="post", label=LABELS["search front"], zorder=2, **style)
    _stage(axes, run.refined, metric, _Style(COLOURS["refined"], LABELS["refined"], "s"))
    _stage(axes, run.compressed, metric, _Style(COLOURS["compressed"], LABELS["compressed"]))
    if run.knee is not None and measured([run.knee], metric, "accuracy"):
        x, y = _places([run.knee], metric)
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": COLOURS["knee"], "linewidths": 1.5}
        axes.scatter(x, y, s=170, label=f"knee: {run.knee.name}", zorder=6, **ring)
    _frame(axes, metric, [*trials, *run.models])


def _stage(axes: Axes, items: Sequence[Trial | Model], metric: str, style: _Style) -> None:
    known = measured(items, metric, "accuracy")
    if not known:
        return
    steps = staircase(known, metric)
    x, y = _places(steps, metric)
    axes.step(x, y, where="post", color=style.colour, linewidth=1.3, zorder=3)
    axes.plot(x, y, style.marker, markersize=5.5, color=style.colour, label=style.label, zorder=5)
    x, y = _places([item for item in known if not any(item is step for step in steps)], metric)
    axes.plot(x, y, style.marker, markersize=4.5, color=style.colour, alpha=0.4, markeredgewidth=0, zorder=4)
    _bars(axes, known, metric, style.colour)


def _bars(axes: Axes, items: Sequence[Trial | Model], metric: str, colour: str) -> None:
    """The spread of accuracy over seeds around its mean, and the noise of latency."""
    bars: dict[str, Any] = {"fmt": "none", "ecolor": colour, "alpha": 0.6, "zorder": 2.5}
    several = measured(items, metric, "accuracy_mean", "accuracy_std")
    x = [scaled(item, metric) for item in several]
    spread = [abs(item.metrics["accuracy_std"]) for item in several]
    axes.errorbar(x, [i.metrics["accuracy_mean"] for i in several], yerr=spread, elinewidth=1, capsize=2, **bars)
    if metric == "latency_ms":
        noisy, below, above = latency_bars(items)
        x, y = _places(noisy, metric)
        axes.errorbar(x, y, xerr=[below, above], elinewidth=1, **bars)


def _places(items: Sequence[Trial | Model], metric: str) -> tuple[list[float], list[float]]:
    return [scaled(item, metric) for item in items], [item.metrics["accuracy"] for item in items]


def _frame(axes: Axes, metric: str, items: Sequence[Trial | Model]) -> None:
    costs = [scaled(item, metric) for item in measured(items, metric, "accuracy")]
    if is_wide(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(AXES[metric])
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if not costs:
        why = "no complete trial yet" if not items else f"no {metric} and accuracy to show"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center")
