"""The picture and the page; the page in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nas.report import RunView, plot_front, report, view, write_front, write_page
from nas.runs.ledger import Ledger, Trial, open_ledger
from nas.runs.models import Model
from nas.runs.record import RunRecord

CHROMIUM = shutil.which("chromium")
EVIL = "</script><script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"


def shown(run: Path) -> RunView:
    return view(open_ledger(run))


def render(page: Path, tmp_path: Path, *flags: str) -> str:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; tests/install-tools installs it")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'chromium'}", "--window-size=1300,2000", "--virtual-time-budget=8000",
         *flags, page.as_uri()],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def test_files_of_a_run(finished_run: Path) -> None:
    written = report([finished_run])
    assert [f.name for f in written] == ["front.csv", "front.png", "report.html"]
    assert (finished_run / "front.png").stat().st_size > 20_000
    rows = (finished_run / "front.csv").read_text().splitlines()
    assert len(rows) == 1 + len(shown(finished_run).front)
    assert rows[0].startswith("name,accuracy,")


def test_page_in_a_browser(finished_run: Path, tmp_path: Path) -> None:
    report([finished_run])
    page = render(finished_run / "report.html", tmp_path, "--dump-dom")
    assert page.count("main-svg") >= 3
    assert "Final front" in page
    for model in shown(finished_run).front:
        assert isinstance(model, Model)
        assert model.name in page


def test_the_page_asks_the_network_for_nothing(finished_run: Path) -> None:
    report([finished_run])
    page = (finished_run / "report.html").read_text()
    outside = page[: page.index("<script>")] + page[page.index("</head>") :]
    assert "src=" not in outside
    assert "<link" not in outside


def test_what_users_name_cannot_break_out(finished_run: Path, tmp_path: Path) -> None:
    run = shown(finished_run)
    decisions = {EVIL: EVIL}
    evil = replace(
        run,
        record=replace(run.record, name=EVIL, command=EVIL, task=EVIL),
        trials=[replace(t, decisions=decisions) for t in run.trials]
        + [Trial(99, "failed", decisions, {}, reason=EVIL)],
        models=[replace(m, name=EVIL, decisions=decisions) for m in run.models],
        refined=[replace(m, name=EVIL, decisions=decisions) for m in run.refined],
        front=[replace(m, name=EVIL, decisions=decisions) for m in run.front if isinstance(m, Model)],
    )
    write_page([evil], tmp_path / "evil.html")
    page = render(tmp_path / "evil.html", tmp_path, "--dump-dom")
    assert "<title>stolen" not in page
    assert "<img" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def empty(record: RunRecord, trials: Sequence[Trial]) -> RunView:
    return RunView(record, trials, [], record.parsed_objectives, [], [], [], [], None, [])


@pytest.mark.parametrize("trials", [[], [Trial(0, "failed", {}, {}, "it broke")]], ids=["none", "failed only"])
def test_a_run_without_a_complete_trial(finished_run: Path, tmp_path: Path, trials: list[Trial]) -> None:
    run = empty(shown(finished_run).record, trials)
    plot_front(run, tmp_path / "front.png")
    write_page([run], tmp_path / "page.html")
    write_front(run, tmp_path / "front.csv")
    page = (tmp_path / "page.html").read_text()
    assert "No complete trial yet." in page
    assert ("it broke" in page) == bool(trials)


def test_one_objective(finished_run: Path, tmp_path: Path) -> None:
    run = open_ledger(finished_run)
    one = view(Ledger(run.folder, replace(run.record, objectives=("accuracy",)), run.study))
    plot_front(one, tmp_path / "front.png")
    write_page([one], tmp_path / "page.html")
    assert len({item.metrics["accuracy"] for item in one.front}) == 1


def test_several_runs_are_compared(finished_run: Path, pristine_run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(pristine_run, tmp_path / "other"))
    written = report([finished_run, other], to=tmp_path / "compared")
    assert {f.name for f in written[-2:]} == {"comparison.png", "comparison.html"}
    page = render(tmp_path / "compared" / "comparison.html", tmp_path, "--dump-dom")
    assert page.count("Final front of") == 2
