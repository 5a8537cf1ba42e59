"""Every metric that can be named: which way is better, its unit, how it is written, and when it is known.

Nothing else in the program says any of this of a metric. A metric of one of several outputs is qualified by its name:
`rmse:price` is the `rmse` of the column `price`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from nas.errors import ObjectiveError, unknown

Direction = Literal["maximize", "minimize"]
Stage = Literal["static", "file", "measured", "trained"]


@dataclass(frozen=True)
class Metric:
    """A quantity that can be an objective or bear a limit.

    Attributes:
        name: What it is called; it ends in its unit, where it has one.
        direction: Which way is better.
        unit: Of its values; empty for counts, shares, and numbers in the unit of the data.
        text: What it is.
        form: How its values are written, as a format specification.
        stage: When it is known: `static` is counted from the description, `file` read off the exported file, `measured`
            timed on the target, which a neighbour disturbs and which can be done again; `trained` needs the weights.
        noise: The field that holds the interval of its values; empty where it is exact.
    """

    name: str
    direction: Direction
    unit: str
    text: str
    form: str
    stage: Stage
    noise: str = ""

    @property
    def title(self) -> str:
        """Its name for readers, without the unit: `latency` of `latency_ms`, `rmse of price` of `rmse:price`."""
        base, _, part = self.name.partition(":")
        words = base.removesuffix(f"_{self.unit}").replace("_", " ")
        return f"{words} of {part}" if part else words

    @property
    def label(self) -> str:
        """Its title and its unit, for the head of a column or an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "maximize", "", "share of samples that the exported file labels rightly", ".4f", "trained"),
        Metric("f1", "maximize", "", "harmonic mean of precision and recall over all labels", ".4f", "trained"),
        Metric("rmse", "minimize", "", "root of the mean squared error, in the unit of the data", ",.6g", "trained"),
        Metric("mae", "minimize", "", "mean absolute error, in the unit of the data", ",.6g", "trained"),
        Metric("r2", "maximize", "", "share of the variance that is explained", ".4f", "trained"),
        Metric("recall_at_1", "maximize", "", "share of samples next to one of their class", ".4f", "trained"),
        Metric("mean_score", "maximize", "", "mean over several outputs of accuracy, f1 or r2", ".4f", "trained"),
        Metric(
            "latency_ms",
            "minimize",
            "ms",
            "time of one inference of the exported file on the quiet target",
            ".4f",
            "measured",
            noise="latency_interval_ms",
        ),
        Metric(
            "p50_ms",
            "minimize",
            "ms",
            "median of single inferences on the target as it was, search running",
            ".4f",
            "measured",
        ),
        Metric("p95_ms", "minimize", "ms", "their 95th percentile", ".4f", "measured"),
        Metric("size_bytes", "minimize", "bytes", "size of the exported file", ",.0f", "file"),
        Metric("peak_memory_bytes", "minimize", "bytes", "peak memory of one inference", ",.0f", "file"),
        Metric("params", "minimize", "", "parameters of the network", ",.0f", "static"),
        Metric("macs", "minimize", "", "multiply-accumulate operations of one inference", ",.0f", "static"),
    )
}
"""Every metric, by name; those of trained weights first, in the order in which tables show them."""

STATIC = tuple(name for name, metric in METRICS.items() if metric.stage == "static")
"""What can be counted of a description, without drawing a weight."""

MEASURED = tuple(name for name, metric in METRICS.items() if metric.stage == "measured")
"""What comes of timing a file on the target: a neighbour disturbs it, and it can be measured again."""


def metric(name: str, kind: str = "metric") -> Metric:
    """Give the metric of a name, which may be qualified by an output: `accuracy:species`.

    Args:
        name: As it stands among metrics.
        kind: What is called unknown in the error.

    Raises:
        ObjectiveError: If there is none; names the nearest.
    """
    found = _found(name)
    if found is None:
        raise ObjectiveError(unknown(kind, name, METRICS))
    return found


def needs_training(name: str) -> bool:
    """Whether a metric is of the trained weights; what is none of ours is taken to be."""
    found = _found(name)
    return found is None or found.stage == "trained"


def on_test(name: str) -> str:
    """The field of a metric on the test split: `test_accuracy`, `test_rmse:price`."""
    return f"test_{name}"


def mean_of(name: str) -> str:
    """The field of a metric's mean over seeds: `accuracy_mean`, `rmse_mean:price`."""
    return _extended(name, "mean")


def std_of(name: str) -> str:
    """The field of a metric's standard deviation over seeds: `accuracy_std`, `rmse_std:price`."""
    return _extended(name, "std")


def better(name: str, value: float) -> float:
    """A metric's value with the sign turned where less is better, so that the largest is the best."""
    return value if metric(name).direction == "maximize" else -value


def _found(name: str) -> Metric | None:
    base, colon, part = name.partition(":")
    known = METRICS.get(base)
    if known is None or not colon:
        return known
    return replace(known, name=name) if part and known.stage == "trained" else None


def _extended(name: str, ending: str) -> str:
    base, colon, part = name.partition(":")
    return f"{base}_{ending}{colon}{part}"
