"""The command as users type it: most in processes of their own, mistakes in this one, since it has imported all."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from example_runs import SPACE, nas

from nas import cli
from nas.pipeline.search import search
from nas.runs.ledger import open_ledger
from nas.training import Training

Mistaken = Callable[..., tuple[int, str]]


@pytest.fixture
def mistaken(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Mistaken:
    """The command in this process: its exit code, and what it says on standard error, in one line."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capfd.readouterr().err.replace("\n", " ")

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["serch"], 2, "No such command 'serch'"),
        (["search"], 2, "Missing argument 'SPACE.py'"),
        (["search", "none.py"], 1, "none.py: there is no such file"),
        (["search", "SPACE", "--time", "10"], 2, "--time '10': expected a number and s, m or h"),
        (["search", "SPACE", "--run", "TMP/a", "--task", "digit"], 1, "unknown task 'digit'; known: avdigits, digits"),
        (["search", "SPACE", "--run", "TMP/a", "--task", "avdigits", "--data", "TMP/no"], 1, "is not a folder"),
        (["search", "SPACE", "--run", "TMP/a", "--data", "TMP/no.csv", "--label", "x"], 1, "there is no such table"),
        (["search", "SPACE", "--run", "TMP/a", "--label", "x"], 1, "--label x: names a column, but no table is given"),
        (["search", "SPACE", "--run", "TMP/a", "--target", "locl"], 1, "unknown target 'locl'; known: local"),
        (["search", "SPACE", "--run", "TMP/a", "--sampler", "nsga22"], 1, "Did you mean 'nsga2'"),
        (["search", "SPACE", "--run", "TMP/a", "--screen", "synflo"], 1, "unknown proxy 'synflo'; known: grad_norm, "),
        (["search", "SPACE", "--run", "TMP/a", "--limit", "latency<=2"], 1, "unknown metric 'latency'"),
        (["refine", "TMP/none"], 1, "there is no run here"),
        (["report", "TMP/none"], 1, "there is no run here"),
        (["measure", "TMP/none.onnx"], 1, "there is no such file; expected an ONNX model"),
        (["predict", "TMP", "x.npz"], 2, "is not a bundle"),
        (["export", "TMP/none", "--to", "TMP/none/x"], 1, "there is no run here"),
        (["export", "TMP/none", "--to", "SPACE"], 1, "is a file; expected a folder"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], code: int, message: str, tmp_path: Path, space_file: Path, mistaken: Mistaken
) -> None:
    told, said = mistaken(
        *(a.replace("TMP", str(tmp_path)).replace("SPACE", str(space_file), a == "SPACE") for a in arguments)
    )
    assert told == code
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "a" / "run.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["serch"], 2, "No such command 'serch'"), (["search", "SPACE", "--run", "TMP", "--task", "digit"], 1, "unknown")],
)
def test_a_mistake_ends_the_process_with_its_code(
    arguments: list[str], code: int, message: str, tmp_path: Path, space_file: Path
) -> None:
    done = nas(*(a.replace("TMP", str(tmp_path)).replace("SPACE", str(space_file)) for a in arguments))
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_describe(space_file: Path) -> None:
    done = nas("describe", space_file)
    assert "36 architectures" in done.stdout
    assert "width: one of 16, 32, 64" in done.stdout


