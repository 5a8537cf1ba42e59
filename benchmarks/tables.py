"""The problems that samplers are compared on, each a pure function of the architecture with a known best.

Cells of NAS-Bench-201 (Dong & Yang, 2020) with latencies of HW-NAS devices, and a synthetic space of nested choices in
`nested.py`. Names:

    one-<data>              accuracy; the sampler sees 12 epochs of validation, the pick is scored by 200 of test
    two-<data>-<device>     accuracy (200 epochs, test) against latency; share of the exact front's hypervolume
    three-<data>-<device>   accuracy, latency, parameters; likewise
    limit-<data>-<device>   best accuracy under a latency that a fifth of the space meets; known when it is measured
    known-<data>-<device>   the same where the latency is known beforehand, to every sampler
    nested-one, nested-two  the synthetic space
    mfeat, avdigits         accuracy, latency, size of networks that were really trained (`trained.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import nested
import numpy as np
import pandas as pd
import trained

from nas import Architecture, Space, choose
from nas.evaluation.outcome import Outcome
from nas.objectives import pareto
from nas.objectives.objective import minimised, parse_limit, parse_objective

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")
DATA = ("c10", "c100", "in16")
DEVICES = ("raspi4", "eyeriss")
TITLES = {"c10": "CIFAR-10", "c100": "CIFAR-100", "in16": "ImageNet16-120"}

Score = Callable[[Sequence[Mapping[str, float] | None]], list[float]]
"""After each evaluation in turn, how good the search is; None stands for a candidate that a limit refused."""


@dataclass(frozen=True)
class Problem:
    """What is searched, what is seen, and how the search is scored.

    Attributes:
        name: As on the command line.
        title: What it is, in one line.
        space: What is searched.
        objectives: Metrics that the sampler sees.
        limits: What candidates are held to before they are trained.
        counted: Metrics that a search counts beforehand, as the command does.
        latency_known: Whether the latency is known beforehand too.
        metrics: All metrics of an architecture; `score` is hidden from the sampler.
        worst: For each objective, turned to be minimised, a value that nothing useful is worse than.
        best: As `worst`, the best that there is; peers that need a scale are told both.
        score: Higher is better.
        top: What a perfect search reaches.
        unit: Of the score.
        checkpoints: Evaluations after which the tables read the score.
    """

    name: str
    title: str
    space: Space
    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    counted: tuple[str, ...]
    metrics: Callable[[Architecture], Mapping[str, float]]
    worst: tuple[float, ...]
    best: tuple[float, ...]
    score: Score
    top: float
    unit: str
    checkpoints: tuple[int, ...] = (16, 50, 100, 200)
    latency_known: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """Metrics that are known of an architecture before anything is built."""
        return (*self.counted, *(("latency_ms",) if self.latency_known else ()))

    @property
    def known_limits(self) -> tuple[str, ...]:
        """The limits on what is known."""
        return tuple(text for text in self.limits if parse_limit(text).metric in self.known)

    def static_metrics(self, architecture: Architecture) -> Mapping[str, float]:
        """What is known of an architecture before anything is built."""
        metrics = self.metrics(architecture)
        return {name: metrics[name] for name in self.known}

    def judge(self, architecture: Architecture) -> Outcome:
        """Look an architecture up, and refuse it before its accuracy is known if it breaks a limit."""
        metrics = self.metrics(architecture)
        untrained = {name: value for name, value in metrics.items() if name not in ("accuracy", "score")}
        limits = [parse_limit(text) for text in self.limits]
        violations = {str(limit): amount for limit in limits if (amount := limit.violation(untrained)) > 0}
        if violations:
            return Outcome("infeasible", untrained, f"breaks {', '.join(violations)}", violations)
        return Outcome("complete", {**untrained, "accuracy": metrics["accuracy"]})

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """The objectives of an outcome, turned to be minimised; NaN where it was refused."""
        return minimised([parse_objective(text) for text in self.objectives], outcome.metrics)


@dataclass(frozen=True)
class Edges:
    """The six edges of a cell, each one operation."""

    e01: Any
    e02: Any
    e12: Any
    e03: Any
    e13: Any
    e23: Any


COUNTED = ("params", "macs")
"""What `nas search` counts of every candidate."""

CELLS = Space(Edges(*[choose(*OPERATIONS) for _ in EDGES]))
"""Flat: six choices of five, and each of the 15,625 is another architecture."""


def names() -> list[str]:
    """All problems."""
    pairs = [f"{data}-{device}" for data in DATA for device in DEVICES]
    return [
        *(f"one-{data}" for data in DATA),
        *(f"{kind}-{pair}" for kind in ("two", "three", "limit", "known") for pair in pairs),
        *("nested-one", "nested-two"),
        *trained.SPACES,
    ]


@cache
def problem(name: str, data: Path) -> Problem:
    """Make a problem by name.

    Args:
        name: One of `names()`.
        data: Folder that holds `nasbench201/nb201.parquet`.
    """
    if name in trained.SPACES:
        return _trained(name)
    kind, *rest = name.split("-")
    if kind == "nested":
        return _nested(name, rest[0])
    if kind == "one":
        return _one(name, rest[0], data)
    return _table(name, kind, *rest, data)


def hypervolume_curve(points: pareto.Points, reference: pareto.Points, whole: float) -> list[float]:
    """The share of a hypervolume in per cent after each point in turn; a row of NaN adds nothing."""
    curve: list[float] = []
    front, share = points[:0], 0.0
    for point in points:
        better = bool((point < reference).all()) and not (front <= point).all(axis=1).any()
        if better:
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
            share = 100 * pareto.hypervolume(front, reference) / whole
        curve.append(share)
    return curve


def best_curve(values: Sequence[float | None], scores: Sequence[float | None], nothing: float) -> list[float]:
    """The score of the pick after each evaluation: what has the highest value so far, the first of equals."""
    curve: list[float] = []
    best, score = -np.inf, nothing
    for value, scored in zip(values, scores, strict=True):
        if value is not None and scored is not None and value > best:
            best, score = value, scored
        curve.append(score)
    return curve


@cache
def _cells(data: Path) -> tuple[pd.DataFrame, Mapping[tuple[str, ...], int]]:
    """The table, and where in it a cell stands.

    Dead cells, which nothing reaches the output of, read about 0 ms on the Raspberry Pi: on every device they are
    floored at the fastest live cell. Their accuracy is chance, so they are on no front anyway.
    """
    table = pd.read_parquet(data / "nasbench201" / "nb201.parquet")
    live = table["c100_test_e200"] > 1.01
    for device in DEVICES:
        column = f"lat_{device}"
        table[column] = table[column].clip(lower=table.loc[live, column].min())
    operations = np.array(OPERATIONS)[table[list(EDGES)].to_numpy()]
    return table, {tuple(row): i for i, row in enumerate(operations.tolist())}


def _row(architecture: Architecture, rows: Mapping[tuple[str, ...], int]) -> int:
    return rows[tuple(str(architecture.decisions[edge]) for edge in EDGES)]


def _lookup(columns: Mapping[str, np.ndarray], rows: Mapping[tuple[str, ...], int]) -> Any:
    """Read metrics of an architecture from columns."""

    def metrics(architecture: Architecture) -> Mapping[str, float]:
        row = _row(architecture, rows)
        return {name: float(column[row]) for name, column in columns.items()}

    return metrics


def _counts(table: pd.DataFrame, data: str) -> Mapping[str, np.ndarray]:
    """What can be counted of a cell; the table has both in millions."""
    return {
        "params": 1e6 * table[f"{data}_params"].to_numpy(np.float64),
        "macs": 1e6 * table[f"{data}_flops"].to_numpy(np.float64),
    }


def _one(name: str, data: str, folder: Path) -> Problem:
    table, rows = _cells(folder)
    seen, scored = (table[f"{data}_{c}"].to_numpy(np.float64) for c in ("val_e12", "test_e200"))
    columns = {
        "accuracy": seen / 100,
        "score": scored,
        **_counts(table, data),
    }
    return Problem(
        name,
        f"{TITLES[data]}: sees validation accuracy after 12 epochs; test accuracy after 200 of the best seen so far",
        CELLS,
        ("accuracy",),
        (),
        COUNTED,
        _lookup(columns, rows),
        (0.0,),
        (-float(seen.max()) / 100,),
        lambda found: best_curve(
            [m and m["accuracy"] for m in found], [m and m["score"] for m in found], float(scored.min())
        ),
        float(scored[seen.argmax()]),
        "% test accuracy",
        (16, 50, 100, 160, 200),
    )


def _table(name: str, kind: str, data: str, device: str, folder: Path) -> Problem:
    table, rows = _cells(folder)
    accuracy = table[f"{data}_test_e200"].to_numpy(np.float64)
    latency = table[f"lat_{device}"].to_numpy(np.float64)
    counts = _counts(table, data)
    metrics = _lookup({"accuracy": accuracy / 100, "latency_ms": latency, **counts}, rows)
    text = f"{TITLES[data]}: test accuracy after 200 epochs"
    if kind in ("limit", "known"):
        bound = float(np.ceil(1000 * np.quantile(latency, 0.2)) / 1000)
        allowed = latency <= bound
        return Problem(
            name,
            f"{text}, latency on {device} at most {bound} ms, which {100 * allowed.mean():.0f} % of the cells meet; "
            + ("known beforehand to all" if kind == "known" else "measured: a refused one counts as evaluated"),
            CELLS,
            ("accuracy",),
            (f"latency_ms<={bound}",),
            COUNTED,
            metrics,
            (0.0,),
            (-float(accuracy[allowed].max()) / 100,),
            lambda found: best_curve(*2 * [[m and 100 * m["accuracy"] for m in found]], float(accuracy.min())),
            float(accuracy[allowed].max()),
            "% test accuracy",
            latency_known=kind == "known",
        )
    objectives = ("accuracy", "latency_ms", "params")[: 2 if kind == "two" else 3]
    params = counts["params"]
    points = np.stack([-accuracy / 100, latency, params][: len(objectives)], axis=1)
    reference = np.array([-np.percentile(accuracy / 100, 5), latency.max(), params.max()][: len(objectives)])
    exact = pareto.front(points)
    return _front_problem(
        name,
        f"{text} against latency on {device}{' and parameters' if kind == 'three' else ''}",
        CELLS,
        objectives,
        COUNTED,
        metrics,
        points[exact],
        reference,
    )


def _front_problem(
    name: str,
    title: str,
    space: Space,
    objectives: tuple[str, ...],
    counted: tuple[str, ...],
    metrics: Callable[[Architecture], Mapping[str, float]],
    front: pareto.Points,
    reference: pareto.Points,
) -> Problem:
    front = front[(front < reference).all(axis=1)]
    whole = pareto.hypervolume(front, reference)
    parsed = [parse_objective(text) for text in objectives]

    def score(found: Sequence[Mapping[str, float] | None]) -> list[float]:
        rows = [minimised(parsed, m or {}) for m in found]
        return hypervolume_curve(np.array(rows).reshape(len(rows), len(parsed)), reference, whole)

    return Problem(
        name,
        f"{title}; share of the hypervolume of the exact front ({len(front)} points)",
        space,
        objectives,
        (),
        counted,
        metrics,
        tuple(reference.tolist()),
        tuple(front.min(axis=0).tolist()),
        score,
        100.0,
        "% of the exact hypervolume",
    )


def _nested(name: str, kind: str) -> Problem:
    front = np.array([(-gain, cost) for cost, gain in nested.exact_front()])
    title = "Nested choices, most of them inactive"
    if kind == "two":
        reference = np.array([-nested.accuracy_at(0.05), nested.largest_cost()])
        return _front_problem(
            name,
            f"{title}: gain against cost",
            nested.SPACE,
            ("accuracy", "latency_ms"),
            (),
            nested.metrics,
            front,
            reference,
        )
    top = float(-front[:, 0].min())
    return Problem(
        name,
        f"{title}: share of the optimum",
        nested.SPACE,
        ("accuracy",),
        (),
        (),
        nested.metrics,
        (0.0,),
        (-top,),
        lambda found: best_curve(*2 * [[m and 100 * m["accuracy"] / top for m in found]], 0.0),
        100.0,
        "% of the optimum",
    )


def _trained(name: str) -> Problem:
    """The three objectives of a search that names none, on a table of real trainings."""
    rows = trained.table(name)
    objectives = ("accuracy", "latency_ms", "size_bytes")
    points = np.array([(-row["accuracy"], row["latency_ms"], row["size_bytes"]) for row in rows.values()])
    reference = np.array([np.percentile(points[:, 0], 95), *points[:, 1:].max(axis=0)])
    problem = _front_problem(
        name,
        f"{len(rows):,} networks for {name}, really trained: accuracy against latency and size",
        trained.SPACES[name],
        objectives,
        COUNTED,
        lambda architecture: rows[architecture.key],
        points[pareto.front(points)],
        reference,
    )
    return replace(problem, checkpoints=(16, 24, 50, 100, 200))
