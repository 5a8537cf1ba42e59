"""The whole way, on real Ray: what a user's run looks like, and what it survives.

These searches share one Ray; `test_processes.py` has those that start their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from example_runs import counted, kept

from nas.compression import Prune, Quantize
from nas.deploy.bundle import export
from nas.errors import DeviceWarning, NasError, ObjectiveError, RunError, SamplerError, TaskError
from nas.pipeline.compress import compress
from nas.pipeline.loop import COUNTED
from nas.pipeline.refine import Refusal, refine
from nas.pipeline.search import search
from nas.runs.front import front_of
from nas.runs.ledger import open_ledger
from nas.runs.models import Model, lineage
from nas.training import Training

pytestmark = pytest.mark.usefixtures("one_ray")

TRICKY = """
import os

import torch
from torch import nn

from nas import Space, choose, module
from nas.blocks import Network


class Tricky(nn.Module):
    def __init__(self, shape, does):
        super().__init__()
        self.does = does
        self.layer = nn.Linear(shape[0], 8)

    def forward(self, x):
        if self.does == "bad shape":
            return x[0, 0]
        if self.does == "nan" and self.training:
            return self.layer(x) * float("nan")
        if self.does == "kill" and self.training:
            os.kill(os.getpid(), 9)
        if self.does == "no export" and torch.onnx.is_in_onnx_export():
            raise RuntimeError("this operator cannot be written")
        return self.layer(x)


