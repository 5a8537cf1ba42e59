"""The page of a run: one HTML file that needs no network, its plots answer to the pointer."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from nas.objectives.metrics import mean_of, metric, std_of
from nas.report.plots import COLOURS, LABELS, Plane, is_wide, noise_bars, planes_of, run_colour, staircase
from nas.report.view import Column, RunView, all_columns, differences, hypervolumes, labels_of, measured, short_columns
from nas.runs.front import interval_of, text_of
from nas.runs.ledger import Trial
from nas.runs.models import Model
from nas.runs.record import RunRecord

REASONS = 20
"""How many kinds of failure the page lists."""

FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1c1c1e"}


def write_page(runs: Sequence[RunView], to: Path) -> None:
    """Write the page of one run, or of several side by side.

    Everything that comes from users or data is escaped: text by Jinja2, values inside scripts as JSON without `<`.

    Args:
        runs: From `view`.
        to: The HTML file.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nas.report", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    curves = hypervolumes(runs)
    planes = planes_of(runs)
    figures = {f"figure-{plane.cost}": _front_figure(runs, plane) for plane in planes}
    if any(curves):
        figures["figure-hypervolume"] = _hypervolume_figure(labels_of(runs), curves)
    page = environment.get_template("page.html.j2").render(
        planes=planes,
        columns=[_columns(run) for run in runs],
        noise=_noise,
        metric=metric,
        mean_of=mean_of,
        std_of=std_of,
        text_of=text_of,
        curves=curves,
        runs=runs,
        labels=labels_of(runs),
        differences=differences(runs),
        figures={name: _safe_json(figure.to_plotly_json()) for name, figure in figures.items()},
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - Plotly's own script, not user data
        states=[Counter(trial.state for trial in run.trials) for run in runs],
        reasons=[_reasons(run) for run in runs],
        listed=REASONS,
    )
    temporary = to.with_name(to.name + ".part")
    temporary.write_text(page, encoding="utf-8", errors="replace")
    temporary.replace(to)


def _front_figure(runs: Sequence[RunView], plane: Plane) -> go.Figure:
    figure = go.Figure()
    if len(runs) > 1:
        shown = [item for run in runs for item in run.front]
        for i, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
            _stage(figure, run, run.front, plane, label, run_colour(i))
    else:
        run = runs[0]
        complete = [trial for trial in run.trials if trial.state == "complete"]
        shown = [*complete, *run.models]
        _points(figure, run, complete, plane, LABELS["trials"], COLOURS["trials"])
        _line(figure, run.search_front, plane, LABELS["search front"], COLOURS["search front"], alone=True)
        _stage(figure, run, run.refined, plane, LABELS["refined"], COLOURS["refined"], "square")
        _stage(figure, run, run.compressed, plane, LABELS["compressed"], COLOURS["compressed"])
        if run.knee is not None:
            _points(figure, run, [run.knee], plane, f"knee: {run.knee.name}", COLOURS["knee"], "circle-open", size=18)
    costs = plane.costs(measured(shown, *plane))
    axis = {"type": "log", "tickvals": _ticks(costs)} if is_wide(costs) else {"type": "linear"}
    _lay_out(figure, *plane.labels, height=460)
    return figure.update_layout(xaxis=axis, legend={"orientation": "h", "y": -0.2}, showlegend=True)


def _stage(
    figure: go.Figure,
    run: RunView,
    items: Sequence[Trial | Model],
    plane: Plane,
    name: str,
    colour: str,
    symbol: str = "circle",
) -> None:
    _bars(figure, items, plane, name, colour)
    _line(figure, items, plane, name, colour)
    _points(figure, run, items, plane, name, colour, symbol)


def _points(
    figure: go.Figure,
    run: RunView,
    items: Sequence[Trial | Model],
    plane: Plane,
    name: str,
    colour: str,
    symbol: str = "circle",
    size: int = 8,
) -> None:
    known = measured(items, *plane)
    if not known:
        return
    figure.add_scatter(
        x=plane.costs(known),
        y=plane.scores(known),
        mode="markers",
        name=str(escape(name)),
        legendgroup=name,
        marker={"size": size, "symbol": symbol, "color": colour},
        hovertext=[_hover(item, run.record) for item in known],
        hoverinfo="text",
    )


