"""A table of numbers, and one of several columns to predict, each from the search to what the bundle prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bundles import run as run_bundle

from nas.deploy.bundle import export
from nas.errors import ObjectiveError
from nas.pipeline.compress import compress
from nas.pipeline.refine import refine
from nas.pipeline.search import search
from nas.report import report
from nas.runs.ledger import Ledger
from nas.tasks import Classification, MultiTask, Regression, output_from
from nas.training import Training

ROWS = 240


def houses(to: Path) -> Path:
    """A table whose price and kind follow from its numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["price"] = np.round(5000 + 900 * x[:, 0] + 300 * x[:, 1], 2)
    frame["kind"] = np.where(x[:, 1] > 0.2, "new", "old")
    frame.to_csv(to, index=False)
    return to


def whole(folder: Path, space_file: Path, *labels: str) -> tuple[Ledger, dict[str, Any], Path]:
    """Search, refine, compress, report, export; the ledger, `bundle.json`, and the bundle's folder."""
    run, bundle = folder / "run", folder / "bundle"
    table = houses(folder / "houses.csv")
    search(space_file, run, data=table, label=labels, trials=2, sampler="random", training=Training(epochs=4))
    refine(run, seeds=2, epochs=10, members=1)
    ledger = compress(run)
    report([run])
    export(run, bundle)
    return ledger, json.loads((bundle / "bundle.json").read_text()), bundle


def test_a_table_of_numbers(tmp_path: Path, space_file: Path, one_ray: str) -> None:
    ledger, described, bundle = whole(tmp_path, space_file, "price")
    record = ledger.record
    output = output_from(record.output)
    assert isinstance(output, Regression)
    assert output.mean == pytest.approx(5000, rel=0.1)
    assert (record.label, record.main, record.objectives) == (("price",), "rmse", ("rmse", "latency_ms", "size_bytes"))
    assert "column 'price' is predicted as a number: it holds" in " ".join(record.notes)
    history = (ledger.trial_folder(0) / "history.csv").read_text().splitlines()[0]
    assert history == "epoch,loss,valid_rmse,seconds"
    refined = next(model for model in ledger.models() if model.stage == "refined")
    assert {"rmse", "mae", "r2", "test_rmse", "rmse_mean", "test_r2_std"} <= set(refined.metrics)
    assert refined.metrics["rmse"] < 900
    assert described["output"] == record.output
    lines = run_bundle(bundle, str(tmp_path / "houses.csv")).stdout.splitlines()
    said = np.array(lines, dtype=float)
    prices = pd.read_csv(tmp_path / "houses.csv")["price"]
    assert np.corrcoef(said, prices)[0, 1] > 0.5
    assert 2000 < said.mean() < 8000
    first = json.loads(run_bundle(bundle, "--json", str(tmp_path / "houses.csv")).stdout.splitlines()[0])
    assert first["value"] == pytest.approx(said[0], rel=1e-5)
    card = (bundle / "README.md").read_text()
    assert "| validation rmse |" in card
    assert "**standardised number**" in card
    page = (tmp_path / "run" / "report.html").read_text()
    assert "validation rmse" in page
    assert "accuracy" not in page[page.index("Final front") : page.index("Hypervolume")]


def test_several_columns_at_once(tmp_path: Path, space_file: Path, one_ray: str) -> None:
    ledger, _, bundle = whole(tmp_path, space_file, "price", "kind")
    record = ledger.record
    output = output_from(record.output)
    assert isinstance(output, MultiTask)
    assert output.parts["kind"] == Classification(("new", "old"))
    assert record.main == "mean_score"
    refined = next(model for model in ledger.models() if model.stage == "refined")
    assert {"accuracy:kind", "test_rmse:price", "r2_mean:price", "test_accuracy_std:kind"} <= set(refined.metrics)
    lines = run_bundle(bundle, "--top", "1", str(tmp_path / "houses.csv")).stdout.splitlines()
    assert len(lines) == 2 * ROWS
    assert float(lines[0].removeprefix("price: ")) > 0
    assert lines[1].startswith(("kind: new ", "kind: old "))
    first = json.loads(run_bundle(bundle, "--json", str(tmp_path / "houses.csv")).stdout.splitlines()[0])
    assert set(first) == {"price", "kind"}
    assert sum(first["kind"].values()) == pytest.approx(1)
    assert "| validation accuracy of kind |" in (bundle / "README.md").read_text()


def test_a_metric_that_the_task_does_not_have_is_refused(tmp_path: Path, space_file: Path) -> None:
    table = houses(tmp_path / "houses.csv")
    with pytest.raises(ObjectiveError, match="accuracy: is no metric of .* a Regression; it has rmse, mae, r2."):
        search(space_file, tmp_path / "run", data=table, label="price", objectives=["accuracy", "latency_ms"])
    with pytest.raises(ObjectiveError, match="rmse:kind: is no metric of .* it has mean_score, rmse:price"):
        search(space_file, tmp_path / "run", data=table, label=["price", "kind"], limits=["rmse:kind<=3"])
