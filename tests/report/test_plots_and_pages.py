"""Pictures and pages of runs that were made up: what they say, and what they bear."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import LOCAL

from nas.compression import Quantize
from nas.report import RunView, plot_comparison, plot_front, write_page
from nas.report.page import _front_figure, _hover
from nas.report.plots import Plane, _listed, is_wide, noise_bars, planes_of, staircase
from nas.report.view import costs_of, differences, hypervolumes, labels_of
from nas.runs.front import front_of, hypervolume_of, hypervolume_over_trials, knee_of
from nas.runs.ledger import Trial
from nas.runs.models import Model
from nas.runs.record import RunRecord

RECORD = RunRecord(
    name="run", command="nas search space.py", space_file="space.py", space_fingerprint="a", task="digits", data="",
    label=(), output={"type": "Classification", "labels": ["no", "yes"]}, scores=("accuracy",),
    task_fingerprint="b", objectives=("accuracy", "latency_ms"), limits=("latency_ms<=2",), target=LOCAL,
    sampler="nsga2", seed=0, training={}, storage="journal", versions={"python": "3.11"}, revision="", created="now",
)  # fmt: skip


def measure(i: int, **more: Any) -> dict[str, Any]:
    latency = 0.05 * 1.6**i
    return {
        "accuracy": 0.8 + 0.02 * i, "latency_ms": latency, "latency_interval_ms": [latency * 0.99, latency * 1.05],
        "size_bytes": 9000 * (i + 1), "params": 2000 * (i + 1), "macs": 10**5 * (i + 1), **more,
    }  # fmt: skip


def trials(count: int = 8) -> list[Trial]:
    good = [Trial(i, "complete", {"width": 8 * i}, measure(i), started=i, finished=i + 1) for i in range(count)]
    bad = [Trial(count, "failed", {}, {}, "it broke"), Trial(count + 1, "infeasible", {}, {}, "latency_ms<=2 (2.5)")]
    return good + bad


def models() -> list[Model]:
    made: list[Model] = []
    for i in (2, 4, 6):
        spread = {"accuracy_mean": 0.83 + 0.02 * i, "accuracy_std": 0.004, "test_accuracy": 0.82 + 0.02 * i}
        metrics = measure(i, accuracy=0.835 + 0.02 * i, **spread)
        made.append(Model(f"{i}-refined", i, "refined", (), None, {"width": 8 * i}, metrics, Path()))
        small = measure(i - 1, accuracy=0.83 + 0.02 * i, test_accuracy=0.81 + 0.02 * i)
        made.append(
            Model(f"{i}-refined-int8", i, "compressed", (Quantize(),), f"{i}-refined", {"width": 8 * i}, small, Path())
        )
    return made


def shown(trials: Sequence[Trial], models: Sequence[Model], record: RunRecord = RECORD) -> RunView:
    objectives = record.parsed_objectives
    complete = [t for t in trials if t.state == "complete"]
    candidates: Sequence[Trial | Model] = models or complete
    front = front_of(candidates, objectives)
    return RunView(
        record, trials, models, objectives, front_of(complete, objectives),
        [m for m in models if m.stage == "refined"], [m for m in models if m.stage == "compressed"],
        front, knee_of(candidates, objectives) if front else None, hypervolume_over_trials(trials, objectives),
    )  # fmt: skip


def changed(change: Callable[[dict[str, Any]], dict[str, Any]], *objectives: str) -> RunView:
    """A run all of whose metrics are changed."""
    record = replace(RECORD, objectives=objectives or RECORD.objectives)
    return shown(
        [replace(t, metrics=change(dict(t.metrics))) if t.state == "complete" else t for t in trials()],
        [replace(m, metrics=change(dict(m.metrics))) for m in models()],
        record,
    )


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda metrics: {name: value for name, value in metrics.items() if name not in names}


UNUSUAL = {
    "no trial": shown([], []),
    "failed only": shown(trials(0), []),
    "one complete trial": shown(trials(1), []),
    "no models": shown(trials(), []),
    "no size": changed(without("size_bytes")),
    "no deviation": changed(without("accuracy_std")),
    "no interval": changed(without("latency_interval_ms")),
    "only accuracy": changed(without("latency_ms", "latency_interval_ms", "size_bytes"), "accuracy"),
    "no accuracy": changed(without("accuracy"), "latency_ms", "size_bytes"),
    "size 0": changed(lambda metrics: {**metrics, "size_bytes": 0}),
    "size NaN": changed(lambda metrics: {**metrics, "size_bytes": math.nan}),
    "size None": changed(lambda metrics: {**metrics, "size_bytes": None}),
    "one size 0": changed(
        lambda metrics: {**metrics, "size_bytes": metrics["size_bytes"] * (metrics["accuracy"] > 0.85)}
    ),
    "half an interval": changed(lambda metrics: {**metrics, "latency_interval_ms": [metrics["latency_ms"]]}),
    "interval None": changed(lambda metrics: {**metrics, "latency_interval_ms": [None, metrics["latency_ms"]]}),
    "interval of one number": changed(lambda metrics: {**metrics, "latency_interval_ms": 1.0}),
    "latency in words": changed(lambda metrics: {**metrics, "latency_ms": "unknown"}),
    "one latency infinite": changed(
        lambda metrics: {**metrics, "latency_ms": math.inf if metrics["accuracy"] > 0.9 else metrics["latency_ms"]}
    ),
    "accuracy None": changed(lambda metrics: {**metrics, "accuracy": None}),
    "one huge size": changed(lambda metrics: {**metrics, "size_bytes": 10**400 if metrics["accuracy"] > 0.9 else 1}),
    "one absurd size": changed(
        lambda metrics: {**metrics, "size_bytes": 1e300 if metrics["accuracy"] > 0.9 else 1e-300}
    ),
    "negative deviation": changed(lambda metrics: {**metrics, "accuracy_std": -0.1}),
    "name with controls": shown(trials(), models(), replace(RECORD, name="a\n\x00\x1b[31m\udcff")),
    "name in other letters": shown(trials(), models(), replace(RECORD, name="\u65e5\u672c\u8a9e")),
    "name with formulas": shown(trials(), models(), replace(RECORD, name="a$x_{$b")),
    "long name": shown(trials(), models(), replace(RECORD, name="name" * 60)),
}


@pytest.mark.parametrize("run", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_runs_are_shown(run: RunView, tmp_path: Path) -> None:
    plot_front(run, tmp_path / "front.png")
    plot_comparison([run, run], tmp_path / "comparison.png")
    write_page([run], tmp_path / "page.html")
    write_page([run, run], tmp_path / "pages.html")
    for name in ("front.png", "comparison.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    says_so = "No complete trial yet." in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert says_so == (not run.front)
    assert not list(tmp_path.glob("*.part"))


def test_a_run_of_any_name_stands_in_the_legend(tmp_path: Path) -> None:
    assert [_listed(name) for name in ("_hidden", "run")] == [" _hidden", "run"]
    plot_comparison([shown(trials(), [], replace(RECORD, name="_hidden"))], tmp_path / "c.png")


EVIL = "<script>alert('x')</script>&\"'"


def test_nothing_from_users_or_data_is_markup(tmp_path: Path) -> None:
    texts = ("name", "command", "space_file", "task", "data", "label", "sampler", "revision", "created")
    record = replace(
        RECORD,
        **dict.fromkeys(texts, EVIL),
        limits=(f"rmse:{EVIL}<=1",),
        versions={EVIL: EVIL},
        target={"name": EVIL, "threads": EVIL},
        notes=(EVIL,),
    )
    evil_trials = [replace(t, decisions={EVIL: EVIL}, reason=EVIL) for t in trials()]
    evil_models = [replace(m, name=EVIL, decisions={EVIL: EVIL}) for m in models()]
    run = shown(evil_trials, evil_models, RECORD)
    run = replace(run, record=record)
    write_page([run], tmp_path / "page.html")
    write_page([run, replace(run, record=replace(record, target={"name": "other"}))], tmp_path / "pages.html")
    for name in ("page.html", "pages.html"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "<script>alert" not in page
        assert "alert(&#39;x&#39;)" in page


def test_the_page_says_the_hypervolume_that_the_terminal_says(tmp_path: Path) -> None:
    run = shown(trials(), [])
    write_page([run], tmp_path / "page.html")
    said = f"in the end {hypervolume_of(run.trials, run.objectives):.3f}."
    assert said in (tmp_path / "page.html").read_text(encoding="utf-8")


LATENCY = Plane("latency_ms", "accuracy")
SIZE = Plane("size_bytes", "accuracy")


def traces(runs: Sequence[RunView], plane: Plane = LATENCY) -> list[dict[str, Any]]:
    return json.loads(_front_figure(runs, plane).to_json())["data"]


def test_every_stage_stands_in_the_figure() -> None:
    run = shown(trials(), models())
    assert run.knee is not None
    names = [trace["name"] for trace in traces([run]) if trace.get("showlegend", True)]
    assert names == [
        "searched (few epochs)", "front of the search", "refined, 32 bits", "compressed",
        f"knee: {run.knee.name if isinstance(run.knee, Model) else run.knee.number}",
    ]  # fmt: skip


def test_noise_stands_at_the_latency_only() -> None:
    run = shown(trials(), models())
    level = [trace["error_x"] for trace in traces([run]) if "error_x" in trace]
    first = run.refined[0].metrics["latency_ms"]
    assert level[0]["array"][0] == pytest.approx(first * 0.05)
    assert level[0]["arrayminus"][0] == pytest.approx(first * 0.01)
    assert not any("error_x" in trace for trace in traces([run], SIZE))
    assert noise_bars([replace(run.refined[0], metrics={"latency_ms": 1.0, "accuracy": 0.5})], LATENCY) == ([], [], [])


def test_a_run_keeps_its_colour_in_a_comparison() -> None:
    run = shown(trials(), models())
    colours: dict[str, set[str]] = {}
    for trace in traces([run, shown(trials(), [])]):
        bars = trace.get("error_x") or trace.get("error_y") or {}
        colour = bars.get("color") or trace.get("line", {}).get("color") or trace["marker"]["color"]
        colours.setdefault(trace["legendgroup"], set()).add(colour)
    assert list(map(len, colours.values())) == [1, 1]
    assert len(set.union(*colours.values())) == 2


def test_validation_and_test_accuracy_have_different_names() -> None:
    text = _hover(models()[0], RECORD)
    assert "validation accuracy <b>0.8750</b>" in text
    assert "test accuracy <b>0.8600</b>" in text
    assert "width = 16" in text
    assert "size" not in _hover(replace(models()[0], metrics={"size_bytes": math.nan}), RECORD)


def test_axes_are_logarithmic_where_costs_span_a_decade() -> None:
    assert is_wide([1.0, 10.0])
    assert not is_wide([1.0, 2.0])
    assert not is_wide([0.0, 10.0])
    assert not is_wide([])


def test_a_staircase_holds_what_is_not_dominated() -> None:
    worse = replace(trials()[0], metrics={"accuracy": 0.1, "latency_ms": 1.0})
    assert staircase([*trials(), worse], LATENCY) == trials()[:8]


def test_the_main_metric_is_drawn_against_each_other_objective() -> None:
    def costs(*objectives: str) -> list[str]:
        return costs_of([shown(trials(), [], replace(RECORD, objectives=objectives))])

    assert costs("accuracy", "latency_ms") == costs("accuracy") == ["latency_ms", "size_bytes"]
    assert costs("accuracy", "params") == ["params", "latency_ms"]
    assert costs("accuracy", "macs", "p95_ms", "size_bytes") == ["macs", "p95_ms", "size_bytes"]
    assert planes_of([shown(trials(), [])])[1].labels == ("size (bytes)", "validation accuracy")


def test_runs_of_one_name_are_told_apart() -> None:
    run, other = shown(trials(), []), shown(trials(), [], replace(RECORD, name="other"))
    assert labels_of([run, other]) == ["run", "other"]
    assert labels_of([run, other, run]) == ["run (1)", "other", "run (2)"]


def test_hypervolumes_of_several_runs_share_one_box() -> None:
    whole, half = shown(trials(8), []), shown(trials(4), [])
    long, short = hypervolumes([whole, half])
    assert short == pytest.approx(long[:4])
    assert list(half.hypervolume) != pytest.approx(long[:4])
    assert hypervolumes([whole]) == [whole.hypervolume]
    assert hypervolumes([shown([], []), shown([], [])]) == [[], []]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    run = shown(trials(), models())
    other = shown(trials(), models(), replace(RECORD, target={"name": "phone"}, objectives=("accuracy", "size_bytes")))
    assert differences([run, run]) == []
    assert differences([run, other]) == ["target", "objectives"]
    assert hypervolumes([run, other]) == []
    write_page([run, other], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "These runs differ in target, objectives: their numbers are not comparable." in page
    assert "Hypervolume over trials" not in page


def test_a_long_list_of_reasons_says_what_it_leaves_out(tmp_path: Path) -> None:
    failed = [Trial(i, "failed", {}, {}, f"reason {'x' * i}") for i in range(25)]
    write_page([shown(failed, [])], tmp_path / "page.html")
    assert "and 5 other reasons" in (tmp_path / "page.html").read_text(encoding="utf-8")
