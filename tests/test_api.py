"""The commands as functions, and a package that imports what is asked for and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from example_runs import RECORD

import nas
from nas.api import Run
from nas.errors import RunError
from nas.report import view
from nas.runs.ledger import create_ledger, open_ledger

HEAVY = {"numpy", "optuna", "pandas", "ray", "scipy", "torch", "onnxruntime", "sqlalchemy"}


@pytest.mark.parametrize("program", ["import nas", "import nas; dir(nas); nas.NasError"])
def test_importing_the_package_imports_nothing_heavy(program: str) -> None:
    line = [sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_looking_at_a_run_needs_no_ray() -> None:
    line = [sys.executable, "-c", "import nas, sys; nas.open_run; nas.Run; nas.search; print(*sys.modules)"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_every_name_is_found_where_it_is_defined() -> None:
    assert set(nas.__all__) == set(nas._HOMES)
    for name, home in nas._HOMES.items():
        assert getattr(nas, name) is getattr(import_module(home), name)
    assert set(nas.__all__) | set(nas._ROOMS) <= set(dir(nas))
    for room in nas._ROOMS:
        assert getattr(nas, room) is import_module(f"nas.{room}")


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    unknown: Any = nas
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'serch'"):
        _ = unknown.serch
    assert not hasattr(unknown, "cheap")


def test_a_folder_without_a_run_is_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run here .*\nBegin one: nas search"):
        nas.open_run(tmp_path)


def test_trials_are_a_table_of_metrics_and_decisions(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path / "run", replace(RECORD, limits=()), "space = 1\n")
    for accuracy in (0.9, 0.8):
        trial = ledger.study.ask()
        trial.suggest_categorical("width", (8,))
        trial.suggest_categorical("params", (1,))
        ledger.complete(trial.number, {"accuracy": accuracy, "latency_ms": 1.0, "params": 7})
    failed = ledger.study.ask()
    ledger.fail(failed.number, "ValueError: no")
    trials = nas.open_run(tmp_path / "run").trials
    assert list(trials.columns) == [
        *("number", "state", "reason", "accuracy", "latency_ms", "params"),
        *("width", "decisions.params"),
    ]
    assert list(trials["state"]) == ["complete", "complete", "failed"]
    assert list(trials["reason"]) == ["", "", "ValueError: no"]
    assert list(trials["accuracy"][:2]) == [0.9, 0.8]
    assert pd.isna(trials["accuracy"][2])
    assert (list(trials["params"][:2]), list(trials["decisions.params"][:2])) == ([7, 7], [1, 1])


def test_a_run_without_trials_has_an_empty_table_and_no_front(tmp_path: Path) -> None:
    create_ledger(tmp_path / "run", RECORD, "space = 1\n")
    run = nas.open_run(tmp_path / "run")
    assert list(run.trials.columns) == ["number", "state", "reason"]
    assert (list(run.front), run.knee, list(run.models)) == ([], None, [])
    assert run.record == RECORD


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Run(Path("run"), "mysql://ann:secret@host/db"))


def test_a_run_from_the_search_to_the_bundle(tmp_path: Path, space_file: Path, table: Path, one_ray: str) -> None:
    terms: Any = {"data": table, "label": "kind", "epochs": 1, "sampler": "random"}
    run = nas.search(space_file, tmp_path / "run", trials=2, **terms)
    assert list(run.trials["state"]) == ["complete"] * 2
    assert set(run.trials["encoders.table.width"]) <= {16, 32, 64}
    assert run.record.command == "nas.search(...)"
    assert nas.search(space_file, tmp_path / "run", trials=3) == run == nas.open_run(tmp_path / "run")
    assert len(run.trials) == 3
    told: list[Any] = []
    assert run.refine(seeds=1, epochs=1, members=1, on_model=told.append) is run
    assert [model.name for model in run.models] == [model.name for model in told]
    assert run.compress(chains=[], on_model=told.append) is run
    assert len(told) == 1
    assert run.front == view(open_ledger(tmp_path / "run")).front
    assert run.knee == run.models[0]
    model, proof = run.export(tmp_path / "bundle", limits=["latency_ms<=1000"])
    assert model == run.models[0]
    assert proof.max_rel < 1e-4
    assert (tmp_path / "bundle" / "predict.py").exists()
    assert [file.name for file in run.report()] == ["front.csv", "front.png", "report.html"]
