"""Compress refined models and measure again; only what measures better reaches the front.

Each sibling is a file of its own: exported, scored in ONNX Runtime on the file itself, timed on the target. Calibration
and fine-tuning use training data, selection validation data; the test split is scored once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nas.blocks.network import MultimodalNet
from nas.compression import Pass, Prune, Quantize, TrainedModel, check_chain
from nas.errors import CompressionError, RunError
from nas.evaluation.applied import apply_pass, rebuild, trained_model
from nas.evaluation.assess import Measure, assess
from nas.evaluation.border import at_border
from nas.evaluation.build import build
from nas.evaluation.candidate import Candidate, candidate_of
from nas.evaluation.context import Report, go_on
from nas.evaluation.outcome import WORKER_DIED
from nas.objectives.metrics import STATIC
from nas.pipeline.chains import Chain, CompressJob, digest, is_there, jobs_of, prefixes
from nas.pipeline.context import WorkerContext
from nas.pipeline.device_change import note_device
from nas.pipeline.executors.ray_tune import cluster, run_jobs
from nas.pipeline.refine import Refusal
from nas.pipeline.run import open_run
from nas.pipeline.settle import settle
from nas.runs.files import replace_folder
from nas.runs.ledger import Ledger
from nas.runs.lock import writing
from nas.runs.models import Model, stages, write_model

CHAINS: tuple[Chain, ...] = ((Quantize(),), (Prune(0.3), Quantize()), (Prune(0.5), Quantize()))
"""What is tried on each model; every step of a chain is a sibling of its own."""


def compress(
    run: str | Path,
    *,
    chains: Sequence[Chain] = CHAINS,
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
        note_device(ledger, context.target)
        settle(ledger, trials=False)
        parents = [model for model in ledger.models() if model.stage == "refined"]
        if not parents:
            raise RunError(f"{folder}: has no refined model to compress.", f"Refine first: nas refine {folder}.")
        jobs = [job for p in parents for job in jobs_of(p, _possible(p, chains, on_model), ledger.models())]
        if jobs:
            with cluster(context.target, workers, address) as running:
                for position, made in run_jobs(running, jobs, compress_job, context):
                    for sibling in [Refusal(jobs[position].parent.name, WORKER_DIED.reason)] if made is None else made:
                        on_model(sibling)
    return ledger


def check_chains(chains: Sequence[Chain]) -> None:
    """Refuse chains that no model can go through.

    Raises:
        CompressionError: If a chain is empty, or its passes cannot follow each other.
    """
    for chain in chains:
        if not chain:
            raise CompressionError("compress: a chain is empty; expected at least one pass.")
        check_chain(chain)


def _possible(parent: Model, chains: Sequence[Chain], told: Callable[[Model | Refusal], None]) -> list[Chain]:
    """The chains that can follow the passes that a model has by itself; tell of each other one why it cannot."""
    possible: list[Chain] = []
    for chain in chains:
        try:
            check_chain((*parent.passes, *chain))
            possible.append(chain)
        except CompressionError as error:
            told(Refusal("-".join((parent.name, *(step.label for step in chain))), error.message))
    return possible


def compress_job(
    context: WorkerContext, job: CompressJob, measure: Measure | None, _report: Report = go_on
) -> list[Model | Refusal]:
    """Apply chains of passes in a worker; a pass that is refused ends the chains that begin with it."""
    made: dict[Chain, Model] = {(): job.parent}
    told: list[Model | Refusal] = []
    for chain in prefixes(job.chains):
        source = made.get(chain[:-1])
        if source is None:
            continue
        sibling: Model | Refusal | None = is_there(job, chain, source)
        if sibling is None:
            sibling = _sibling(context, job, chain, source, measure)
            told.append(sibling)
        if isinstance(sibling, Model):
            made[chain] = sibling
    return told


def load_module(context: WorkerContext, model: Model) -> MultimodalNet:
    """Build a model's network and load its weights, going the way of those it was made of.

    Raises:
        RunError: If its files are missing or do not fit.
        CompressionError: If a pass of it cannot be applied any more.
    """
    return load_stages(context, stages(model))


def load_stages(context: WorkerContext, way: Sequence[Model]) -> MultimodalNet:
    """Build the network of the last of a model's stages, going the way of those before it; errors as `load_module`."""
    network = described(context, way[-1]).network
    steps = [(each.passes[-1] if each.passes else None, each.folder) for each in way]
    return rebuild(build(network, context.task, context.training.seed), steps)


def described(context: WorkerContext, model: Model) -> Candidate:
    """The candidate that a model's decisions lead to."""
    return candidate_of(context.space().architecture(model.decisions).network)


def _sibling(
    context: WorkerContext, job: CompressJob, chain: Chain, source: Model, measure: Measure | None
) -> Model | Refusal:
    """Apply the last pass of a chain to what those before it made; what goes wrong is the sibling's refusal."""
    parent = job.parent
    folder = parent.folder.with_name(job.names[chain])
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)

    def make() -> Model | Refusal:
        draft.mkdir(parents=True)
        begun = time.perf_counter()
        metrics = {
            **_applied(chain[-1], source, context, draft),
            **assess(
                draft / "model.onnx",
                context.task.output,
                {"": context.task.valid, "test_": context.task.test},
                measure,
                made_of=(source.folder / "model.onnx", parent.folder / "model.onnx"),
                wanted=context.wanted,
            ),
            "compress_s": time.perf_counter() - begun,
            "made_of": digest(source),
        }
        passes = (*source.passes, chain[-1])
        model = Model(folder.name, parent.trial, "compressed", passes, source.name, parent.decisions, metrics, folder)
        replace_folder(draft, folder)
        return write_model(folder, model)

    made = at_border(make, lambda reason: Refusal(folder.name, reason), draft)
    shutil.rmtree(draft, ignore_errors=True)
    return made


def _applied(step: Pass, source: Model, context: WorkerContext, folder: Path) -> dict[str, Any]:
    """Write the file and the weights that a pass makes, and tell what was proved and counted of them."""
    file = source.folder / "model.onnx"
    if step.works_on == "network":
        given, counted = trained_model(load_module(context, source), file), {}
    else:
        given = TrainedModel(None, file)
        counted = {name: source.metrics[name] for name in STATIC if name in source.metrics}
    training = described(context, source).trained_by(context.training)
    return {**counted, **apply_pass(step, given, context.task, training, folder)[1]}
