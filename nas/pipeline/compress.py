"""Compress refined models and measure again; only what measures better reaches the front.

Each sibling is a file of its own: exported, scored in ONNX Runtime on the file itself, timed on the target. Calibration
and fine-tuning use training data, selection validation data; the test split is scored once.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.blocks.network import MultimodalNet
from nas.compression import Prune, Quantize, prune_from
from nas.errors import CompressionError, RunError
from nas.evaluation.assess import Measure, assess
from nas.evaluation.border import at_border
from nas.evaluation.build import build, counts, input_shapes
from nas.evaluation.outcome import WORKER_DIED
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import run_onnx
from nas.formats.weights import WEIGHTS_FILE, load_weights, save_weights
from nas.objectives.metrics import STATIC
from nas.pipeline.context import WorkerContext
from nas.pipeline.executors.ray_tune import cluster, run_jobs
from nas.pipeline.refine import Refusal
from nas.pipeline.run import open_run
from nas.pipeline.settle import settle
from nas.runs.files import replace_folder
from nas.runs.ledger import Ledger
from nas.runs.lock import writing
from nas.runs.models import Model, write_model
from nas.training import train

Pass = Prune | Quantize
CHAINS: tuple[tuple[Pass, ...], ...] = ((Quantize(),), (Prune(0.3), Quantize()), (Prune(0.5), Quantize()))
"""What is tried on each model; every step of a chain is a sibling of its own."""

CALIBRATION_SAMPLES = 256


@dataclass(frozen=True)
class CompressJob:
    """One model, chains of passes that begin with the same one, and the siblings that are there, by name."""

    parent: Model
    chains: tuple[tuple[Pass, ...], ...]
    siblings: Mapping[str, Model]


def compress(
    run: str | Path,
    *,
    chains: Sequence[tuple[Pass, ...]] = CHAINS,
    data: str | Path | None = None,
    workers: int | None = None,
    address: str | None = None,
    storage: str = "",
    on_model: Callable[[Model | Refusal], None] = lambda _: None,
) -> Ledger:
    """Make compressed siblings of every refined model of a run.

    A sibling that is already there is not made again, unless what it was made of is another since. What goes wrong
    with one sibling is its refusal; the others are made.

    Args:
        run: The run folder.
        chains: Passes to apply, each chain to every model; what several chains begin with is made once.
        data: Where the run's data are now, if not where they were.
        workers: Jobs at a time, each one model and one first pass; default one for each core.
        address: Of a running Ray cluster.
        storage: URL of the database that holds the study, if one does.
        on_model: Called with each sibling, and with each refusal.

    Raises:
        CompressionError: If a chain cannot be applied to any model.
        RunError: If there is no run, nothing was refined, or the disk is full.
    """
    folder = Path(run)
    check_chains(chains)
    with writing(folder):
        ledger, context = open_run(folder, data, storage)
        settle(ledger, trials=False)
        parents = [model for model in ledger.models() if model.stage == "refined"]
        if not parents:
            raise RunError(f"{folder}: has no refined model to compress.", f"Refine first: nas refine {folder}.")
        siblings = {model.name: model for model in ledger.models()}
        jobs = [job for parent in parents for job in _jobs(parent, chains, siblings)]
        if jobs:
            with cluster(context.target, workers, address) as running:
                for position, made in run_jobs(running, jobs, compress_job, context):
                    for sibling in [Refusal(jobs[position].parent.name, WORKER_DIED.reason)] if made is None else made:
                        on_model(sibling)
    return ledger


def check_chains(chains: Sequence[tuple[Pass, ...]]) -> None:
    """Refuse chains that no model can go through.

    Raises:
        CompressionError: If a chain is empty, or goes on after quantization.
    """
    for chain in chains:
        labels = ", ".join(step.label for step in chain)
        if not chain:
            raise CompressionError("compress: a chain is empty; expected at least one pass.")
        if any(isinstance(step, Quantize) for step in chain[:-1]):
            raise CompressionError(
                f"compress: chain ({labels}) goes on after quantization, which works on the file and not on the "
                "network; expected a prune to come before quantization, and quantization last.",
                "For example (Prune(0.5), Quantize()).",
            )


def compress_job(context: WorkerContext, job: CompressJob, measure: Measure) -> list[Model | Refusal]:
    """Apply chains of passes in a worker; a pass that is refused ends the chains that begin with it."""
    made: dict[tuple[Pass, ...], Model] = {(): job.parent}
    told: list[Model | Refusal] = []
    for chain in _prefixes(job.chains):
        source = made.get(chain[:-1])
        if source is None:
            continue
        sibling = _there(job, chain, source)
        if sibling is None:
            sibling = _sibling(context, job.parent, chain, source, measure)
            told.append(sibling)
        if isinstance(sibling, Model):
            made[chain] = sibling
    return told


def load_module(context: WorkerContext, model: Model) -> MultimodalNet:
    """Build a model's network and load its weights; a pruned one is pruned again from its parent's weights.

    Raises:
        RunError: If its files are missing or do not fit.
        CompressionError: If a pass of it is unknown.
    """
    network = context.space().architecture(model.decisions).network
    module = build(network, context.task, context.training.seed)
    prunes = [prune for label in model.passes if (prune := prune_from(label)) is not None]
    root = model.folder.with_name(f"{model.trial}-refined") if prunes else model.folder
    load_weights(module, root / WEIGHTS_FILE)
    for prune in prunes:
        module = prune.apply(module, input_shapes(module))
    if prunes:
        load_weights(module, model.folder / WEIGHTS_FILE)
    return module.eval()


def _sibling(
    context: WorkerContext, parent: Model, chain: tuple[Pass, ...], source: Model, measure: Measure
) -> Model | Refusal:
    """Apply the last pass of a chain to what those before it made; what goes wrong is the sibling's refusal."""
    folder = _folder(parent, chain)
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)

    def make() -> Model | Refusal:
        draft.mkdir(parents=True)
        begun = time.perf_counter()
        metrics = {
            **_applied(chain[-1], source, context, draft),
            **assess(
                draft / "model.onnx",
                {"": context.task.valid, "test_": context.task.test},
                measure,
                made_of=(source.folder / "model.onnx", parent.folder / "model.onnx"),
            ),
            "compress_s": time.perf_counter() - begun,
            "made_of": _digest(source),
        }
        labels = tuple(step.label for step in chain)
        model = Model(folder.name, parent.trial, "compressed", labels, parent.name, parent.decisions, metrics, folder)
        replace_folder(draft, folder)
        return write_model(folder, model)

    made = at_border(make, lambda reason: Refusal(folder.name, reason), draft)
    shutil.rmtree(draft, ignore_errors=True)
    return made


