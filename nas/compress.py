"""Compress refined models and measure again; only what measures better reaches the front.

Each sibling is a file of its own: exported, scored in ONNX Runtime on the file itself, timed on the target. Calibration
and fine-tuning use training data, selection validation data; the test split is scored once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.blocks.network import MultimodalNet
from nas.compression import Prune, Quantize
from nas.errors import CompressionError, RunError
from nas.evaluate import Measure, beside, build, counts, input_shapes
from nas.execution import cluster, run_jobs
from nas.export import export_onnx, run_onnx, score_onnx
from nas.holding import writing
from nas.ledger import Ledger, Model, replace_folder, write_model
from nas.refine import Refusal
from nas.run import Context, open_run
from nas.settle import settle
from nas.training import train
from nas.weights import WEIGHTS_FILE, load_weights, save_weights

Pass = Prune | Quantize
CHAINS: tuple[tuple[Pass, ...], ...] = ((Quantize(),), (Prune(0.3), Quantize()), (Prune(0.5), Quantize()))
"""What is tried on each model; every step of a chain is a sibling of its own."""

CALIBRATION_SAMPLES = 256


@dataclass(frozen=True)
class CompressJob:
    """One model and the passes to apply to it, one after the other."""

    parent: Model
    chain: tuple[Pass, ...]


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

    A sibling that is already there is not made again, unless its parent was refined anew.

    Args:
        run: The run folder.
        chains: Passes to apply, each chain to every model.
        data: Where the run's data are now, if not where they were.
        workers: Models at a time; default one for each core.
        address: Of a running Ray cluster.
        storage: URL of the database that holds the study, if one does.
        on_model: Called with each sibling, and with each refusal.

    Raises:
        RunError: If there is no run, or nothing was refined.
    """
    folder = Path(run)
    with writing(folder):
        ledger, context = open_run(folder, data, storage)
        settle(ledger, trials=False)
        parents = [model for model in ledger.models() if model.stage == "refined"]
        if not parents:
            raise RunError(f"{folder}: has no refined model to compress.", f"Refine first: nas refine {folder}.")
        jobs = [CompressJob(p, tuple(c)) for p in parents for c in chains if not _is_done(ledger, p, tuple(c))]
        if jobs:
            with cluster(context.target, workers, address) as running:
                for _, siblings in run_jobs(running, jobs, compress_job, context):
                    for sibling in siblings:
                        on_model(sibling)
    return ledger


def compress_job(context: Context, job: CompressJob, measure: Measure) -> list[Model | Refusal]:
    """Apply a chain of passes in a worker; a pass that is refused ends the chain."""
    module, parent = load_module(context, job.parent), job.parent
    siblings: list[Model | Refusal] = []
    source = parent.folder / "model.onnx"
    labels: tuple[str, ...] = ()
    for step in job.chain:
        labels = (*labels, step.label)
        name = "-".join((parent.name, *labels))
        draft = parent.folder.with_name(name + ".part")
        draft.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        try:
            if isinstance(step, Prune):
                module = step.apply(module, input_shapes(module))
                proof = _fine_tune(module, context, draft)
            else:
                proof = _quantize(step, source, context, draft)
        except CompressionError as error:
            shutil.rmtree(draft)
            siblings.append(Refusal(name, error.message))
            break
        metrics = {
            **_scored(module, context, draft),
            **beside(draft / "model.onnx", source, parent.folder / "model.onnx", measure),
            **proof,
            "compress_s": time.perf_counter() - begun,
        }
        folder = parent.folder.with_name(name)
        model = Model(name, parent.trial, "compressed", labels, parent.name, parent.decisions, metrics, folder)
        write_model(draft, model)
        replace_folder(draft, folder)
        source = folder / "model.onnx"
        siblings.append(model)
    return siblings


def load_module(context: Context, model: Model) -> MultimodalNet:
    """Build a model's network and load its weights; a pruned one is pruned again from its parent's weights.

    Raises:
        RunError: If its files are missing or do not fit.
    """
    network = context.space().architecture(model.decisions).network
    module = build(network, context.task, context.training.seed)
    prunes = [Prune(int(label.removeprefix("prune")) / 100) for label in model.passes if label.startswith("prune")]
    root = model.folder.with_name(f"{model.trial}-refined") if prunes else model.folder
    load_weights(module, root / WEIGHTS_FILE)
    for prune in prunes:
        module = prune.apply(module, input_shapes(module))
    if prunes:
        load_weights(module, model.folder / WEIGHTS_FILE)
    return module.eval()


def _fine_tune(module: MultimodalNet, context: Context, folder: Path) -> dict[str, Any]:
    full = context.training
    training = replace(full, epochs=max(2, full.epochs), lr=full.lr / 2)
    train(module, context.task.train, context.task.valid, training)
    save_weights(module, folder / WEIGHTS_FILE)
    samples = {name: context.task.valid.inputs[name][:64] for name in module.modalities}
    parity = export_onnx(module, input_shapes(module), folder / "model.onnx", samples, module.free)
    return {"parity_max_rel": parity.max_rel, "fine_tune_epochs": training.epochs}


def _quantize(step: Quantize, source: Path, context: Context, folder: Path) -> dict[str, Any]:
    split = context.task.train
    chosen = np.random.default_rng(context.training.seed).permutation(len(split))[:CALIBRATION_SAMPLES]
    step.apply(source, {name: values[chosen] for name, values in split.inputs.items()}, folder / "model.onnx")
    weights = source.with_name(WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).write_bytes(weights.read_bytes())
    valid = context.task.valid.inputs
    same = run_onnx(source, valid).argmax(1) == run_onnx(folder / "model.onnx", valid).argmax(1)
    return {"agreement": float(same.mean())}


def _scored(module: MultimodalNet, context: Context, folder: Path) -> dict[str, Any]:
    file, task = folder / "model.onnx", context.task
    return {
        "accuracy": score_onnx(file, task.valid.inputs, task.valid.targets),
        "test_accuracy": score_onnx(file, task.test.inputs, task.test.targets),
        "size_bytes": file.stat().st_size,
        **counts(module),
    }


def _is_done(ledger: Ledger, parent: Model, chain: tuple[Pass, ...]) -> bool:
    name = "-".join((parent.name, *(step.label for step in chain)))
    file, source = (folder / WEIGHTS_FILE for folder in (ledger.folder / "models" / name, parent.folder))
    return file.exists() and file.stat().st_mtime >= source.stat().st_mtime
