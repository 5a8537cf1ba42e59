"""The bundle: chosen, proven, complete, and run in a place that has numpy and onnxruntime only."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nas.bundle import choose_model, export
from nas.errors import BundleError, ExportError, RunError
from nas.front import front_of
from nas.ledger import open_ledger


def test_the_knee_is_exported_with_proof_and_card(finished_run: Path, tmp_path: Path) -> None:
    model, proof = export(finished_run, tmp_path / "bundle")
    ledger = open_ledger(finished_run)
    assert model.name in {m.name for m in front_of(ledger.models(), ledger.record.parsed_objectives)}
    assert proof.max_rel <= proof.tolerance
    assert proof.valid_accuracy == pytest.approx(model.metrics["accuracy"])
    assert {f.name for f in (tmp_path / "bundle").iterdir()} == {"model.onnx", "bundle.json", "predict.py", "README.md"}
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert f"{proof.test_accuracy:.4f}" in card
    assert f"{model.metrics['latency_ms']:.4f} ms" in card
    description = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert description["labels"] == ["no", "yes"]


def test_the_bundle_predicts_what_was_scored(finished_run: Path, tmp_path: Path, table: Path) -> None:
    export(finished_run, tmp_path / "bundle")
    lines = table.read_text().splitlines()
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(lines[:101]) + "\n")
    done = subprocess.run(
        [sys.executable, "predict.py", str(rows), "--top", "1"],
        cwd=tmp_path / "bundle", capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = [line.split()[0] for line in done.stdout.splitlines()]
    truth = [line.split(",")[-1] for line in lines[1:101]]
    assert np.mean([a == b for a, b in zip(said, truth, strict=True)]) > 0.6


def test_choices(finished_run: Path) -> None:
    ledger = open_ledger(finished_run)
    models = ledger.models()
    named = choose_model(ledger, models[0].name, None, ())
    assert named == models[0]
    fastest = min(m.metrics["latency_ms"] for m in models)
    assert choose_model(ledger, None, None, [f"latency_ms<={fastest}"]).metrics["latency_ms"] == fastest
    accurate = choose_model(ledger, None, None, ["accuracy>=0"])
    assert accurate.metrics["accuracy"] == max(m.metrics["accuracy"] for m in models)
    assert choose_model(ledger, None, models[0].trial, ()).trial == models[0].trial
    with pytest.raises(RunError, match="has no model 'x'; it has "):
        choose_model(ledger, "x", None, ())
    with pytest.raises(RunError, match=r"none of its \d+ models meets latency_ms<=0"):
        choose_model(ledger, None, None, ["latency_ms<=0"])


def test_export_refuses_a_file_that_differs_from_its_network(finished_run: Path, tmp_path: Path) -> None:
    model = next(m for m in open_ledger(finished_run).models() if m.stage == "refined")
    file = model.folder / "model.onnx"
    changed = onnx.load(file)
    weights = next(t for t in changed.graph.initializer if len(t.dims) == 2)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1.01, weights.name))
    onnx.save(changed, file)
    with pytest.raises(ExportError, match="differs from torch by .* Nothing was exported"):
        export(finished_run, tmp_path / "bundle", model=model.name)
    assert not (tmp_path / "bundle").exists()


def test_export_replaces_a_bundle_and_nothing_else(finished_run: Path, tmp_path: Path) -> None:
    export(finished_run, tmp_path / "bundle")
    export(finished_run, tmp_path / "bundle")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(BundleError, match="holds something else than a bundle"):
        export(finished_run, tmp_path / "other")


@pytest.mark.slow
def test_the_bundle_runs_with_numpy_and_onnxruntime_only(finished_run: Path, tmp_path: Path, table: Path) -> None:
    export(finished_run, tmp_path / "bundle")
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "numpy", "onnxruntime"], check=True)
    done = subprocess.run(
        [python, "predict.py", str(table)], cwd=tmp_path / "bundle", capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 400
