"""Measure the latency of an ONNX file: one file that needs only numpy and onnxruntime, so it runs on any device.

    python measure.py model.onnx --threads 1 --seconds 1.0

On a shared machine the mean and the median of inference times drift by tens of percent, while the fastest of many
short blocks does not: a block is short enough to fall between disturbances, and blocks spread over a second are
enough to find such a gap. Within a block the median is taken, since beside two busy trainers hardly any block is left
undisturbed in every single run. The latency is the minimum over blocks of the median within a block.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures  # pyright: ignore[reportAttributeAccessIssue]

ONNX_ERRORS = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
)
"""What ONNX Runtime raises for a file that it cannot load or run; they share no base but `Exception`."""

LENGTHS = "nas.lengths"
"""Key in a file's metadata: JSON of the names of its free axes, except the batch, and the length to measure each at."""

BLOCK_S = 0.004
"""Length of a block, in seconds: some scheduler slices, and at least one inference."""

PAUSE_S = 0.004
"""Pause between blocks, in seconds."""

NOISY = 1.15
"""A reference slower than its best by more than this factor makes a measurement `noisy`."""


def measure(
    path: str | Path,
    threads: int = 1,
    provider: str = "CPUExecutionProvider",
    batch: int = 1,
    seconds: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the latency of a file's inference on random inputs.

    Args:
        path: The ONNX file.
        threads: Of the session; its operators run one after the other.
        provider: Execution provider.
        batch: Bound to the batch axis where that is open.
        seconds: How long to look for a quiet block.
        seed: Of the inputs.

    Returns:
        `latency_ms` and its noise `interval_ms` (the least block, and the tenth least of a hundred);
        `p50_ms` and `p95_ms` of the single inferences; `reference_ms`, a fixed matrix product timed alike, and the
        `quality` it shows (`good` or `noisy`); `runs`, `blocks`, and the `fingerprint` of device and runtime.

    Raises:
        Exception: One of `ONNX_ERRORS`, for a file that cannot be loaded or run.
    """
    session, feeds = open_session(path, threads, provider, batch, seed)
    names = [output.name for output in session.get_outputs()]

    def infer() -> None:
        session.run(names, feeds)

    reference = _reference()
    warm_up(infer)
    block_runs = max(1, round(BLOCK_S / _fastest(infer, 20)))
    reference_runs = max(1, round(BLOCK_S / 4 / _fastest(reference, 20)))
    blocks: list[float] = []
    references: list[float] = []
    singles: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(blocks) < 10:
        references.append(float(np.median(_block(reference, reference_runs))))
        times = _block(infer, block_runs)
        blocks.append(float(np.median(times)))
        singles += times
        time.sleep(PAUSE_S)
    ordered = np.sort(blocks) * 1e3
    drift = float(np.percentile(references, 10) / min(references))
    return {
        "latency_ms": float(ordered[0]),
        "interval_ms": [float(ordered[0]), float(ordered[max(1, len(ordered) // 10)])],
        "p50_ms": float(np.percentile(singles, 50) * 1e3),
        "p95_ms": float(np.percentile(singles, 95) * 1e3),
        "reference_ms": min(references) * 1e3,
        "quality": "good" if drift < NOISY else "noisy",
        "runs": len(singles),
        "blocks": len(blocks),
        "fingerprint": fingerprint(threads, provider, batch),
    }


def open_session(
    path: str | Path, threads: int, provider: str, batch: int, seed: int
) -> tuple[Any, Mapping[str, np.ndarray]]:
    """Open a file as it would be deployed, with random inputs of its types and shapes."""
    sizes = {"batch": batch, **_lengths(path, provider)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    rng = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for given in session.get_inputs():
        shape = [size if isinstance(size, int) else sizes.get(size, batch) for size in given.shape]
        values = rng.uniform(0, 255, shape)
        feeds[given.name] = values.astype(
            {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}.get(given.type, np.int64)
        )
    return session, feeds


def _lengths(path: str | Path, provider: str) -> Mapping[str, int]:
    """The lengths to measure free axes at, as the file's metadata say."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    metadata = onnxruntime.InferenceSession(str(path), options, providers=[provider]).get_modelmeta()
    return json.loads(metadata.custom_metadata_map.get(LENGTHS, "{}"))


def warm_up(infer: Callable[[], None], seconds: float = 0.05) -> None:
    """Run until caches are filled and memory is laid out."""
    end = time.perf_counter() + seconds
    for _ in range(3):
        infer()
    while time.perf_counter() < end:
        infer()


def fingerprint(threads: int, provider: str, batch: int) -> dict[str, Any]:
    """What a latency depends on besides the model."""
    return {
        "cpu": _cpu_name(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "onnxruntime": onnxruntime.__version__,
        "provider": provider,
        "threads": threads,
        "batch": batch,
    }


def _block(run: Callable[[], None], count: int) -> list[float]:
    times: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return times


def _fastest(run: Callable[[], None], count: int) -> float:
    return max(min(_block(run, count)), 1e-6)


def _reference() -> Callable[[], None]:
    matrix = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    target = np.empty_like(matrix)

    def multiply() -> None:
        np.matmul(matrix, matrix, out=target)

    return multiply


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    return next(found, platform.processor())


def main() -> None:
    """Measure from the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Measure the latency of an ONNX file.")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--provider", default="CPUExecutionProvider")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    result = measure(options.model, options.threads, options.provider, options.batch, options.seconds)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
