"""The picture of a run: its main metric against what it costs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nas.objectives.metrics import mean_of, metric, std_of
from nas.objectives.pareto import front
from nas.report.view import RunView, costs_of, labels_of, measured, printable
from nas.runs.front import goodness, interval_of
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

LABELS = {
    "trials": "searched (few epochs)",
    "search front": "front of the search",
    "refined": "refined, 32 bits",
    "compressed": "compressed",
}


class Plane(NamedTuple):
    """What a picture is drawn in.

    Attributes:
        cost: The metric along the level axis.
        score: The metric along the upright one.
    """

    cost: str
    score: str

    @property
    def labels(self) -> tuple[str, str]:
        """Of the level and of the upright axis."""
        return metric(self.cost).label, f"validation {metric(self.score).label}"

    def costs(self, items: Sequence[Trial | Model]) -> list[float]:
        """Places along the level axis."""
        return [item.metrics[self.cost] for item in items]

    def scores(self, items: Sequence[Trial | Model]) -> list[float]:
        """Places along the upright axis."""
        return [item.metrics[self.score] for item in items]


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
    planes = planes_of([run])
    figure, panels = _panels(planes)
    for axes, plane in zip(panels, planes, strict=True):
        _draw(axes, run, plane)
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
    planes = planes_of(runs)
    figure, panels = _panels(planes)
    for axes, plane in zip(panels, planes, strict=True):
        for i, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
            _stage(axes, run.front, plane, _Style(run_colour(i), _listed(label), "osD^vP"[i % 6]))
        _frame(axes, plane, [item for run in runs for item in run.front])
    _save(figure, panels, to)


def planes_of(runs: Sequence[RunView]) -> list[Plane]:
    """The planes that runs are drawn in: their main metric against each of its costs."""
    return [Plane(cost, runs[0].record.main) for cost in costs_of(runs)]


def staircase(items: Sequence[Trial | Model], plane: Plane) -> list[Trial | Model]:
    """The items that are non-dominated in score and cost, in order of the cost: the line of a picture."""
    known = measured(items, *plane)
    mask = front(np.array([[-goodness(i.metrics, name) for name in plane] for i in known]).reshape(-1, 2))
    return sorted((i for i, kept in zip(known, mask, strict=True) if kept), key=lambda i: i.metrics[plane.cost])


def is_wide(costs: Sequence[float]) -> bool:
    """Whether costs span about a decade or more, so that their axis should be logarithmic; not if absurdly more."""
    return bool(costs) and min(costs) > 0 and 8 < max(costs) / min(costs) < 1e12


def run_colour(i: int) -> str:
    """The colour of the run at a place of a comparison."""
    return RUN_COLOURS[i % len(RUN_COLOURS)]


def noise_bars(items: Sequence[Trial | Model], plane: Plane) -> tuple[list[Trial | Model], list[float], list[float]]:
    """The items whose cost has a noise interval, and how far it reaches below and above."""
    found = [(item, interval_of(item.metrics, plane.cost)) for item in measured(items, *plane)]
    known = [item for item, interval in found if interval is not None]
    reach = [(item.metrics[plane.cost], *interval) for item, interval in found if interval is not None]
    return (
        known,
        [max(value - low, 0.0) for value, low, _ in reach],
        [max(high - value, 0.0) for value, _, high in reach],
    )


def _listed(label: str) -> str:
    """A label that a legend shows; matplotlib leaves out what begins with an underscore."""
    return f" {label}" if label.startswith("_") else label


def _panels(planes: Sequence[Plane]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.5 * len(planes), 4.6), dpi=150, layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, len(planes), sharey=True))
    panels[0].set_ylabel(planes[0].labels[1], parse_math=False)
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


def _draw(axes: Axes, run: RunView, plane: Plane) -> None:
    trials = measured([t for t in run.trials if t.state == "complete"], *plane)
    if trials:
        x, y = plane.costs(trials), plane.scores(trials)
        axes.scatter(x, y, s=20, color=COLOURS["trials"], linewidths=0, label=LABELS["trials"], zorder=1)
    if steps := staircase(run.search_front, plane):
        x, y = plane.costs(steps), plane.scores(steps)
        style: dict[str, Any] = {"color": COLOURS["search front"], "linewidth": 1.1, "linestyle": (0, (4, 2))}
        axes.step(x, y, where="post", label=LABELS["search front"], zorder=2, **style)
    _stage(axes, run.refined, plane, _Style(COLOURS["refined"], LABELS["refined"], "s"))
    _stage(axes, run.compressed, plane, _Style(COLOURS["compressed"], LABELS["compressed"]))
    if run.knee is not None and measured([run.knee], *plane):
        x, y = plane.costs([run.knee]), plane.scores([run.knee])
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": COLOURS["knee"], "linewidths": 1.5}
        axes.scatter(x, y, s=170, label=f"knee: {run.knee.name}", zorder=6, **ring)
    _frame(axes, plane, [*trials, *run.models])


def _stage(axes: Axes, items: Sequence[Trial | Model], plane: Plane, style: _Style) -> None:
    known = measured(items, *plane)
    if not known:
        return
    steps = staircase(known, plane)
    x, y = plane.costs(steps), plane.scores(steps)
    axes.step(x, y, where="post", color=style.colour, linewidth=1.3, zorder=3)
    axes.plot(x, y, style.marker, markersize=5.5, color=style.colour, label=style.label, zorder=5)
    others = [item for item in known if not any(item is step for step in steps)]
    x, y = plane.costs(others), plane.scores(others)
    axes.plot(x, y, style.marker, markersize=4.5, color=style.colour, alpha=0.4, markeredgewidth=0, zorder=4)
    _bars(axes, known, plane, style.colour)


def _bars(axes: Axes, items: Sequence[Trial | Model], plane: Plane, colour: str) -> None:
    """The spread of the score over seeds around its mean, and the noise of the cost."""
    bars: dict[str, Any] = {"fmt": "none", "ecolor": colour, "alpha": 0.6, "zorder": 2.5}
    mean, deviation = mean_of(plane.score), std_of(plane.score)
    several = measured(items, plane.cost, mean, deviation)
    spread = [abs(item.metrics[deviation]) for item in several]
    axes.errorbar(
        plane.costs(several), [i.metrics[mean] for i in several], yerr=spread, elinewidth=1, capsize=2, **bars
    )
    noisy, below, above = noise_bars(items, plane)
    if noisy:
        axes.errorbar(plane.costs(noisy), plane.scores(noisy), xerr=[below, above], elinewidth=1, **bars)


def _frame(axes: Axes, plane: Plane, items: Sequence[Trial | Model]) -> None:
    costs = plane.costs(measured(items, *plane))
    if is_wide(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(plane.labels[0], parse_math=False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if not costs:
        why = "no complete trial yet" if not items else f"no {plane.cost} and {plane.score} to show"
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center")
