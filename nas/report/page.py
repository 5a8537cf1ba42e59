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

from nas.ledger import Model, Trial
from nas.report.plots import AXES, COLOURS, scaled, staircase
from nas.report.view import RunView, name_of


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
    figures = [_front_figure(runs, metric) for metric in AXES] + [_hypervolume_figure(runs)]
    page = environment.get_template("page.html.j2").render(
        name_of=name_of,
        runs=runs,
        figures=[_safe_json(figure.to_plotly_json()) for figure in figures],
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - Plotly's own script, not user data
        states=[Counter(trial.state for trial in run.trials) for run in runs],
        reasons=[
            Counter((t.state, _kind(t.reason)) for t in run.trials if t.state in ("failed", "infeasible")).most_common(
                20
            )
            for run in runs
        ],
    )
    temporary = to.with_name(to.name + ".part")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(to)


def _front_figure(runs: Sequence[RunView], metric: str) -> go.Figure:
    figure = go.Figure()
    if len(runs) > 1:
        for run in runs:
            _add(figure, run.front, metric, run.record.name, None)
    else:
        run = runs[0]
        complete = [trial for trial in run.trials if trial.state == "complete"]
        _add(figure, complete, metric, "searched (few epochs)", COLOURS["trials"], line=False)
        _add(figure, run.refined, metric, "refined, 32 bits", COLOURS["refined"])
        _add(figure, run.compressed, metric, "compressed", COLOURS["compressed"])
        if run.knee is not None:
            _add(figure, [run.knee], metric, "knee of the front", COLOURS["knee"], line=False, ring=True)
    figure.update_layout(
        xaxis_title=AXES[metric],
        yaxis_title="validation accuracy",
        xaxis={"type": "log", "tickvals": _ticks(runs, metric)},
        template="plotly_white",
        margin={"l": 60, "r": 10, "t": 10, "b": 50},
        legend={"orientation": "h", "y": -0.2},
        hoverlabel={"align": "left"},
        height=430,
    )
    return figure


def _add(
    figure: go.Figure,
    items: Sequence[Trial | Model],
    metric: str,
    name: str,
    colour: str | None,
    line: bool = True,
    ring: bool = False,
) -> None:
    known = [item for item in items if metric in item.metrics and "accuracy" in item.metrics]
    if not known:
        return
    marker: dict[str, Any] = {"size": 18 if ring else 8, "symbol": "circle-open" if ring else "circle"}
    if colour:
        marker["color"] = colour
    figure.add_scatter(
        x=[scaled(item, metric) for item in known],
        y=[item.metrics["accuracy"] for item in known],
        mode="markers",
        name=str(escape(name)),
        legendgroup=name,
        marker=marker,
        hovertext=[_hover(item) for item in known],
        hoverinfo="text",
    )
    several = [item for item in known if "accuracy_mean" in item.metrics and not ring]
    if several:
        figure.add_scatter(
            x=[scaled(item, metric) for item in several],
            y=[item.metrics["accuracy_mean"] for item in several],
            error_y={"array": [item.metrics["accuracy_std"] for item in several], "thickness": 1, "color": colour},
            mode="markers",
            marker={"opacity": 0},
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )
    if line:
        steps = staircase(known, metric)
        figure.add_scatter(
            x=[scaled(item, metric) for item in steps],
            y=[item.metrics["accuracy"] for item in steps],
            mode="lines",
            line={"shape": "hv", "width": 1.5, **({"color": colour} if colour else {})},
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
        )


def _ticks(runs: Sequence[RunView], metric: str) -> list[float]:
    """Round values (1, 2, 5 times a power of ten) over the range of an axis."""
    items = [item for run in runs for item in (*run.trials, *run.models) if metric in item.metrics]
    if not items:
        return []
    low, high = (edge(scaled(item, metric) for item in items) for edge in (min, max))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5)]


def _kind(reason: str) -> str:
    """A reason without what differs from trial to trial."""
    return re.sub(r" \([\d.e+-]+\)", "", reason)


def _hover(item: Trial | Model) -> str:
    """The text at a point, as Plotly's HTML: name, numbers, architecture."""
    metrics = item.metrics
    numbers = [
        f"{name} {metrics[name]:.4g}"
        for name in ("accuracy", "test_accuracy", "latency_ms", "size_bytes", "params", "macs")
        if isinstance(metrics.get(name), int | float)
    ]
    decisions = [f"{escape(path)} = {escape(str(label))}" for path, label in item.decisions.items()]
    return "<br>".join([f"<b>{escape(name_of(item))}</b>", ", ".join(numbers), *decisions])


def _hypervolume_figure(runs: Sequence[RunView]) -> go.Figure:
    figure = go.Figure()
    for run in runs:
        figure.add_scatter(
            x=list(range(1, len(run.hypervolume) + 1)),
            y=list(run.hypervolume),
            mode="lines",
            line={"shape": "hv"},
            name=str(escape(run.record.name)),
        )
    figure.update_layout(
        xaxis_title="complete trials",
        yaxis_title="dominated share",
        template="plotly_white",
        margin={"l": 60, "r": 10, "t": 10, "b": 50},
        height=320,
        showlegend=len(runs) > 1,
    )
    return figure


def _safe_json(values: Any) -> Markup:
    text = json.dumps(values, default=list)
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, code)
    return Markup(text)  # noqa: S704 - no sign that could end a script is left
