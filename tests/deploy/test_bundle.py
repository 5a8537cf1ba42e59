"""The bundle: chosen, proven, complete, and run in a place that has numpy and onnxruntime only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.deploy import bundle
from nas.deploy.bundle import FILES, export
from nas.deploy.predictor import PACKAGE
from nas.errors import BundleError, ExportError, RunError, TaskError
from nas.formats.onnx_file import oldest_runtime
from nas.runs.files import file_hash
from nas.runs.front import front_of
from nas.runs.ledger import open_ledger


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_knee_is_exported_with_proof_and_card(finished_run: Path, tmp_path: Path) -> None:
    model, proof = export(finished_run, tmp_path / "bundle")
    ledger = open_ledger(finished_run)
    assert model.name in {m.name for m in front_of(ledger.models(), ledger.record.parsed_objectives)}
    assert proof.max_rel <= proof.tolerance
    assert proof.scores["accuracy"] == pytest.approx(model.metrics["accuracy"])
    assert {f.name for f in (tmp_path / "bundle").iterdir()} == set(FILES)
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert f"{proof.scores['test_accuracy']:.4f}" in card
    assert f"{model.metrics['latency_ms']:.4f} ms" in card
    description = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert description["output"] == {"type": "Classification", "labels": ["no", "yes"]}


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


def test_the_bundle_says_what_other_programs_need(finished_run: Path, tmp_path: Path) -> None:
    model, _ = export(finished_run, tmp_path / "bundle")
    said = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert said["sha256"] == file_hash(tmp_path / "bundle" / "model.onnx") == file_hash(model.folder / "model.onnx")
    assert said["tensors"] == {
        "inputs": [{"name": "table", "type": "tensor(float)", "shape": ["batch", 8]}],
        "outputs": [{"name": "logits", "type": "tensor(float)", "shape": ["batch", 2]}],
    }
    assert said["output"]["type"] == "Classification"
    assert len(said["output"]["labels"]) == 2
    assert 0 < said["prepare_ms"] < 50
    assert said["prepared"] == {"table": ".json"}
    assert said["oldest_onnxruntime"] == oldest_runtime(model.folder / "model.onnx")


def test_export_replaces_a_bundle_and_nothing_else(finished_run: Path, tmp_path: Path) -> None:
    export(finished_run, tmp_path / "bundle")
    (tmp_path / "bundle" / "__pycache__").mkdir()
    export(finished_run, tmp_path / "bundle")
    assert {each.name for each in (tmp_path / "bundle").iterdir()} == set(FILES)
    (tmp_path / "bundle" / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="holds something else than a bundle: thesis.txt.\nName a new folder"):
        export(finished_run, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "thesis.txt").read_text() == "years"
    (tmp_path / "bundle" / "thesis.txt").rename(tmp_path / "bundle" / PACKAGE / "thesis.txt")
    with pytest.raises(BundleError, match=f"holds something else than a bundle: {PACKAGE}/thesis.txt.\\nName a new"):
        export(finished_run, tmp_path / "bundle")
    assert (tmp_path / "bundle" / PACKAGE / "thesis.txt").read_text() == "years"


def test_export_replaces_bundles_of_other_versions(finished_run: Path, tmp_path: Path) -> None:
    for name, code in (("one-file", ""), ("other-code", "sound.py")):
        bundle = tmp_path / name
        bundle.mkdir()
        for file in ("model.onnx", "predict.py", "bundle.json", "README.md"):
            (bundle / file).touch()
        if code:
            (bundle / PACKAGE / "__pycache__").mkdir(parents=True)
            (bundle / PACKAGE / code).touch()
        export(finished_run, bundle)
        assert {each.name for each in bundle.iterdir()} == set(FILES)
        assert not (bundle / PACKAGE / "sound.py").exists()


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("thesis.txt", "is a file; expected a folder"),
        ("thesis.txt/bundle", "cannot be written: Not a directory"),
        ("other", "holds something else than a bundle: letter.txt"),
        ("only-a-card", "holds something else than a bundle"),
        (".", "is the folder that you are in; .*"),
        ("..", "is the folder that you are in; .*"),
        ("loop", "cannot be written: Symlink loop .*"),
        ("sealed/new/bundle", "cannot be written: .*"),
        ("n" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_else(
    tmp_path: Path, to: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    for name, file in (("other", "letter.txt"), ("only-a-card", "README.md")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "sealed").symlink_to("/proc/sys")  # where nobody can make a folder, root neither
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=rf"^{re.escape(to)}: {message}\.\nName a new folder with --to\.$"):
        export("no-run", to)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_left_of_an_export_that_is_refused(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unknown model 'x'"):
        export(finished_run, tmp_path / "new" / "er" / "bundle", model="x")
    assert not (tmp_path / "new").exists()
    export(finished_run, tmp_path / "bundle")
    before = contents(tmp_path / "bundle")
    with pytest.raises(RunError, match="loosen the limit"):
        export(finished_run, tmp_path / "bundle", limits=["latency_ms<=0"])
    assert contents(tmp_path / "bundle") == before
    model = open_ledger(finished_run).models()[0]
    (model.folder / "model.onnx").write_bytes(b"cut")
    with pytest.raises(ExportError, match="model.onnx: is not the file that was made: .* Nothing was exported"):
        export(finished_run, tmp_path / "bundle", model=model.name)
    assert contents(tmp_path / "bundle") == before
    assert not (tmp_path / "bundle.part").exists()


def test_a_bundle_that_would_prepare_a_table_otherwise_is_refused(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = bundle._description

    def misdescribe(*given: Any) -> dict[str, Any]:
        said = json.loads(json.dumps(describe(*given)))
        said["modalities"]["table"]["preprocessing"]["columns"][-1]["levels"].reverse()
        return said

    monkeypatch.setattr(bundle, "_description", misdescribe)
    with pytest.raises(TaskError, match="column 'colour': the bundle's preparation gives"):
        export(finished_run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_link_to_a_folder_stays_one(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    export(finished_run, tmp_path / "here")
    assert (tmp_path / "here").is_symlink()
    assert (tmp_path / "there" / "model.onnx").exists()


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
