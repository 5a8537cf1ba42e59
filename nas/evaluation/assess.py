"""Score a file and time it: the same for what is searched, refined, compressed and exported."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.formats.onnx_file import run_onnx
from nas.formats.peak_memory import peak_memory_bytes
from nas.targets import Latency
from nas.tasks.outputs import Output
from nas.tasks.task import Split

Measure = Callable[[Sequence[Path]], Sequence[Latency]]
"""Measures the latencies of ONNX files on the run's target, alone on it; several in turns in the same quiet moments."""


def assess(
    file: Path,
    output: Output,
    splits: Mapping[str, Split],
    measure: Measure | None = None,
    made_of: tuple[Path, Path] | None = None,
    wanted: Collection[str] = (),
) -> dict[str, Any]:
    """Score a file on splits, weigh it, and time it if there is a meter.

    Args:
        file: The ONNX file, as it would ship.
        output: What is predicted: its metrics are the scores.
        splits: What its metrics' names begin with → where they are measured: `{"": valid, "test_": test}`.
        measure: Measures latency; without it nothing is timed.
        made_of: Of a compressed file, the one that its last pass was applied to, and the one that its first was.
        wanted: Metrics that somebody asks for: see `file_metrics`.

    Returns:
        The scores on each split, what `file_metrics` gives, and if it was timed what `timings` gives, with `measure_s`.

    Raises:
        NasError: If it cannot be measured.
    """
    metrics: dict[str, Any] = {}
    for prefix, split in splits.items():
        scores = output.score(run_onnx(file, split.inputs), split.targets)
        metrics |= {f"{prefix}{name}": value for name, value in scores.items()}
    metrics |= file_metrics(file, wanted)
    if measure is not None:
        metrics |= timed("measure_s", lambda: timings(file, measure, made_of))
    return metrics


def file_metrics(file: Path, wanted: Collection[str] = ()) -> dict[str, int]:
    """What can be read off a file: `size_bytes`, and `peak_memory_bytes` where it is wanted, which runs it once.

    Raises:
        ExportError: If its memory is wanted and cannot be planned.
    """
    size = {"size_bytes": file.stat().st_size}
    return {**size, "peak_memory_bytes": peak_memory_bytes(file)} if "peak_memory_bytes" in wanted else size


def timings(file: Path, measure: Measure, made_of: tuple[Path, Path] | None = None) -> dict[str, Any]:
    """Latency of a file; of a compressed one beside those that it was made of.

    Args:
        file: The ONNX file.
        measure: Measures several files in the same moments.
        made_of: The file that its last pass was applied to, and the one that its first was.

    Returns:
        What `latency_metrics` gives, and of a compressed file `pass_bytes_ratio` and `pass_time_ratio` to the file
        before its last pass, `bytes_ratio` and `time_ratio` to the parent.
    """
    if made_of is None:
        return latency_metrics(measure([file])[0])
    others = list(dict.fromkeys(made_of))
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
