"""Evaluate one architecture, cheap before dear: count, export, measure, check limits, train, score what would ship.

A candidate that breaks a limit on size or latency is never trained. Whatever goes wrong with one candidate becomes
its outcome; only a full disk stops the search, since the next candidate would meet it too.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.blocks.network import MultimodalNet
from nas.compression import Pass
from nas.errors import TrainingError
from nas.evaluation.allowance import Allowance, verdict, watched
from nas.evaluation.assess import assess, file_metrics, latency_metrics, timed
from nas.evaluation.border import within_border
from nas.evaluation.build import build, counts, input_shapes
from nas.evaluation.candidate import UNTRAINED_FOLDER, candidate_of, compress_trained, compressed_untrained
from nas.evaluation.context import EvaluationContext, EvaluationJob, Report, go_on
from nas.evaluation.outcome import Outcome, refused
from nas.formats.onnx_export import export_onnx
from nas.formats.weights import WEIGHTS_FILE, load_fitting_weights, save_weights
from nas.objectives.metrics import MEASURED, STATIC
from nas.objectives.objective import Limit
from nas.runs.files import replace_folder, write_json
from nas.space.choices import Label
from nas.space.space import Space
from nas.tasks import Task
from nas.training import Epoch, Training, find_device, train

ERROR_FILE = "error.txt"
"""In a trial's folder: the traceback of what it failed of, and what it printed."""


def attempt(
    space: Space, decisions: Mapping[str, Label], folder: Path, context: EvaluationContext, report: Report = go_on
) -> Outcome:
    """Evaluate an architecture and turn whatever goes wrong with it into its outcome: the border of a trial.

    One whose process was ended because it took more than it may is not evaluated a second time.

    Args:
        space: The space that the decisions belong to.
        decisions: The architecture, path → label.
        folder: Where the trial's files go; they appear whole or not at all, `error.txt` where it failed.
        context: What it is evaluated under.
        report: Told of each epoch; says whether to go on.

    Raises:
        RunError: If the disk is full.
    """
    metrics: dict[str, Any] = {}

    def work() -> Outcome:
        job = EvaluationJob(space.architecture(decisions).network, decisions, folder)
        return evaluate(job, context, _within_time(report, context.allowance), metrics)

    if (ended := verdict(folder, context.allowance)) is not None:
        reason, details = ended
    else:
        with watched(folder, context.allowance):
            result = within_border(work, folder, is_worker=True)
        if isinstance(result, Outcome):
            return result
        reason, details = result.reason, result.details
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR_FILE).write_text(details, encoding="utf-8", errors="backslashreplace")
    return Outcome("failed", metrics, reason)


def evaluate(
    job: EvaluationJob, context: EvaluationContext, report: Report = go_on, metrics: dict[str, Any] | None = None
) -> Outcome:
    """Evaluate a closed description of a network or a candidate.

    Args:
        job: The candidate.
        context: What it is evaluated under.
        report: Told of each epoch; says whether to go on.
        metrics: Filled as they become known, so that a failure keeps what was measured before it.

    Returns:
        The outcome; `params` and `macs` are of the network as described, before any pass of its candidate. Scores and,
        where there is a meter, `latency_ms` are of the exported file after training and all passes, on the validation
        split and on the target. Where a limit is on latency, `latency_untrained_ms` is of the file before it.

    Raises:
        NasError: If the network cannot be built, exported, measured or trained.
        OSError: If its files cannot be written.
    """
    begun, metrics = time.perf_counter(), {} if metrics is None else metrics
    candidate = candidate_of(job.network)
    task, training = context.task, context.training_of(candidate.trained_by(context.training))
    draft = job.folder.with_name(job.folder.name + ".part")
    draft.mkdir(parents=True, exist_ok=True)
    write_json(draft / "architecture.json", dict(job.decisions))
    module = build(candidate.network, task, training.seed)
    if outcome := _refused_untrained(module, candidate.chain, draft, replace(context, training=training), metrics):
        return outcome
    if job.initial is not None:
        metrics["initial_tensors"] = load_fitting_weights(module, job.initial)
    trained = train_and_score(module, task, training, draft, report)
    if trained is None:
        return Outcome("stopped", metrics, "was stopped while it trained")
    metrics |= trained
    if passes := candidate.chain:
        metrics |= timed("passes_s", lambda: compress_trained(passes, module, draft, task, training))
    metrics |= assess(draft / "model.onnx", task.output, {}, context.measure, wanted=context.wanted)
    metrics["wall_s"] = time.perf_counter() - begun
    if outcome := refused(_certain(context.limits, metrics), metrics, missing=True):
        return outcome
    write_json(draft / "metrics.json", metrics)
    shutil.rmtree(draft / UNTRAINED_FOLDER, ignore_errors=True)
    replace_folder(draft, job.folder)
    return Outcome("complete", metrics)


