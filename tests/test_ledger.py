"""The record of a run: what is written is read, whoever died in between."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nas.errors import RunError
from nas.ledger import Ledger, Model, RunRecord, create_ledger, open_ledger, write_model, writing

RECORD = RunRecord(
    name="run",
    command="nas search",
    space_file="s.py",
    space_fingerprint="f",
    task="t",
    data="",
    label="",
    task_fingerprint="g",
    objectives=("accuracy", "latency_ms"),
    limits=("params<=9",),
    target="local",
    sampler="random",
    seed=0,
    training={"epochs": 2},
    storage="journal",
    versions={"python": "3"},
    revision="r",
    created="now",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return create_ledger(tmp_path / "run", RECORD, "space = 1\n")


def ask(ledger: Ledger) -> int:
    trial = ledger.study.ask()
    trial.suggest_categorical("x", (1, 2, 3))
    return trial.number


def test_all_states_are_read_back(ledger: Ledger) -> None:
    numbers = [ask(ledger) for _ in range(6)]
    ledger.complete(numbers[0], {"accuracy": 0.5, "latency_ms": 2.0, "params": 7})
    ledger.refuse(numbers[1], {"params": 10}, "breaks params<=9 (10)", {"params<=9": 1.0})
    ledger.fail(numbers[2], "it broke")
    ledger.answer(numbers[3], ledger.trial(numbers[0]))
    ledger.abandon(numbers[4])
    again = open_ledger(ledger.folder)
    trials = again.trials()
    assert [t.state for t in trials] == ["complete", "infeasible", "failed", "duplicate", "abandoned", "running"]
    assert trials[0].metrics == {"accuracy": 0.5, "latency_ms": 2.0, "params": 7}
    assert trials[1].reason == "breaks params<=9 (10)"
    assert again.study.trials[1].constraints == {"params<=9": 1.0}
    assert trials[3].duplicate_of == numbers[0]
    assert again.study.trials[3].values == [0.5, 2.0]
    assert again.record == RECORD
    assert again.space_source == "space = 1\n"


def test_a_line_that_a_killed_writer_left_unfinished_is_cut_off(ledger: Ledger) -> None:
    ledger.complete(ask(ledger), {"accuracy": 0.5, "latency_ms": 2.0})
    journal = ledger.folder / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "study_i')
    again = open_ledger(ledger.folder)
    again.complete(ask(again), {"accuracy": 0.6, "latency_ms": 1.0})
    assert [t.metrics["accuracy"] for t in open_ledger(ledger.folder).trials()] == [0.5, 0.6]


def test_only_one_process_writes(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path\nfrom nas.ledger import writing\nwith writing(Path({str(tmp_path)!r})):\n    input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        while not (tmp_path / "lock").exists() and other.poll() is None:
            pass
        for _ in range(200):
            try:
                with writing(tmp_path):
                    pass
            except RunError as error:
                assert "another process is writing to this run" in str(error)
                break
        else:
            pytest.fail("both wrote")
        other.kill()
    with writing(tmp_path):
        pass


def test_what_is_no_run_says_so(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(RunError, match="there is no run here"):
        open_ledger(tmp_path / "none")
    with pytest.raises(RunError, match="holds a run already"):
        create_ledger(ledger.folder, RECORD, "")
    values = json.loads((ledger.folder / "run.json").read_text())
    (ledger.folder / "run.json").write_text(json.dumps({**values, "storage": "postgresql"}))
    with pytest.raises(RunError, match="its study lies in a postgresql database, and none was named.*\n.*--storage"):
        open_ledger(ledger.folder)
    (ledger.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json: is damaged: JSONDecodeError"):
        open_ledger(ledger.folder)
    (ledger.folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run.json: is damaged: KeyError: 'name'"):
        open_ledger(ledger.folder)


def test_a_database_takes_the_journals_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    ledger = create_ledger(tmp_path / "run", replace(RECORD, storage="sqlite"), "", storage_url=url)
    ledger.complete(ask(ledger), {"accuracy": 0.5, "latency_ms": 2.0})
    assert not (tmp_path / "run" / "journal.log").exists()
    assert [t.state for t in open_ledger(tmp_path / "run", storage_url=url).trials()] == ["complete"]
    with pytest.raises(RunError, match="storage nonsense"):
        open_ledger(tmp_path / "run", storage_url="nonsense://x")


def test_models_are_listed_when_they_are_whole(ledger: Ledger) -> None:
    folder = ledger.folder / "models" / "0-refined"
    folder.mkdir(parents=True)
    (folder / "model.onnx").touch()
    assert ledger.models() == []
    model = Model("0-refined", 0, "refined", (), None, {"x": 1}, {"accuracy": 0.5}, folder)
    write_model(folder, model)
    assert ledger.models() == [model]