def _applied(step: Pass, source: Model, context: WorkerContext, folder: Path) -> dict[str, Any]:
    """Write the file and the weights that a pass makes, and tell what was proved and counted of them."""
    if isinstance(step, Quantize):
        unchanged = {name: source.metrics[name] for name in STATIC if name in source.metrics}
        return {**unchanged, **_quantize(step, source.folder / "model.onnx", context, folder)}
    module = load_module(context, source)
    module = step.apply(module, input_shapes(module))
    return {**_fine_tune(module, context, folder), **counts(module)}


def _fine_tune(module: MultimodalNet, context: WorkerContext, folder: Path) -> dict[str, Any]:
    full = context.training
    training = replace(full, epochs=max(2, full.epochs), lr=full.lr / 2)
    train(module, context.task.train, context.task.valid, training)
    save_weights(module, folder / WEIGHTS_FILE)
    samples = {name: context.task.valid.inputs[name][:64] for name in module.modalities}
    parity = export_onnx(module, input_shapes(module), folder / "model.onnx", samples, module.free)
    return {"parity_max_rel": parity.max_rel, "fine_tune_epochs": training.epochs}


def _quantize(step: Quantize, source: Path, context: WorkerContext, folder: Path) -> dict[str, Any]:
    split = context.task.train
    chosen = np.random.default_rng(context.training.seed).permutation(len(split))[:CALIBRATION_SAMPLES]
    step.apply(source, {name: values[chosen] for name, values in split.inputs.items()}, folder / "model.onnx")
    weights = source.with_name(WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).write_bytes(weights.read_bytes())
    valid = context.task.valid.inputs
    same = run_onnx(source, valid).argmax(1) == run_onnx(folder / "model.onnx", valid).argmax(1)
    return {"agreement": float(same.mean())}


def _jobs(parent: Model, chains: Sequence[tuple[Pass, ...]], siblings: Mapping[str, Model]) -> list[CompressJob]:
    """The work left on a model: a job for each first pass, so that no two of them make the same sibling."""
    firsts = dict.fromkeys(chain[0] for chain in chains)
    jobs = [CompressJob(parent, tuple(tuple(c) for c in chains if c[0] == first), siblings) for first in firsts]
    return [job for job in jobs if not _is_done(job)]


def _prefixes(chains: Sequence[tuple[Pass, ...]]) -> list[tuple[Pass, ...]]:
    """Every beginning of chains once, the shorter ones of each chain first."""
    return list(dict.fromkeys(chain[:length] for chain in chains for length in range(1, len(chain) + 1)))


def _is_done(job: CompressJob) -> bool:
    """Whether every sibling is there, made of what the one before it is now."""
    made: dict[tuple[Pass, ...], Model | None] = {(): job.parent}
    for chain in _prefixes(job.chains):
        source = made[chain[:-1]]
        made[chain] = _there(job, chain, source) if source is not None else None
    return None not in made.values()


def _there(job: CompressJob, chain: tuple[Pass, ...], source: Model) -> Model | None:
    """A chain's sibling as it was made of a model; None where there is none, or it was made of another.

    Siblings of older runs do not tell what they were made of: their weights must not be older.
    """
    model = job.siblings.get(_folder(job.parent, chain).name)
    if model is None:
        return None
    files = [place.folder / WEIGHTS_FILE for place in (model, source)]
    if not all(file.exists() for file in files):
        return None
    if "made_of" in model.metrics:
        return model if model.metrics["made_of"] == _digest(source) else None
    return model if files[0].stat().st_mtime >= files[1].stat().st_mtime else None


def _folder(parent: Model, chain: tuple[Pass, ...]) -> Path:
    return parent.folder.with_name("-".join((parent.name, *(step.label for step in chain))))


def _digest(model: Model) -> str:
    """What a model's weights are known by: 16 hexadecimal digits."""
    return hashlib.sha256((model.folder / WEIGHTS_FILE).read_bytes()).hexdigest()[:16]