space = Space(Network({"table": module(Tricky, does=choose("well", "bad shape", "nan", "kill", "no export"))}))
"""


def test_a_run_has_everything_the_design_names(pristine_run: Path) -> None:
    ledger = open_ledger(pristine_run)
    trials = [t for t in ledger.trials() if t.state in COUNTED]
    assert len(trials) == 6
    assert len(set(counted(pristine_run))) == 6
    for trial in trials:
        assert trial.state == "complete", trial.reason
        assert 0 <= trial.metrics["accuracy"] <= 1
        assert trial.metrics["latency_ms"] > 0
        assert trial.metrics["device"]["cpu"]
        names = {f.name for f in ledger.trial_folder(trial.number).iterdir()}
        assert {"architecture.json", "metrics.json", "history.csv"} <= names
    front = {t.number for t in front_of(trials, ledger.record.parsed_objectives, hopeful=True)}
    kept = {t.number for t in trials if (ledger.trial_folder(t.number) / "weights.safetensors").exists()}
    assert kept == front
    assert not list(pristine_run.glob("trials/*.part"))


def test_refined_and_compressed_models_are_measured_on_their_files(pristine_run: Path) -> None:
    models = open_ledger(pristine_run).models()
    assert {m.stage for m in models} == {"refined", "compressed"}
    by_name = {m.name: m for m in models}
    for model in models:
        assert model.metrics["size_bytes"] == (model.folder / "model.onnx").stat().st_size
        assert {"test_accuracy", "latency_ms", "accuracy"} <= set(model.metrics)
        if model.parent is not None:
            assert by_name[model.parent].passes == model.passes[:-1]
            first = lineage(model)[0].metrics["size_bytes"]
            assert model.metrics["bytes_ratio"] == pytest.approx(model.metrics["size_bytes"] / first)
            assert model.metrics["time_ratio"] > 0
            if not model.passes[1:]:
                assert model.metrics["pass_time_ratio"] == model.metrics["time_ratio"]
    refined = next(m for m in models if m.stage == "refined")
    assert refined.metrics["seeds"] == [0, 1]
    pruned = [m for m in models if m.passes == (Prune(0.5),)]
    assert pruned
    assert all(m.metrics["params"] < by_name[str(m.parent)].metrics["params"] for m in pruned)
    int8 = [m for m in models if m.passes == (Quantize(),)]
    assert all(m.metrics["agreement"] > 0.8 for m in int8)


def test_refining_again_does_nothing(finished_run: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in finished_run.glob("models/*/weights.safetensors")}
    refine(finished_run, seeds=2, epochs=8, members=2)
    assert {f: f.stat().st_mtime_ns for f in finished_run.glob("models/*/weights.safetensors")} == before


def test_compressing_again_does_nothing_but_remove_what_a_killed_worker_left(finished_run: Path) -> None:
    left = finished_run / "models" / "0-refined-int8.part"
    shutil.copytree(next(finished_run.glob("models/*-int8")), left)
    before = {f: f.stat().st_mtime_ns for f in finished_run.glob("models/*/weights.safetensors")}
    told: list[Model | Refusal] = []
    compress(finished_run, on_model=told.append)
    after = {f: f.stat().st_mtime_ns for f in finished_run.glob("models/*/weights.safetensors")}
    assert after == {file: time for file, time in before.items() if file.parent != left}
    assert all(isinstance(made, Refusal) for made in told)


def test_every_failure_is_recorded_with_its_reason(tmp_path: Path, table: Path) -> None:
    space = tmp_path / "tricky.py"
    space.write_text(TRICKY)
    ledger = search(space, tmp_path / "run", data=table, label="kind", trials=5, sampler="random",
                    training=Training(epochs=2), workers=2)  # fmt: skip
    trials = {str(t.decisions["encoders.table.arguments.does"]): t for t in ledger.trials() if t.state in COUNTED}
    assert {n: t.state for n, t in trials.items()} == {
        "well": "complete",
        "bad shape": "failed",
        "nan": "failed",
        "kill": "failed",
        "no export": "failed",
    }
    assert "expected 1 or 2 or 3 axes" in trials["bad shape"].reason
    assert "loss became nan in epoch 0, step 0" in trials["nan"].reason
    assert "worker died twice" in trials["kill"].reason
    assert "cannot be written" in trials["no export"].reason
    assert not list(ledger.folder.glob("trials/*.part"))
    assert trials["nan"].metrics["params"] > 0
    error = (ledger.trial_folder(trials["bad shape"].number) / "error.txt").read_text()
    assert error.startswith("Traceback")
    assert "expected 1 or 2 or 3 axes" in error


def test_a_search_of_which_every_trial_fails_says_why_most_did(tmp_path: Path, table: Path) -> None:
    space = tmp_path / "tricky.py"
    space.write_text(TRICKY.replace('"well", "bad shape", "nan", "kill", "no export"', '"nan", "no export"'))
    with pytest.raises(RunError, match=r"all 2 trials failed, 1 of them so: .*\n.*trials/<number>/error.txt"):
        search(space, tmp_path / "run", data=table, label="kind", trials=2, sampler="grid", training=Training(epochs=1))
    assert [t.state for t in open_ledger(tmp_path / "run").trials()] == ["failed"] * 2


class StopsTheFirst:
    """Ends the first trial after its second epoch."""

    rungs = (1,)

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def reason_to_stop(self, number: int, epoch: int, metrics: Mapping[str, float]) -> str:
        self.heard.append((number, epoch))
        return "" if number else f"valid_accuracy {metrics['valid_accuracy']:.2f} is not enough"


def test_a_scheduler_hears_of_epochs_and_ends_a_trial(tmp_path: Path, table: Path, space_file: Path) -> None:
    run, scheduler = tmp_path / "run", StopsTheFirst()
    objectives = ("accuracy", "size_bytes")
    terms: Any = {"data": table, "label": "kind", "objectives": objectives, "sampler": "random", "epochs": 3}
    first, second = search(space_file, run, trials=2, scheduler=scheduler, **terms).trials()
    assert sorted(scheduler.heard) == [(0, 1), (1, 1)]
    assert (first.state, second.state) == ("stopped", "complete")
    assert first.reason.startswith("valid_accuracy 0.")
    assert {path.name for path in (run / "trials").iterdir()} == {"1"}
    assert "latency_ms" not in second.metrics


def test_a_full_disk_stops_the_search_and_loses_nothing(small_disk: Path, table: Path, space_file: Path) -> None:
    run = small_disk / "run"
    with pytest.raises(RunError, match="no space left on the disk; everything told so far is kept"):
        search(space_file, run, data=table, label="kind", trials=36, training=Training(epochs=1))
    told = {t.number: t for t in open_ledger(run).trials() if t.state in COUNTED}
    assert told
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    ledger = search(space_file, run, trials=len(told) + 2)
    assert len(counted(run)) == len(told) + 2
    again = {t.number: t for t in ledger.trials()}
    assert all(kept(again[n]) == kept(t) for n, t in told.items())


def test_optuna_sampler_and_exhausted_space(tmp_path: Path, table: Path) -> None:
    space = tmp_path / "small.py"
    space.write_text(
        "from nas import Space, choose\nfrom nas.blocks import Dense, Network\n"
        "space = Space(Network({'table': Dense(width=choose(4, 8), depth=choose(1, 2))}))\n"
    )
    run = tmp_path / "run"
    with pytest.raises(SamplerError, match="4 of 10 trials are done, and the space is exhausted: all of its 4"):
        search(space, run, data=table, label="kind", trials=10, sampler="tpe", training=Training(epochs=1))
    assert len(set(counted(run))) == 4


def test_a_limit_that_nothing_meets_says_how_many_were_refused(tmp_path: Path, table: Path, space_file: Path) -> None:
    told = r"limits params<=10: refused all 3 architectures; the nearest is trial \d, which breaks params<=10 \(\d+\)"
    with pytest.raises(ObjectiveError, match=told):
        search(space_file, tmp_path / "run", data=table, label="kind", trials=3, limits=["params<=10"])
    states = [t.state for t in open_ledger(tmp_path / "run").trials()]
    assert states.count("infeasible") == 3
    assert all("train_s" not in t.metrics for t in open_ledger(tmp_path / "run").trials())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "digits", "data": None, "label": None}, "was begun with task table.csv:kind, not digits"),
        ({"objectives": ["accuracy"]}, "was begun with objectives accuracy, latency_ms, size_bytes, not accuracy"),
        ({"limits": ["params<=9"]}, "was begun with limits none, not params<=9"),
        ({"seed": 3}, "was begun with seed 0, not 3"),
        ({"sampler": "random"}, "was begun with sampler surrogate, not random"),
        ({"target": "phone"}, "unknown target 'phone'; known: local"),
        ({"sampler": "nsga22"}, "unknown sampler 'nsga22'.*Did you mean 'nsga2'"),
        ({"objectives": ["acuracy"]}, "unknown objective 'acuracy'.*Did you mean 'accuracy'"),
        ({"limits": ["latency_ms=2"]}, "limit 'latency_ms=2': expected METRIC<=NUMBER"),
    ],
)
def test_a_run_is_not_opened_under_other_terms(
    finished_run: Path, table: Path, space_file: Path, changed: dict[str, object], message: str
) -> None:
    asked: dict[str, object] = {"data": table, "label": "kind", **changed}
    with pytest.raises(NasError, match=message):
        search(space_file, finished_run, trials=6, **asked)  # pyright: ignore


def test_a_run_goes_on_with_other_threads_and_says_so(tmp_path: Path, table: Path, space_file: Path) -> None:
    run = tmp_path / "run"
    search(space_file, run, data=table, label="kind", trials=1, epochs=1, sampler="random", threads=2)
    with pytest.warns(DeviceWarning, match="since 1 trials were complete: threads 1, was 2;"):
        search(space_file, run, trials=2, threads=1)
    ledger = search(space_file, run, trials=3)
    assert [trial.metrics["device"]["threads"] for trial in ledger.trials()] == [2, 1, 1]
    assert [note.partition(":")[0] for note in ledger.record.notes] == [
        "latency is measured otherwise since 1 trials were complete"
    ]


def test_another_target_is_refused(finished_run: Path, table: Path, space_file: Path) -> None:
    record = json.loads((finished_run / "run.json").read_text())
    (finished_run / "run.json").write_text(json.dumps({**record, "target": {**record["target"], "name": "phone"}}))
    with pytest.raises(RunError, match="was begun with target phone, not local"):
        search(space_file, finished_run, data=table, label="kind", target="local", trials=6)


def test_another_space_or_other_data_are_refused(
    finished_run: Path, table: Path, space_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.py"
    other.write_text(
        "from nas import Space, choose\nfrom nas.blocks import Dense, Network\n"
        "space = Space(Network({'table': Dense(width=choose(4, 8))}))\n"
    )
    with pytest.raises(RunError, match="was begun with another space; since then:") as refused:
        search(other, finished_run, data=table, label="kind", trials=6)
    lines = refused.value.message.splitlines()[1:]
    assert "  encoders.table.width: 16, 32, 64 -> 4, 8" in lines
    (finished_run / "space.py").unlink()
    with pytest.raises(RunError, match=r"since then:\n  fingerprint: \w{16} -> \w{16}"):
        search(other, finished_run, data=table, label="kind", trials=6)
    (finished_run / "space.py").write_text(space_file.read_text())
    changed = tmp_path / "changed.csv"
    changed.write_text("".join(table.read_text().splitlines(keepends=True)[:-20]))
    with pytest.raises(RunError, match="the data of task .* differ from those that the run was begun with"):
        refine(finished_run, data=changed)
    with pytest.raises(TaskError, match="there is no such table"):
        refine(finished_run, data=tmp_path / "gone.csv")


CANDIDATES = """
from nas import Candidate, Space, choose, maybe
from nas.blocks import MLP, Dense, Network
from nas.compression import Prune, Quantize
from nas.training import Recipe

