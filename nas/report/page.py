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

from nas.report.plots import AXES, COLOURS, LABELS, is_wide, latency_bars, run_colour, scaled, staircase
from nas.report.view import RunView, differences, hypervolumes, is_number, labels_of, measured
from nas.runs.front import interval_of
from nas.runs.ledger import Trial
from nas.runs.models import Model

REASONS = 20
"""How many kinds of failure the page lists."""

NUMBERS = {
    "accuracy": ("validation accuracy", ".4f"),
    "accuracy_mean": ("its mean over seeds", ".4f"),
    "accuracy_std": ("its deviation", ".4f"),
    "test_accuracy": ("test accuracy", ".4f"),
    "latency_ms": ("latency, ms", ".4f"),
    "p50_ms": ("latency p50, ms", ".4f"),
    "p95_ms": ("latency p95, ms", ".4f"),
    "size_bytes": ("size, bytes", ",.0f"),
    "params": ("parameters", ",.0f"),
    "macs": ("MACs", ",.0f"),
}
"""What is said of a metric at a point: its name and the format of its number."""

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
    figures = {f"figure-{metric}": _front_figure(runs, metric) for metric in AXES}
    if any(curves):
        figures["figure-hypervolume"] = _hypervolume_figure(labels_of(runs), curves)
    page = environment.get_template("page.html.j2").render(
        number=_number,
        interval_of=interval_of,
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


def _front_figure(runs: Sequence[RunView], metric: str) -> go.Figure:
    figure = go.Figure()
    if len(runs) > 1:
        shown = [item for run in runs for item in run.front]
        for i, (run, label) in enumerate(zip(runs, labels_of(runs), strict=True)):
            _stage(figure, run.front, metric, label, run_colour(i))
    else:
        run = runs[0]
        complete = [trial for trial in run.trials if trial.state == "complete"]
        shown = [*complete, *run.models]
        _points(figure, complete, metric, LABELS["trials"], COLOURS["trials"])
        _line(figure, run.search_front, metric, LABELS["search front"], COLOURS["search front"], alone=True)
        _stage(figure, run.refined, metric, LABELS["refined"], COLOURS["refined"], "square")
        _stage(figure, run.compressed, metric, LABELS["compressed"], COLOURS["compressed"])
        if run.knee is not None:
            _points(figure, [run.knee], metric, f"knee: {run.knee.name}", COLOURS["knee"], "circle-open", size=18)
    costs = [scaled(item, metric) for item in measured(shown, metric, "accuracy")]
    axis = {"type": "log", "tickvals": _ticks(costs)} if is_wide(costs) else {"type": "linear"}
    _lay_out(figure, AXES[metric], "validation accuracy", height=460)
    return figure.update_layout(xaxis=axis, legend={"orientation": "h", "y": -0.2}, showlegend=True)


def _stage(
    figure: go.Figure, items: Sequence[Trial | Model], metric: str, name: str, colour: str, symbol: str = "circle"
) -> None:
    _bars(figure, items, metric, name, colour)
    _line(figure, items, metric, name, colour)
    _points(figure, items, metric, name, colour, symbol)


def _points(
    figure: go.Figure,
    items: Sequence[Trial | Model],
    metric: str,
    name: str,
    colour: str,
    symbol: str = "circle",
    size: int = 8,
) -> None:
    known = measured(items, metric, "accuracy")
    if not known:
        return
    figure.add_scatter(
        x=[scaled(item, metric) for item in known],
        y=[item.metrics["accuracy"] for item in known],
        mode="markers",
        name=str(escape(name)),
        legendgroup=name,
        marker={"size": size, "symbol": symbol, "color": colour},
        hovertext=[_hover(item) for item in known],
        hoverinfo="text",
    )


def _line(
    figure: go.Figure, items: Sequence[Trial | Model], metric: str, name: str, colour: str, alone: bool = False
) -> None:
    """The staircase through a stage; dashed and with its own legend entry when it stands `alone`."""
    steps = staircase(items, metric)
    if not steps:
        return
    figure.add_scatter(
        x=[scaled(item, metric) for item in steps],
        y=[item.metrics["accuracy"] for item in steps],
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": colour, "dash": "dash" if alone else "solid"},
        name=str(escape(name)),
        legendgroup=name,
        showlegend=alone,
        hoverinfo="skip",
    )


def _bars(figure: go.Figure, items: Sequence[Trial | Model], metric: str, name: str, colour: str) -> None:
    """The spread of accuracy over seeds around its mean, and the noise of latency."""
    still: dict[str, Any] = {"mode": "markers", "marker": {"opacity": 0}, "showlegend": False, "hoverinfo": "skip"}
    bar: dict[str, Any] = {"thickness": 1, "color": colour}
    if several := measured(items, metric, "accuracy_mean", "accuracy_std"):
        figure.add_scatter(
            x=[scaled(item, metric) for item in several],
            y=[item.metrics["accuracy_mean"] for item in several],
            error_y={**bar, "array": [abs(item.metrics["accuracy_std"]) for item in several], "width": 3},
            legendgroup=name,
            **still,
        )
    noisy, below, above = latency_bars(items)
    if metric == "latency_ms" and noisy:
        figure.add_scatter(
            x=[item.metrics["latency_ms"] for item in noisy],
            y=[item.metrics["accuracy"] for item in noisy],
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
    lost = [trial for trial in run.trials if trial.state in ("failed", "infeasible")]
    return Counter((trial.state, _kind(trial.reason)) for trial in lost).most_common()


def _kind(reason: str) -> str:
    """A reason without what differs from trial to trial."""
    return re.sub(r" \([\d.e+-]+\)", "", reason)


def _hover(item: Trial | Model) -> str:
    """The text at a point, as Plotly's HTML: name, numbers, architecture."""
    numbers = [f"{said} <b>{text}</b>" for key, (said, _) in NUMBERS.items() if (text := _number(item, key))]
    decisions = [f"{escape(path)} = {escape(str(label))}" for path, label in item.decisions.items()]
    return "<br>".join([f"<b>{escape(item.name)}</b>", *numbers, "", *decisions])


def _number(item: Trial | Model, metric: str) -> str:
    """A metric as text, a noisy latency marked; nothing where it was not measured."""
    value = item.metrics.get(metric)
    mark = "~" if metric == "latency_ms" and item.metrics.get("latency_quality") == "noisy" else ""
    return mark + format(value, NUMBERS[metric][1]) if is_number(value) else ""


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
