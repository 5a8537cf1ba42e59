"""Evaluate one architecture, cheap before dear: count, export, measure, check limits, train, score what would ship.

A candidate that breaks a limit on size or latency is never trained. Whatever goes wrong with one candidate becomes
its outcome; only a full disk stops the search, since the next candidate would meet it too.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from nas.blocks import Network, count_macs, count_params
from nas.blocks.network import MultimodalNet
from nas.errors import BUILD_ERRORS, TrainingError
from nas.evaluation.border import within_border
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import score_onnx
from nas.formats.weights import WEIGHTS_FILE, save_weights
from nas.objectives.objective import MEASURED, Limit
from nas.runs.files import replace_folder, write_json
from nas.space.choices import Label
from nas.space.space import Space
from nas.targets import Latency
from nas.tasks import Task
from nas.training import Epoch, Training, train

ERROR_FILE = "error.txt"
"""In a trial's folder: the traceback of what it failed of, and what it printed."""

Measure = Callable[[Sequence[Path]], Sequence[Latency]]
"""Measures the latencies of ONNX files on the run's target, alone on it; several in turns in the same quiet moments."""


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Attributes:
        state: `complete`, refused by a limit, or failed.
        metrics: All that was measured before it ended.
        reason: Why it was refused or failed.
        violations: Limit → how far beyond it as a share of its bound, for refused ones.
    """

    state: Literal["complete", "infeasible", "failed"]
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    violations: Mapping[str, float] = field(default_factory=dict[str, float])


WORKER_DIED = Outcome("failed", reason="its worker died twice while it ran (killed, or out of memory)")
"""What became of a candidate that took its process with it."""


def attempt(
    space: Space,
    decisions: Mapping[str, Label],
    task: Task,
    training: Training,
    limits: tuple[Limit, ...],
    measure: Measure,
    folder: Path,
) -> Outcome:
    """Evaluate an architecture and turn whatever goes wrong with it into its outcome: the border of a trial.

    Args:
        space: The space that the decisions belong to.
        decisions: The architecture, path → label.
        task: What is learnt.
        training: How long and how.
        limits: Bounds; those that can be known without training are checked before it.
        measure: Measures latency.
        folder: Where the trial's files go; they appear whole or not at all, `error.txt` where it failed.

    Raises:
        RunError: If the disk is full.
    """
    metrics: dict[str, Any] = {}

    def work() -> Outcome:
        network = space.architecture(decisions).network
        return evaluate(network, decisions, task, training, limits, measure, folder, metrics)

    result = within_border(work, folder, is_worker=True)
    if isinstance(result, Outcome):
        return result
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR_FILE).write_text(result.details, encoding="utf-8", errors="backslashreplace")
    return Outcome("failed", metrics, result.reason)


def evaluate(
    network: Any,
    decisions: Mapping[str, Label],
    task: Task,
    training: Training,
    limits: tuple[Limit, ...],
    measure: Measure,
    folder: Path,
    metrics: dict[str, Any],
) -> Outcome:
    """Evaluate a closed network description.

    Args:
        network: A `nas.blocks.Network` without open choices.
        decisions: Where it came from; kept beside its files.
        task: What is learnt.
        training: How long and how.
        limits: Bounds; those that can be known without training are checked before it. What cannot be counted breaks
            every limit on it.
        measure: Measures latency.
        folder: Where the files go; appears whole or not at all.
        metrics: Filled as they become known, so that a failure keeps what was measured before it.

    Returns:
        The outcome; `accuracy` and `latency_ms` are of the exported file after training, on the validation split and
        on the target. Where a limit is on latency, `latency_untrained_ms` is of the file before it.

    Raises:
        NasError: If the network cannot be built, exported, measured or trained.
        OSError: If its files cannot be written.
    """
    begun = time.perf_counter()
    draft = folder.with_name(folder.name + ".part")
    draft.mkdir(parents=True, exist_ok=True)
    write_json(draft / "architecture.json", dict(decisions))
    module = build(network, task, training.seed)
    metrics |= counts(module)
    if outcome := _refused(limits, metrics) or _refused(_on_counts(limits), metrics, missing=True):
        return outcome
    file = draft / "model.onnx"
    metrics |= timed(
        "export_s",
        lambda: {"parity_max_rel": export_onnx(module, input_shapes(module), file, free=module.free).max_rel},
    )
    metrics["size_bytes"] = file.stat().st_size
    if outcome := _refused(limits, metrics):
        return outcome
    if any(limit.metric in MEASURED for limit in limits):
        (early,) = measure([file])
        metrics["latency_untrained_ms"] = early.latency_ms
        found = {**metrics, **latency_metrics(early)}
        if outcome := _refused(_certain(limits, found), found):
            return outcome
    metrics |= train_and_score(module, task, training, draft)
    metrics |= timed("measure_s", lambda: latency_metrics(measure([file])[0]))
    metrics["wall_s"] = time.perf_counter() - begun
    if outcome := _refused(_certain(limits, metrics), metrics, missing=True):
        return outcome
    write_json(draft / "metrics.json", metrics)
    replace_folder(draft, folder)
    return Outcome("complete", metrics)


def build(network: Any, task: Task, seed: int) -> MultimodalNet:
    """Build a closed network description for a task, its initial weights drawn by a seed.

    Raises:
        TrainingError: If the description is not a network.
        BlockError: If a block does not fit its input.
    """
    if not isinstance(network, Network):
        raise TrainingError(f"the space resolves to {type(network).__name__}; expected a Network.")
    torch.manual_seed(seed)
    return network.build(task.inputs, len(task.labels))


def counts(module: MultimodalNet) -> dict[str, int]:
    """The parameters of a module, and its MACs unless they cannot be counted.

    Counting calls the module without values or on zeros, which one of the user's own may not stand; a call that cannot
    be exported either says so there.
    """
    found = {"params": count_params(module)}
    try:
        return {**found, "macs": count_macs(module, input_shapes(module))}
    except BUILD_ERRORS:
        return found


def input_shapes(module: MultimodalNet) -> Mapping[str, tuple[int, ...]]:
    """The shape of each input without the batch axis, in the module's order."""
    return dict(zip(module.modalities, module.input_shapes, strict=True))