def _refused_untrained(
    module: MultimodalNet, passes: Sequence[Pass], draft: Path, context: EvaluationContext, metrics: dict[str, Any]
) -> Outcome | None:
    """Hold a network against limits by all that can be known before training, what costs least first.

    Limits on size and latency are held against what the candidate's passes make of the file.
    """
    limits, file = context.limits, draft / "model.onnx"
    metrics |= counts(module)
    if outcome := refused(limits, metrics) or refused(_on_counts(limits), metrics, missing=True):
        return outcome
    metrics |= timed(
        "export_s",
        lambda: {"parity_max_rel": export_onnx(module, input_shapes(module), file, free=module.free).max_rel},
    )
    if passes and not any(limit.metric in ("size_bytes", "peak_memory_bytes", *MEASURED) for limit in limits):
        return None
    if passes:
        file = compressed_untrained(passes, module, draft, context.task, context.training)
    metrics |= file_metrics(file, context.wanted)
    if outcome := refused(limits, metrics):
        return outcome
    if context.measure is None or not any(limit.metric in MEASURED for limit in limits):
        return None
    (early,) = context.measure([file])
    metrics["latency_untrained_ms"] = early.latency_ms
    found = {**metrics, **latency_metrics(early)}
    return refused(_certain(limits, found), found)


def train_and_score(
    module: MultimodalNet, task: Task, training: Training, folder: Path, report: Report = go_on
) -> dict[str, Any] | None:
    """Train a module, write its files, and score the exported file on the validation split.

    Writes `history.csv`, `weights.safetensors` and `model.onnx` to `folder`.

    Returns:
        Its metrics; None where the report said no, and nothing is written then.

    Raises:
        TrainingError: If the loss is not finite.
        ExportError: If the file does not compute what the module does.
    """
    history: list[Epoch] = []
    answers = [True]

    watched = f"valid_{task.output.main}"

    def hear(epoch: Epoch) -> bool:
        answers.append(report(epoch.epoch, {"loss": epoch.loss, watched: epoch.score}))
        return answers[-1]

    def learn() -> dict[str, Any]:
        history.extend(train(module, task.output, task.train, task.valid, training, hear))
        return {}

    metrics = timed("train_s", learn)
    if not answers[-1]:
        return None
    metrics["trained_on"] = str(find_device())
    _write_history(folder / "history.csv", history, watched)
    save_weights(module, folder / WEIGHTS_FILE)
    file = folder / "model.onnx"
    samples = {name: task.valid.inputs[name][:64] for name in module.modalities}
    metrics["parity_max_rel"] = export_onnx(module, input_shapes(module), file, samples, module.free).max_rel
    return metrics | assess(file, task.output, {"": task.valid})


def _within_time(report: Report, allowance: Allowance) -> Report:
    """A report that ends training with an error after the epoch in which the time is over."""
    begun = time.monotonic()

    def checked(epoch: int, metrics: Mapping[str, float]) -> bool:
        took = time.monotonic() - begun
        if allowance.time_s is not None and took > allowance.time_s:
            raise TrainingError(
                f"took {took:.1f} s for {epoch + 1} epochs; a trial may take {allowance.time_s:g} s.",
                "Allow more: --trial-time.",
            )
        return report(epoch, metrics)

    return checked


def _certain(limits: tuple[Limit, ...], metrics: Mapping[str, Any]) -> tuple[Limit, ...]:
    """The limits that can be held against metrics: a noisy latency is measured again before one is."""
    noisy = metrics.get("latency_quality") == "noisy"
    return tuple(limit for limit in limits if not (noisy and limit.metric in MEASURED))


def _on_counts(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """The limits on what is counted: what cannot be counted before training cannot be after it, and meets none."""
    return tuple(limit for limit in limits if limit.metric in STATIC)


def _write_history(file: Path, history: list[Epoch], watched: str) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow([watched if name == "score" else name for name in Epoch._fields])
        writer.writerows(history)
