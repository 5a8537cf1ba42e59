"""Pictures and pages of runs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from nas.pipeline.settle import settle_unless_busy
from nas.report.page import write_page
from nas.report.plots import plot_comparison, plot_front
from nas.report.view import RunView, all_columns, view
from nas.runs.ledger import Ledger, open_ledger

__all__ = ["RunView", "plot_comparison", "plot_front", "report", "view", "write_front", "write_page"]


def report(runs: Sequence[str | Path], to: str | Path | None = None, storage: str = "") -> list[Path]:
    """Write `front.csv`, `front.png` and `report.html` of each run; of several also a comparison.

    Latencies of the front that were measured in a noisy moment are measured again before, unless another process writes
    to the run.

    Args:
        runs: Run folders.
        to: Folder for the comparison of several runs; default the first run's folder.
        storage: URL of the database that holds the studies, if one does.

    Returns:
        The files written.

    Raises:
        RunError: If a folder holds no run.
    """
    views = [view(_settled(Path(run), storage)) for run in runs]
    written: list[Path] = []
    for run, shown in zip(runs, views, strict=True):
        folder = Path(run)
        write_front(shown, folder / "front.csv")
        plot_front(shown, folder / "front.png")
        write_page([shown], folder / "report.html")
        written += [folder / "front.csv", folder / "front.png", folder / "report.html"]
    if len(views) > 1:
        folder = Path(to or runs[0])
        folder.mkdir(parents=True, exist_ok=True)
        plot_comparison(views, folder / "comparison.png")
        write_page(views, folder / "comparison.html")
        written += [folder / "comparison.png", folder / "comparison.html"]
    return written


def _settled(folder: Path, storage: str) -> Ledger:
    """The ledger of a run, its front measured quietly as far as it can be."""
    ledger = open_ledger(folder, storage_url=storage)
    settle_unless_busy(ledger)
    return ledger


def write_front(run: RunView, to: Path) -> None:
    """Write the final front as a table, in order of latency."""
    temporary = to.with_name(to.name + ".part")
    with temporary.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        names = [column.field for column in all_columns(run.record)]
        names.insert(names.index("latency_ms") + 1, "latency_quality")
        writer.writerow(["name", *names, "passes"])
        for item in run.front:
            passes = "+".join(step.label for step in getattr(item, "passes", ()))
            writer.writerow([item.name, *(item.metrics.get(name, "") for name in names), passes])
    temporary.replace(to)
