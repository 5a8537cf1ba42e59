"""The command as users type it: most in processes of their own, mistakes in this one, since it has imported all."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import nas

from nas import cli
from nas.ledger import open_ledger
from nas.search import search
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
    assert "meets latency_ms<=0" in said


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
