"""The record of a run: what is written is read, whoever died in between."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import RECORD

from nas.compression import Prune, Quantize
from nas.errors import RunError
from nas.objectives.objective import Limit, Objective
from nas.runs.files import replace_folder, write_json
from nas.runs.ledger import Ledger, create_ledger, open_ledger
from nas.runs.lock import writing
from nas.runs.models import Model, write_model
from nas.runs.record import RunRecord, read_record

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The hash of an empty file."""


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
    with writing(ledger.folder):
        again = open_ledger(ledger.folder)
        again.complete(ask(again), {"accuracy": 0.6, "latency_ms": 1.0})
    assert [t.metrics["accuracy"] for t in open_ledger(ledger.folder).trials()] == [0.5, 0.6]


def test_only_one_process_writes(tmp_path: Path) -> None:
    hold = "with nas.runs.lock.writing(pathlib.Path(sys.argv[1])):\n    print('held')\n    input()"
    code = f"import sys, pathlib, nas.runs.lock\n{hold}"
    line = [sys.executable, "-u", "-c", code, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is writing to this run"), writing(tmp_path):
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
    with pytest.raises(RunError, match=r"run.json: is damaged: KeyError: 'task'"):
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
    written = write_model(folder, model)
    assert ledger.models() == [written] == [replace(model, metrics={**model.metrics, "sha256": NOTHING})]


def test_every_state_is_answered_from_its_first_trial(ledger: Ledger) -> None:
    done, broken, failed = (ask(ledger) for _ in range(3))
    ledger.complete(done, {"accuracy": 0.5, "latency_ms": 2.0})
    ledger.refuse(broken, {"params": 10}, "breaks it", {"params<=9": 1.0})
    ledger.fail(failed, "it broke")
    copies = [ask(ledger) for _ in range(3)]
    for number, original in zip(copies, (done, broken, failed), strict=True):
        ledger.answer(number, ledger.trial(original))
    again = open_ledger(ledger.folder)
    for number, original in zip(copies, (done, broken, failed), strict=True):
        copy, first = again.trial(number), again.trial(original)
        assert (copy.state, copy.duplicate_of) == ("duplicate", original)
        assert (copy.metrics, copy.reason) == (first.metrics, first.reason)
        assert again.study.trials[number].state == again.study.trials[original].state
        assert first.duplicate_of is None


def test_an_abandoned_trial_is_no_failure(ledger: Ledger) -> None:
    cut_off, failed = ledger.study.ask().number, ask(ledger)
    ledger.abandon(cut_off)
    ledger.fail(failed, "it broke")
    trials = open_ledger(ledger.folder).trials()
    assert [(t.state, t.reason, dict(t.decisions)) for t in trials] == [
        ("abandoned", "", {}),
        ("failed", "it broke", trials[1].decisions),
    ]


def test_enqueued_trials_are_not_listed_until_they_are_asked_for(ledger: Ledger) -> None:
    ledger.study.enqueue_trial({"x": 3})
    assert ledger.trials() == []
    ask(ledger)
    assert [dict(t.decisions) for t in ledger.trials()] == [{"x": 3}]


def test_times_are_kept_and_a_running_trial_has_not_finished(ledger: Ledger) -> None:
    running, done = ask(ledger), ask(ledger)
    ledger.complete(done, {"accuracy": 0.5, "latency_ms": 2.0})
    assert ledger.trial(running).finished == 0
    assert 0 < ledger.trial(done).started <= ledger.trial(done).finished
    assert open_ledger(ledger.folder).trials() == ledger.trials()


def test_a_violation_without_end_is_written_as_a_number(ledger: Ledger) -> None:
    number = ask(ledger)
    ledger.refuse(number, {}, "unknown", {"params<=9": math.inf})
    assert open_ledger(ledger.folder).study.trials[number].constraints == {"params<=9": 1e300}


def test_the_study_names_its_objectives(ledger: Ledger) -> None:
    assert ledger.study.metric_names == list(ledger.record.objectives)
    assert open_ledger(ledger.folder).study.metric_names == list(ledger.record.objectives)


def test_a_result_without_an_objective_is_not_taken_for_complete(ledger: Ledger) -> None:
    number = ask(ledger)
    with pytest.raises(KeyError, match="latency_ms"):
        ledger.complete(number, {"accuracy": 0.5})
    assert open_ledger(ledger.folder).trial(number).state == "running"


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_journal_cut_anywhere_in_its_last_line_loses_that_line_only(ledger: Ledger, cut: int) -> None:
    ledger.complete(ask(ledger), {"accuracy": 0.5, "latency_ms": 2.0})
    last = ask(ledger)
    ledger.fail(last, "it broke")
    journal = ledger.folder / "journal.log"
    content = journal.read_bytes()
    assert len(content.splitlines()[-1]) > cut
    journal.write_bytes(content[:-cut])
    assert [t.state for t in open_ledger(ledger.folder).trials()] == ["complete", "running"]
    assert journal.read_bytes() == content[:-cut], "a reader cut what another may be writing"
    with writing(ledger.folder):
        again = open_ledger(ledger.folder)
        assert journal.read_bytes() == b"".join(content.splitlines(keepends=True)[:-1])
        again.fail(last, "it broke again")
        again.complete(ask(again), {"accuracy": 0.6, "latency_ms": 1.0})
    assert [t.state for t in open_ledger(ledger.folder).trials()] == ["complete", "failed", "complete"]


def test_a_journal_without_a_single_whole_line_holds_no_study(ledger: Ledger) -> None:
    journal = ledger.folder / "journal.log"
    journal.write_bytes(journal.read_bytes()[:10])
    with pytest.raises(RunError, match="the storage holds no study named 'run'"):
        open_ledger(ledger.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSONDecodeError"),
        (b'{"name": "ru', "JSONDecodeError"),
        (b"\xff{}", "UnicodeDecodeError"),
        (b"[]", "TypeError"),
        (b"null", "TypeError"),
        (None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_a_damaged_record_is_named_with_its_damage(ledger: Ledger, content: bytes | None, message: str) -> None:
    file = ledger.folder / "run.json"
    if content is None:
        content = json.dumps({**json.loads(file.read_text()), "objectives": None}).encode()
    file.write_bytes(content)
    with pytest.raises(RunError, match=f"run.json: is damaged: {message}"):
        read_record(ledger.folder)


@pytest.mark.parametrize(
    "name", [f.name for f in fields(RunRecord) if f.default is MISSING and f.default_factory is MISSING]
)
def test_a_record_that_lacks_a_field_says_which(ledger: Ledger, name: str) -> None:
    file = ledger.folder / "run.json"
    values = json.loads(file.read_text())
    del values[name]
    file.write_text(json.dumps(values))
    with pytest.raises(RunError, match=f"is damaged: KeyError: '{name}'"):
        read_record(ledger.folder)


def test_the_record_has_its_terms_as_values(ledger: Ledger) -> None:
    record = read_record(ledger.folder)
    assert record == RECORD
    assert record.parsed_objectives == (Objective("accuracy"), Objective("latency_ms"))
    assert record.parsed_limits == (Limit("params", "<=", 9.0),)
    assert [d.name for d in ledger.study.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_a_second_writer_is_refused_and_the_lock_goes_with_the_first(tmp_path: Path) -> None:
    refused = pytest.raises(RunError, match=r"another process is writing to this run\.\nWait for it")
    with writing(tmp_path), refused, writing(tmp_path):
        pytest.fail("both wrote")
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        _ = 1 / 0
    with writing(tmp_path):
        pass


def test_discarding_keeps_what_describes_a_trial(ledger: Ledger) -> None:
    folder = ledger.trial_folder(3)
    draft = folder.with_name("3.part")
    for made in (folder, draft):
        made.mkdir(parents=True)
        for name in ("weights.safetensors", "model.onnx", "notes.json"):
            (made / name).touch()
    ledger.discard_weights(3)
    ledger.discard_draft(3)
    assert [f.name for f in folder.iterdir()] == ["notes.json"]
    assert not draft.exists()
    ledger.discard_weights(99)
    ledger.discard_draft(99)


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": "ä"})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert json.loads(file.read_text(encoding="utf-8")) == {"a": "ä"}
    write_json(file, {"b": 1})
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, name in ((old, "a"), (new, "b")):
        folder.mkdir()
        (folder / name).touch()
    replace_folder(new, old)
    assert [f.name for f in old.iterdir()] == ["b"]
    assert not new.exists()
    replace_folder(old, new)
    assert [f.name for f in new.iterdir()] == ["b"]


def test_models_are_listed_by_name_with_all_they_hold(ledger: Ledger) -> None:
    def model(name: str, **more: Any) -> Model:
        folder = ledger.folder / "models" / name
        folder.mkdir(parents=True)
        made = Model(
            name, 4, "compressed", (Prune(0.5), Quantize()), "4-refined", {"x": None}, {"accuracy": 0.5}, folder
        )
        (folder / "model.onnx").touch()
        return write_model(folder, replace(made, **more))

    later, earlier = model("4-refined-prune50-int8"), model("4-refined", stage="refined", passes=(), parent=None)
    assert open_ledger(ledger.folder).models() == [earlier, later]


@pytest.mark.parametrize("said", [{"stopped": True}, {"abandoned": True}, {"duplicate_of": 0}])
def test_what_is_said_of_a_trial_holds_when_it_is_told(ledger: Ledger, said: dict[str, Any]) -> None:
    """A writer that is killed between the two leaves a trial that is run again."""
    number = ask(ledger)
    ledger._annotate(number, **said)  # pyright: ignore[reportPrivateUsage]
    assert ledger.trial(number).state == "running"
    assert ledger.trial(number).duplicate_of is None