def _line(
    figure: go.Figure, items: Sequence[Trial | Model], plane: Plane, name: str, colour: str, alone: bool = False
) -> None:
    """The staircase through a stage; dashed and with its own legend entry when it stands `alone`."""
    steps = staircase(items, plane)
    if not steps:
        return
    figure.add_scatter(
        x=plane.costs(steps),
        y=plane.scores(steps),
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": colour, "dash": "dash" if alone else "solid"},
        name=str(escape(name)),
        legendgroup=name,
        showlegend=alone,
        hoverinfo="skip",
    )


def _bars(figure: go.Figure, items: Sequence[Trial | Model], plane: Plane, name: str, colour: str) -> None:
    """The spread of the score over seeds around its mean, and the noise of the cost."""
    still: dict[str, Any] = {"mode": "markers", "marker": {"opacity": 0}, "showlegend": False, "hoverinfo": "skip"}
    bar: dict[str, Any] = {"thickness": 1, "color": colour}
    mean, deviation = mean_of(plane.score), std_of(plane.score)
    if several := measured(items, plane.cost, mean, deviation):
        figure.add_scatter(
            x=plane.costs(several),
            y=[item.metrics[mean] for item in several],
            error_y={**bar, "array": [abs(item.metrics[deviation]) for item in several], "width": 3},
            legendgroup=name,
            **still,
        )
    noisy, below, above = noise_bars(items, plane)
    if noisy:
        figure.add_scatter(
            x=plane.costs(noisy),
            y=plane.scores(noisy),
            error_x={**bar, "array": above, "arrayminus": below, "width": 0},
            legendgroup=name,
            **still,
        )


def _ticks(costs: Sequence[float]) -> list[float]:
    """Round values (1, 2, 5 times a power of ten) over the range of a logarithmic axis."""
    powers = range(math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs))) + 1)
    return [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]


def _reasons(run: RunView) -> list[tuple[tuple[str, str], int]]:
    """State and kind of reason of the trials without a result, with their number, the most frequent first."""
    lost = [trial for trial in run.trials if trial.state in ("failed", "infeasible", "stopped")]
    return Counter((trial.state, _kind(trial.reason)) for trial in lost).most_common()


def _kind(reason: str) -> str:
    """A reason without what differs from trial to trial."""
    return re.sub(r" \([\d.e+-]+\)", "", reason)


def _hover(item: Trial | Model, record: RunRecord) -> str:
    """The text at a point, as Plotly's HTML: name, numbers, architecture."""
    shown = ((column.heading, column.text(item)) for column in all_columns(record))
    numbers = [f"{escape(heading)} <b>{text}</b>" for heading, text in shown if text]
    decisions = [f"{escape(path)} = {escape(str(label))}" for path, label in item.decisions.items()]
    return "<br>".join([f"<b>{escape(item.name)}</b>", *numbers, "", *decisions])


def _columns(run: RunView) -> list[Column]:
    """The columns of a run's table: those that matter, then whatever else its front has."""
    first = short_columns(run.record)
    there = {column.field for column in first} | {
        field(name) for name in run.record.scores for field in (mean_of, std_of)
    }
    others = [column for column in all_columns(run.record) if column.field not in there]
    return first + [column for column in others if any(column.text(item) for item in run.front)]


def _noise(item: Trial | Model, name: str) -> str:
    """The interval of a metric as text; nothing where it has none."""
    interval = interval_of(item.metrics, name)
    return " – ".join(format(end, metric(name).form) for end in interval) if interval else ""


def _hypervolume_figure(labels: Sequence[str], curves: Sequence[Sequence[float]]) -> go.Figure:
    figure = go.Figure()
    for i, (label, curve) in enumerate(zip(labels, curves, strict=True)):
        figure.add_scatter(
            x=list(range(1, len(curve) + 1)),
            y=list(curve),
            mode="lines+markers" if len(curve) == 1 else "lines",
            line={"shape": "hv", "color": run_colour(i)},
            name=str(escape(label)),
        )
    _lay_out(figure, "complete trials", "dominated share", height=320)
    return figure.update_layout(showlegend=len(labels) > 1, yaxis={"range": [0, 1.03]})


def _lay_out(figure: go.Figure, x: str, y: str, height: int) -> None:
    figure.update_layout(
        xaxis_title=x,
        yaxis_title=y,
        template="plotly_white",
        font=FONT,
        margin={"l": 60, "r": 10, "t": 10, "b": 50},
        hoverlabel={"align": "left", "bgcolor": "white", "bordercolor": "#b8b8b8", "font": {"size": 12}},
        height=height,
    )


def _safe_json(values: Any) -> Markup:
    text = json.dumps(values, default=list)
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, code)
    return Markup(text)  # noqa: S704 - no sign that could end a script is left