@pytest.mark.parametrize("line", [["-m", "nas"], ["-m", "nas.cli"]])
def test_the_version(line: list[str]) -> None:
    done = subprocess.run([sys.executable, *line, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"nas {version('nas')}\n"


@pytest.mark.parametrize(("words", "completed"), [("nas ref", "refine"), ("nas search --epo", "--epochs")])
def test_the_shell_completes(words: str, completed: str) -> None:
    asked = {"_NAS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-m", "nas"], env=os.environ | asked, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, [completed]), done.stderr


def test_completion_is_shown_for_a_shell() -> None:
    line = [sys.executable, "-m", "nas", "--show-completion"]
    environment = {**os.environ, "SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([*line, "bash"], env=environment, capture_output=True, text=True)
    assert "_NAS_COMPLETE=complete_bash" in done.stdout


@pytest.mark.parametrize("command", ["search", "describe", "refine", "compress", "export"])
def test_help_says_that_a_space_is_a_program(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.app([command, "--help"], prog_name="nas", standalone_mode=False) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Python program" in said
    assert ("own copy" in said) == (command not in ("search", "describe"))


def test_the_recorded_command_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/x/nas/__main__.py", "search", "a b.py", "--storage", "mysql://ann:se'c@ret@h/d"]
    )
    assert cli._command_line() == "nas search 'a b.py' --storage 'mysql://ann:***@h/d'"


@pytest.mark.parametrize("from_environment", [True, False])
def test_no_error_has_a_password(
    from_environment: bool, finished_run: Path, mistaken: Mistaken, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "mysql+none://ann:secret@host/db"
    if from_environment:
        monkeypatch.setenv("NAS_STORAGE", url)
    code, said = mistaken("report", finished_run, *([] if from_environment else ["--storage", url]))
    assert code == 1
    assert "mysql+none://ann:***@host/db" in said
    assert "secret" not in said


def test_on_a_terminal_of_ascii_all_is_said(finished_run: Path, tmp_path: Path, table: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    bundle = tmp_path / "bündel → 1"

    def said(*arguments: object) -> str:
        line = [sys.executable, "-m", "nas", *map(str, arguments)]
        done = subprocess.run(line, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        return done.stdout.decode("ascii")

    assert "b\\xfcndel \\u2192 1: " in said("export", finished_run, "--to", bundle)
    assert "b\\xfcndel \\u2192 1/model.onnx" in said("measure", bundle / "model.onnx", bundle / "model.onnx")
    assert "front.csv" in said("report", finished_run)
    assert "yes" in said("predict", bundle, table)
    assert "cores" in said("doctor")


def test_a_model_with_seeds_is_shown_on_ascii() -> None:
    program = """
from pathlib import Path
from nas.cli import _show_model, speak_any_encoding
from nas.runs.models import Model
from example_runs import RECORD
speak_any_encoding()
metrics = dict(accuracy=.9, accuracy_mean=.8, accuracy_std=.1, test_accuracy=.7, latency_ms=1.0, size_bytes=1)
_show_model(Model("1-refined", 1, "refined", (), None, {}, metrics, Path()), RECORD, False)
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "(seeds 0.8000 \\xb1 0.1000)" in done.stdout


def test_json_lines_stand_alone(tmp_path: Path, table: Path, one_ray: str) -> None:
    space = tmp_path / "loud.py"
    space.write_text(f"print('a space speaks')\n{SPACE}")
    options = ["--run", tmp_path / "run", "--data", table, "--label", "kind", "--epochs", 1, "--address", one_ray]
    done = nas("search", space, *options, "--trials", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [
        ["trial", "state", "reason", "metrics", "done", "front", "hypervolume", "left_s"],
        ["run", "notes", "front"],
    ]
    assert "a space speaks" in done.stderr
    files = [json.loads(line)["file"] for line in nas("report", tmp_path / "run", "--json").stdout.splitlines()]
    assert [Path(file).name for file in files] == ["front.csv", "front.png", "report.html"]


def test_doctor() -> None:
    done = nas("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "espeak-ng says 'one'" in " ".join(done.stdout.split())


def test_report_export_measure_predict(finished_run: Path, tmp_path: Path, table: Path, mistaken: Mistaken) -> None:
    assert nas("report", finished_run).returncode == 0
    bundle = tmp_path / "bundle"
    done = nas("export", finished_run, "--knee", "--to", bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proof"]["max_rel"] < 1e-4
    done = nas("measure", bundle / "model.onnx", "--json")
    assert json.loads(done.stdout)["latency_ms"] > 0
    done = nas("predict", bundle, table, "--top", 1)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 400
    code, said = mistaken("export", finished_run, "--limit", "latency_ms<=0", "--to", bundle)
    assert code == 1
    assert "breaks latency_ms<=0" in said
    code, said = mistaken("export", finished_run, "--trial", 99, "--to", bundle)
    assert code == 1
    assert "there is no trial 99; its trials are 0 to 5" in said


def test_the_front_has_the_columns_that_matter(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli._summarise(finished_run, "", False)
    head, *rows = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == [
        "model", "accuracy", "test accuracy", "latency (ms)", "size (bytes)"
    ]  # fmt: skip
    models = {model.name: model.metrics for model in open_ledger(finished_run).models()}
    shown = rows[0].replace(" *", "").split()
    metrics = models[shown[0]]
    assert shown[1:3] == [f"{metrics[name]:.4f}" for name in ("accuracy", "test_accuracy")]
    assert shown[4] == f"{metrics['size_bytes']:,}"


def test_a_screen_chooses_and_is_kept_by_the_run(
    tmp_path: Path, space_file: Path, table: Path, one_ray: str, mistaken: Mistaken
) -> None:
    run = tmp_path / "run"
    options = ["--run", run, "--data", table, "--label", "kind", "--epochs", 1, "--sampler", "random"]
    line = ["search", space_file, *options, "--address", one_ray, "--trials"]
    done = nas(*line, 1, "--screen", "params", "--proposals", 36)
    assert done.returncode == 0, done.stderr
    search(space_file, run, data=table, label="kind", trials=2, sampler="random", training=Training(epochs=1))
    assert len(open_ledger(run).trials()) == 2
    for trial in open_ledger(run).trials():
        assert (trial.decisions["encoders.table.width"], trial.decisions["head.hidden"]) == (64, 16)
        assert trial.decisions["encoders.table.depth"] == 3
    code, said = mistaken(*line, 3, "--screen", "naswot")
    assert code == 1
    assert "was begun with screen params, not naswot" in said


def test_progress_on_a_terminal(tmp_path: Path, space_file: Path, table: Path, one_ray: str) -> None:
    ours, theirs = pty.openpty()
    options = [
        "--data",
        str(table),
        "--label",
        "kind",
        "--epochs",
        "2",
        "--trials",
        "2",
        "--run",
        str(tmp_path / "run"),
        "--address",
        one_ray,
    ]
    line = [sys.executable, "-m", "nas.cli", "search", str(space_file), *options]
    process = subprocess.Popen(line, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(timeout=300) == 0, shown.decode()
    text = shown.decode()
    assert "2/2" in text
    assert "hypervolume" in text
    assert "left" in text
