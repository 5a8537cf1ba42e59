"""Chains of passes: what a pass brought, what is made once, and that one model's fault is its own refusal."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks.network import MultimodalNet
from nas.compression import Pass, Prune, Quantize, registry
from nas.errors import CompressionError, RunError
from nas.evaluation.assess import Measure
from nas.evaluation.build import build, counts, input_shapes
from nas.formats.onnx_export import compare, export_onnx
from nas.formats.weights import WEIGHTS_FILE, save_weights
from nas.pipeline import compress as module
from nas.pipeline.chains import jobs_of
from nas.pipeline.compress import check_chains, compress_job, load_module
from nas.pipeline.context import WorkerContext
from nas.pipeline.refine import Refusal
from nas.runs.models import Model, read_model, write_model
from nas.targets import Latency, LocalTarget
from nas.tasks import Classification, Task
from nas.tasks.task import Modality, Split
from nas.training import Training

SPACE = """
from nas import Space
from nas.blocks import MLP, Dense, Network
space = Space(Network({"table": Dense(16)}, head=MLP(16)))
"""


def measure(paths: Sequence[Path]) -> Sequence[Latency]:
    return [Latency(1.0, (1.0, 1.0), 1.0, 1.0, 1.0, 1.0, 8, "good", 10, 10, {}) for _ in paths]


def split(n: int) -> Split:
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    return Split({"table": x}, (x[:, 0] > 0).astype(np.int64))


@pytest.fixture
def context(tmp_path: Path) -> WorkerContext:
    modalities = {"table": Modality("vector", (6,), 0.0, 1.0, {})}
    task = Task("made", modalities, Classification(("no", "yes")), split(96), split(32), split(32))
    return WorkerContext(SPACE, tmp_path / "space.py", task, LocalTarget(), Training(epochs=1), (), tmp_path)


@pytest.fixture
def refined(context: WorkerContext) -> Callable[..., Model]:
    """Makes refined models, untrained."""

    def make(trial: int = 0, seed: int = 0) -> Model:
        folder = context.folder / "models" / f"{trial}-refined"
        folder.mkdir(parents=True, exist_ok=True)
        net: MultimodalNet = build(context.space().architecture({}).network, context.task, seed)
        save_weights(net, folder / WEIGHTS_FILE)
        export_onnx(net, input_shapes(net), folder / "model.onnx")
        return write_model(folder, Model(folder.name, trial, "refined", (), None, {}, counts(net), folder))

    return make


HALF, EIGHT = Prune(0.5), Quantize()
CHAINS: list[tuple[Pass, ...]] = [(EIGHT,), (HALF, EIGHT), (HALF,), (Prune(0.125), EIGHT)]


def run(context: WorkerContext, parent: Model, *told: Model, meter: Measure = measure) -> list[Model | Refusal]:
    return [made for job in jobs_of(parent, CHAINS, told) for made in compress_job(context, job, meter)]


def names(made: Sequence[Model | Refusal]) -> list[str]:
    return [made.name if isinstance(made, Model) else f"refused {made.model}" for made in made]


SIBLINGS = ["int8", "prune50", "prune50-int8", "prune12.5", "prune12.5-int8"]


def test_what_chains_share_is_made_once(context: WorkerContext, refined: Callable[..., Model]) -> None:
    parent = refined()
    jobs = jobs_of(parent, CHAINS, [])
    assert [[step[0].label for step in job.chains] for job in jobs] == [["int8"], ["prune50"] * 2, ["prune12.5"]]
    made = run(context, parent)
    assert names(made) == [f"0-refined-{label}" for label in SIBLINGS]
    by_name = {m.name: m for m in made if isinstance(m, Model)}
    assert by_name["0-refined-prune50-int8"].passes == (HALF, EIGHT)
    assert by_name["0-refined-prune50-int8"].parent == "0-refined-prune50"
    assert by_name["0-refined-prune50-int8"].metrics["params"] == by_name["0-refined-prune50"].metrics["params"]
    assert by_name["0-refined-prune50"].metrics["params"] < parent.metrics["params"]
    assert {p.name for p in (context.folder / "models").iterdir()} == {"0-refined", *by_name}
    assert not jobs_of(parent, CHAINS, list(by_name.values()))


def test_a_sibling_is_loaded_with_the_exact_ratio_it_was_made_with(
    context: WorkerContext, refined: Callable[..., Model]
) -> None:
    made = {m.name: m for m in run(context, refined()) if isinstance(m, Model)}
    pruned = load_module(context, made["0-refined-prune12.5"])
    assert counts(pruned)["params"] == made["0-refined-prune12.5"].metrics["params"]


def test_a_sibling_is_made_anew_only_where_what_it_was_made_of_changed(
    context: WorkerContext, refined: Callable[..., Model]
) -> None:
    parent = refined()
    made = [m for m in run(context, parent) if isinstance(m, Model)]
    for number, model in enumerate([*made, parent]):  # as a copy of the run may leave them
        os.utime(model.folder / WEIGHTS_FILE, (number, number))
    assert run(context, parent, *made) == []
    assert names(run(context, refined(seed=1), *made)) == [f"0-refined-{label}" for label in SIBLINGS]


def test_a_chain_goes_on_from_what_is_there(context: WorkerContext, refined: Callable[..., Model]) -> None:
    parent = refined()
    made = [m for m in run(context, parent) if isinstance(m, Model) and not m.name.endswith("prune50-int8")]
    assert names(run(context, parent, *made)) == ["0-refined-prune50-int8"]


def test_a_sibling_without_weights_is_made_again(context: WorkerContext, refined: Callable[..., Model]) -> None:
    parent = refined()
    made = [m for m in run(context, parent) if isinstance(m, Model)]
    (next(m for m in made if m.passes == (EIGHT,)).folder / WEIGHTS_FILE).unlink()
    assert [job.chains for job in jobs_of(parent, CHAINS, made)] == [((EIGHT,),)]


@dataclass(frozen=True)
class Named(Prune):
    """A pass whose label does not tell its ratio."""

    @property
    def label(self) -> str:
        return "prune"


def test_passes_of_one_label_have_folders_of_their_own(
    context: WorkerContext, refined: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PASSES", {**registry.PASSES, "Named": Named})
    parent, chains = refined(), [(Named(0.25),), (Named(0.5), EIGHT)]
    jobs = jobs_of(parent, chains, [])
    first, second = ([*job.names.values()] for job in jobs)
    assert first == ["0-refined-prune"]
    assert re.fullmatch("0-refined-prune-[0-9a-f]{6}", second[0])
    assert second[1] == f"{second[0]}-int8"
    for job in jobs:
        compress_job(context, job, measure)
    models = [read_model(folder) for folder in sorted((context.folder / "models").glob("*-prune*"))]
    assert {model.name: model.passes for model in models} == {
        first[0]: (Named(0.25),), second[0]: (Named(0.5),), second[1]: (Named(0.5), EIGHT)
    }  # fmt: skip
    assert not jobs_of(parent, list(reversed(chains)), models)
    sizes = [counts(load_module(context, model))["params"] for model in models]
    assert sizes == [model.metrics["params"] for model in models]


@given(chains=st.lists(st.lists(st.sampled_from([Prune(0.25), HALF, EIGHT]), min_size=1, max_size=3).map(tuple)))
def test_no_two_jobs_write_to_one_folder_and_none_is_left_out(chains: list[tuple[Pass, ...]]) -> None:
    parent = Model("0-refined", 0, "refined", (), None, {}, {}, Path("models/0-refined"))
    jobs = jobs_of(parent, chains, [])
    written = [name for job in jobs for name in job.names.values()]
    assert len(written) == len(set(written))
    assert {chain for job in jobs for chain in job.chains} == set(chains)
    for job in jobs:
        assert len({chain[0] for chain in job.chains}) == 1
        assert set(job.names) == {chain[:n] for chain in job.chains for n in range(1, len(chain) + 1)}


def test_two_prunes_are_built_again_on_the_weights_that_each_saw(
    context: WorkerContext, refined: Callable[..., Model]
) -> None:
    (job,) = jobs_of(refined(), [(Prune(0.25), HALF)], [])
    made = compress_job(context, job, measure)
    last = made[-1]
    assert isinstance(last, Model)
    samples = {name: values[:16] for name, values in context.task.valid.inputs.items()}
    assert compare(load_module(context, last), last.folder / "model.onnx", samples).max_rel <= 1e-4


def test_a_damaged_model_is_refused_and_the_others_are_made(
    context: WorkerContext, refined: Callable[..., Model]
) -> None:
    damaged, well = refined(0), refined(1)
    (damaged.folder / WEIGHTS_FILE).write_bytes(b"junk")
    (damaged.folder / "model.onnx").write_bytes(b"junk")
    made = run(context, damaged)
    assert names(made) == [f"refused 0-refined-{label}" for label in ("int8", "prune50", "prune12.5")]
    reasons = [m.reason for m in made if isinstance(m, Refusal)]
    assert "cannot be quantized" in reasons[0]
    assert "cannot be loaded" in reasons[1]
    assert len(run(context, well)) == len(SIBLINGS)
    assert not list((context.folder / "models").glob("*.part"))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("odd"), SystemExit(3), RunError("no")])
def test_what_goes_wrong_with_one_sibling_is_its_reason(
    context: WorkerContext, refined: Callable[..., Model], error: BaseException
) -> None:
    def fails(paths: Sequence[Path]) -> Sequence[Latency]:
        if "prune50.part" in str(paths[0]):
            raise error
        return measure(paths)

    made = run(context, refined(), meter=fails)
    told = ("int8", "prune50", "prune12.5", "prune12.5-int8")
    assert names(made) == [f"refused 0-refined-{n}" if n == "prune50" else f"0-refined-{n}" for n in told]
    (reason,) = [m.reason for m in made if isinstance(m, Refusal)]
    assert reason.startswith("no" if isinstance(error, RunError) else f"{type(error).__name__}: {error}")


def test_training_that_fails_is_its_reason_too(context: WorkerContext, refined: Callable[..., Model]) -> None:
    parent = refined()
    spoilt = replace(context, task=replace(context.task, train=split(1)))
    (job,) = jobs_of(parent, [(HALF, EIGHT)], [])
    made = compress_job(spoilt, job, measure)
    assert names(made) == ["refused 0-refined-prune50"]
    assert "the training split has 1 sample" in made[0].reason  # pyright: ignore


def test_a_full_disk_ends_the_command(context: WorkerContext, refined: Callable[..., Model]) -> None:
    def full(_: Sequence[Path]) -> Sequence[Latency]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="no space left on the disk"):
        run(context, refined(), meter=full)


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        (
            [(Quantize(), Prune())],
            r"chain \(int8, prune50\): .* after int8, .* with prune50, .*on the network first",
        ),
        (
            [(Quantize(),), (Prune(), Quantize(), Quantize())],
            r"\(prune50, int8, int8\): goes on after int8, .* expected int8 last",
        ),
        ([()], "a chain is empty; expected at least one pass"),
    ],
)
def test_impossible_chains_are_refused_at_once(chains: list[tuple[Pass, ...]], message: str, tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match=message):
        check_chains(chains)
    with pytest.raises(CompressionError, match=message):
        module.compress(tmp_path, chains=chains)


def test_the_default_chains_are_possible() -> None:
    check_chains(module.CHAINS)