def train_and_score(module: MultimodalNet, task: Task, training: Training, folder: Path) -> dict[str, Any]:
    """Train a module, write its files, and score the exported file on the validation split.

    Writes `history.csv`, `weights.safetensors` and `model.onnx` to `folder`.

    Raises:
        TrainingError: If the loss is not finite.
        ExportError: If the file does not compute what the module does.
    """
    metrics: dict[str, Any] = {}
    history: list[Epoch] = []
    metrics |= timed("train_s", lambda: history.extend(train(module, task.train, task.valid, training)) or {})
    _write_history(folder / "history.csv", history)
    save_weights(module, folder / WEIGHTS_FILE)
    file = folder / "model.onnx"
    samples = {name: task.valid.inputs[name][:64] for name in module.modalities}
    metrics["parity_max_rel"] = export_onnx(module, input_shapes(module), file, samples, module.free).max_rel
    metrics["size_bytes"] = file.stat().st_size
    metrics["accuracy"] = score_onnx(file, task.valid.inputs, task.valid.targets)
    return metrics


def beside(file: Path, before: Path, parent: Path, measure: Measure) -> dict[str, Any]:
    """Latency of a compressed file, and what its last pass and all of them made of bytes and time, measured in turns.

    Args:
        file: The compressed file.
        before: The file that its last pass was applied to.
        parent: The file that its first pass was applied to.
        measure: Measures several files in the same moments.

    Returns:
        `pass_bytes_ratio` and `pass_time_ratio` to the file before the last pass, `bytes_ratio` and `time_ratio` to the
        parent, and what `latency_metrics` gives.
    """
    others = [before] if before == parent else [before, parent]
    latency, *theirs = measure([file, *others])
    (bytes_before, time_before), (bytes_parent, time_parent) = (
        (file.stat().st_size / other.stat().st_size, latency.latency_ms / its.latency_ms)
        for other, its in ((others[0], theirs[0]), (others[-1], theirs[-1]))
    )
    return {
        "pass_bytes_ratio": bytes_before,
        "pass_time_ratio": time_before,
        "bytes_ratio": bytes_parent,
        "time_ratio": time_parent,
        **latency_metrics(latency),
    }


def latency_metrics(latency: Latency) -> dict[str, Any]:
    """The part of a measurement that stands among a trial's metrics."""
    return {
        "latency_ms": latency.latency_ms,
        "latency_interval_ms": list(latency.interval_ms),
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "latency_quality": latency.quality,
        "reference_ms": latency.reference_ms,
        "best_reference_ms": latency.best_reference_ms,
        "reference_layers": latency.reference_layers,
        "device": dict(latency.fingerprint),
    }


def timed(name: str, step: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Run a step and add to what it gives how many seconds it took."""
    begun = time.perf_counter()
    result = dict(step())
    return {**result, name: time.perf_counter() - begun}


def _certain(limits: tuple[Limit, ...], metrics: Mapping[str, Any]) -> tuple[Limit, ...]:
    """The limits that can be held against metrics: a noisy latency is measured again before one is."""
    noisy = metrics.get("latency_quality") == "noisy"
    return tuple(limit for limit in limits if not (noisy and limit.metric in MEASURED))


def _on_counts(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """The limits on what is counted: what cannot be counted before training cannot be after it, and meets none."""
    return tuple(limit for limit in limits if limit.metric in ("params", "macs"))


def _refused(limits: tuple[Limit, ...], metrics: Mapping[str, Any], missing: bool = False) -> Outcome | None:
    known = [limit for limit in limits if missing or limit.metric in metrics]
    violations = {str(limit): amount for limit in known if (amount := limit.violation(metrics)) > 0}
    if not violations:
        return None
    broken = [f"{limit} ({metrics.get(limit.metric, 'unknown')})" for limit in known if str(limit) in violations]
    return Outcome("infeasible", dict(metrics), f"breaks {', '.join(broken)}", violations)


def _write_history(file: Path, history: list[Epoch]) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(Epoch._fields)
        writer.writerows(history)
