"""The picture of a run: accuracy against latency and against size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nas.ledger import Model, Trial
from nas.pareto import front
from nas.report.view import RunView

COLOURS = {"trials": "#b8b8b8", "refined": "#0072b2", "compressed": "#d55e00", "knee": "#000000"}
"""One colour a stage, told apart by colour-blind readers too (Okabe & Ito)."""

AXES = {"latency_ms": "latency on the target (ms)", "size_bytes": "size of the file (KiB)"}


def plot_front(run: RunView, to: Path) -> None:
    """Draw the fronts of a run.

    Args:
        run: From `view`.
        to: A PNG file.
    """
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric in zip(panels, AXES, strict=True):
        _draw(axes, run, metric)
    panels[0].set_ylabel("validation accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(f"{run.record.name}: task {run.record.task}, {len(run.trials)} trials, {len(run.models)} models")
    temporary = to.with_name(f"{to.name}.part")
    figure.savefig(temporary, format="png")
    temporary.replace(to)


def plot_comparison(runs: Sequence[RunView], to: Path) -> None:
    """Draw the final fronts of several runs into one picture."""
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric in zip(panels, AXES, strict=True):
        for run in runs:
            _line(axes, run.front, metric, None, run.record.name)
        _label(axes, metric, [item for run in runs for item in run.front])
    panels[0].set_ylabel("validation accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs), frameon=False)
    figure.savefig(to, format="png")


def staircase(items: Sequence[Trial | Model], metric: str) -> list[Trial | Model]:
    """The items that are non-dominated in accuracy and one cost, in order of the cost: the line of a picture."""
    known = [item for item in items if metric in item.metrics and "accuracy" in item.metrics]
    mask = front(np.array([[i.metrics[metric], -i.metrics["accuracy"]] for i in known]).reshape(-1, 2))
    return sorted((i for i, kept in zip(known, mask, strict=True) if kept), key=lambda i: i.metrics[metric])


def scaled(item: Trial | Model, metric: str) -> float:
    """A metric in the unit of its axis."""
    return item.metrics[metric] / 1024 if metric == "size_bytes" else item.metrics[metric]


def _draw(axes: Axes, run: RunView, metric: str) -> None:
    trials = [t for t in run.trials if t.state == "complete" and metric in t.metrics]
    axes.scatter(
        [scaled(t, metric) for t in trials],
        [t.metrics["accuracy"] for t in trials],
        s=22,
        color=COLOURS["trials"],
        label="searched (few epochs)",
        zorder=1,
    )
    _line(axes, run.refined, metric, COLOURS["refined"], "refined, 32 bits")
    _line(axes, run.compressed, metric, COLOURS["compressed"], "compressed")
    if run.knee is not None and metric in run.knee.metrics:
        axes.scatter(
            [scaled(run.knee, metric)],
            [run.knee.metrics["accuracy"]],
            s=170,
            facecolors="none",
            edgecolors=COLOURS["knee"],
            linewidths=1.6,
            label="knee of the front",
            zorder=5,
        )
    _label(axes, metric, [*trials, *run.models])


def _line(axes: Axes, items: Sequence[Trial | Model], metric: str, colour: str | None, label: str) -> None:
    known = [item for item in items if metric in item.metrics]
    if not known:
        return
    (drawn,) = axes.plot(
        [scaled(i, metric) for i in known],
        [i.metrics["accuracy"] for i in known],
        "o",
        markersize=5,
        color=colour,
        alpha=0.85,
        label=label,
        zorder=3,
    )
    several = [item for item in known if "accuracy_mean" in item.metrics]
    axes.errorbar(
        [scaled(i, metric) for i in several],
        [i.metrics["accuracy_mean"] for i in several],
        yerr=[i.metrics["accuracy_std"] for i in several],
        fmt="none",
        ecolor=drawn.get_color(),
        elinewidth=1,
        zorder=2,
    )
    steps = staircase(known, metric)
    axes.step(
        [scaled(i, metric) for i in steps],
        [i.metrics["accuracy"] for i in steps],
        where="post",
        color=drawn.get_color(),
        linewidth=1.2,
        zorder=2,
    )


def _label(axes: Axes, metric: str, items: Sequence[Trial | Model]) -> None:
    costs = [scaled(item, metric) for item in items if metric in item.metrics]
    if costs and max(costs) > 8 * min(costs) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(AXES[metric])
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if not costs:
        axes.text(0.5, 0.5, "no complete trial yet", transform=axes.transAxes, ha="center", va="center")