space = Space(
    Candidate(
        Network({"table": Dense(width=choose(32, 64))}, head=MLP(32)),
        passes=choose(none=(), eight=(maybe(Prune(ratio=choose(0.3, 0.5))), Quantize()), pruned=(Prune(0.5),)),
        training=Recipe(lr=choose(1e-3, 4e-3), epochs=choose(2, 3)),
    )
)
"""


def test_a_search_over_networks_passes_and_training_goes_the_whole_way(tmp_path: Path, table: Path) -> None:
    space, run = tmp_path / "candidates.py", tmp_path / "run"
    space.write_text(CANDIDATES)
    ledger = search(space, run, data=table, label="kind", trials=14, sampler="random", training=Training(epochs=1),
                    objectives=["accuracy", "size_bytes"], limits=["size_bytes<=100000"])  # fmt: skip
    trials = [trial for trial in ledger.trials() if trial.state in COUNTED]
    assert {trial.state for trial in trials} == {"complete"}, [trial.reason for trial in trials]
    assert {trial.decisions["passes"] for trial in trials} == {"none", "eight", "pruned"}
    for trial in trials:
        folder = ledger.trial_folder(trial.number)
        history = (folder / "history.csv").read_text().splitlines()
        assert len(history) == 1 + int(str(trial.decisions["training.epochs"]))
        kept = folder / "model.onnx"
        assert not kept.exists() or kept.stat().st_size == trial.metrics["size_bytes"]
        assert (folder / "stages").exists() == (kept.exists() and trial.decisions["passes"] != "none")

    refine(run, seeds=1)
    refined = [model for model in open_ledger(run).models() if model.stage == "refined"]
    assert refined
    for model in refined:
        assert model.metrics["epochs"] == 4 * int(str(model.decisions["training.epochs"]))
        assert bool(model.passes) == (model.decisions["passes"] != "none")
    told: list[Model | Refusal] = []
    compress(run, chains=[(Quantize(),)], on_model=told.append)
    models = open_ledger(run).models()
    for model in refined:
        (made,) = [t for t in told if (t.name if isinstance(t, Model) else t.model) == f"{model.name}-int8"]
        if model.passes[-1:] == (Quantize(),):
            assert isinstance(made, Refusal)
            assert "goes on after int8, whose file is not in 32 bits any more" in made.reason
        else:
            assert isinstance(made, Model)
            assert (made.passes, made.parent) == ((*model.passes, Quantize()), model.name)
    for model in models:
        chosen, proof = export(run, tmp_path / model.name, model=model.name)
        assert proof.max_rel <= proof.tolerance
        assert proof.agreement == chosen.metrics.get("agreement", 1.0)
        card = (tmp_path / model.name / "README.md").read_text()
        assert ("measured on the twin in 32 bits" in card) == (Quantize() in model.passes)
        assert f"- passes: {', '.join(step.label for step in model.passes) or 'none'}" in card
    refine(run, seeds=1)
    assert open_ledger(run).models() == models


def test_the_users_own_study_takes_a_sampler(space_file: Path) -> None:
    import nas

    space = nas.load_space(space_file)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=nas.sampler("nsga2", space, seed=0))
    for _ in range(25):
        trial = study.ask()
        width = space.decode(space.ask(trial)).encoders["table"].width
        study.tell(trial, [width, width**2])
    assert len({space.architecture(t.params) for t in study.trials}) == 25
