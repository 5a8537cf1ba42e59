"""Measure the latency of ONNX files: one file that needs only numpy and onnxruntime, so it runs on any device.

    python measure.py model.onnx [other.onnx ...] --threads 1 --patience 2

On a shared machine another tenant slows everything by up to two, for seconds: a whole measurement can lie in a slow
phase, and nothing in its own times shows it. So a reference workload is timed before and after each short block, and a
block counts only if both are as fast as this device is known to be (`nas.targets.gate`, kept in a file beside it). The
latency is the minimum over counted blocks of the median within a block. Several files are measured in turns within the
same quiet moments, so that their ratio is a ratio.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it writes a device identifier otherwise, when it is imported
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures  # pyright: ignore[reportAttributeAccessIssue]

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

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

PATIENCE_S = 2.0
"""How long a measurement looks for quiet moments, in seconds."""

BLOCK_S = 0.004
"""Length of a block, in seconds: some scheduler slices, and at least one inference."""

REFERENCE_S = 0.001
"""How long the reference is timed before and after each block, in seconds."""

PAUSE_S = 0.004
"""Pause between rounds, in seconds."""

TOLERANCE = 1.05
"""A moment is quiet if the reference takes at most this many times its best."""

WANTED, ENOUGH = 12, 4
"""Quiet rounds that may end a measurement, and those that suffice where its patience ends."""

SESSIONS = 3
"""Sessions of each file that take turns: where one lies in memory makes up to three hundredths of a small network."""

AGREEMENT = 1.005
"""A measurement ends early if the `ENOUGH` least blocks of each file are within this factor."""

SIZES = (8, 32, 128)
"""Layers that a reference is made of, each of 48 KiB: about .4, 1.5 and 6 MiB. The least that is as large as the files
is taken, since caches that a neighbour shares slow large networks alone."""

MEMORY, MOMENT_S = 20, 30.0
"""Of so many past moments of so many seconds the levels are kept; if none is near the best the device has changed."""

_LAYER_BYTES = 3 * 64 * 64 * 4

STATE = "NAS_REFERENCE"
"""Environment variable that names the folder in which the device's best reference is kept."""


@dataclass(frozen=True)
class Round:
    """One moment of a measurement.

    Attributes:
        references: Medians of the reference before, between and after the blocks, in seconds.
        blocks: Median of each file's block, in seconds.
    """

    references: Sequence[float]
    blocks: Sequence[float]


@dataclass
class Gate:
    """What is known of a device's speed, and whether a moment is as fast.

    The level of a measurement is what its reference was at or below `ENOUGH` times: a single lucky reading is no level.

    Attributes:
        best_s: The best level that the device ever showed, in seconds; infinite where nothing is known.
        recent: Of the last moments in which something was measured: when it began, Unix time, and its level.
    """

    best_s: float = float("inf")
    recent: list[tuple[float, float]] = field(default_factory=list)

    def is_quiet(self, level_s: float) -> bool:
        """Whether a reference is within `TOLERANCE` of the best."""
        return level_s <= TOLERANCE * self.best_s

    def learn(self, references: Sequence[float], now: float) -> None:
        """Take in the references of a measurement.

        The best is given up for the best of the last `MEMORY` moments, ten minutes of measuring at least, if none of
        them came near it: a governor, a firmware or another host under the same name has made the device slower.
        """
        level = _level(references)
        if not np.isfinite(level):
            return
        if self.recent and 0 <= now - self.recent[-1][0] < MOMENT_S:
            began, least = self.recent.pop()
        else:
            began, least = now, level
        self.recent = [*self.recent, (began, min(level, least))][-MEMORY:]
        self.best_s = min(self.best_s, level)
        levels = [level for _, level in self.recent]
        if len(levels) == MEMORY and not any(map(self.is_quiet, levels)):
            self.best_s = min(levels)


def gather(
    observe: Callable[[], Round],
    gate: Gate,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[Round], list[Round]]:
    """Observe rounds until enough of them were quiet, or the patience ends.

    A device of which nothing is known is watched for the whole of it, since its first moments may all be slow.

    Args:
        observe: Gives the next round.
        gate: What is known of the device; it is not changed.
        patience_s: Bound on the time, in seconds; at least `ENOUGH` rounds are observed.
        clock: In seconds.

    Returns:
        All rounds, and those that were quiet by the best known before or seen meanwhile.
    """
    begun, rounds = clock(), list[Round]()
    while True:
        rounds.append(observe())
        best = Gate(min(gate.best_s, _level([r for each in rounds for r in each.references])))
        quiet = [each for each in rounds if best.is_quiet(max(each.references))]
        late = clock() - begun >= patience_s
        if len(rounds) >= ENOUGH and (late or (np.isfinite(gate.best_s) and _settled(quiet))):
            return rounds, quiet


def _settled(quiet: Sequence[Round]) -> bool:
    """Whether the least blocks agree: a minimum that stands alone may not be the last."""
    if len(quiet) < WANTED:
        return False
    least = np.sort([each.blocks for each in quiet], axis=0)
    return bool((least[ENOUGH - 1] <= AGREEMENT * least[0]).all())


def measure(
    paths: Sequence[str | Path],
    threads: int = 1,
    provider: str = "CPUExecutionProvider",
    batch: int = 1,
    patience_s: float = PATIENCE_S,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measure the latency of files' inference on random inputs, in turns in the same quiet moments.

    Args:
        paths: The ONNX files.
        threads: Of each session; its operators run one after the other.
        provider: Execution provider.
        batch: Bound to the batch axis where that is open.
        patience_s: How long to look for quiet moments.
        seed: Of the inputs.

    Returns:
        For each file `latency_ms` and its noise `interval_ms` (the least counted block, and the middle one);
        `p50_ms` and `p95_ms` of the single inferences; `reference_ms`, the reference's level in the moments that
        counted, and `best_reference_ms`, the best that the device is known for, both of so many `reference_layers`;
        `quality`, `good` if at least `ENOUGH` rounds were quiet on a device that was known before, and `noisy`
        otherwise, when all rounds count if fewer were quiet;
        `runs`, `blocks` counted, and the `fingerprint` of device and runtime.

    Raises:
        Exception: One of `ONNX_ERRORS`, for a file that cannot be loaded or run.
    """
    opened = [[_inference(path, threads, provider, batch, seed) for _ in range(SESSIONS)] for path in paths]
    turns = cycle(zip(*opened, strict=True))
    size = reference_size(paths)
    reference = _reference(size)
    counts = [max(1, round(BLOCK_S / _fastest(run, 20))) for run, *_ in opened]
    reference_count = max(3, round(REFERENCE_S / _fastest(reference, 50)))
    singles: list[list[float]] = [[] for _ in opened]

    def observe() -> Round:
        time.sleep(PAUSE_S)
        references, blocks = [_median(reference, reference_count)], list[float]()
        for run, count, single in zip(next(turns), counts, singles, strict=True):
            run()  # the reference has taken the caches
            times = _times(run, count)
            single += times
            blocks.append(float(np.median(times)))
            references.append(_median(reference, reference_count))
        return Round(references, blocks)

    known = load_gate(size)
    rounds, quiet = gather(observe, known, patience_s)
    gate = keep_gate(size, [r for each in rounds for r in each.references])
    counted = quiet if len(quiet) >= ENOUGH else rounds
    level = float(np.median([max(each.references) for each in counted]))
    return [
        {
            "latency_ms": float(ordered[0]),
            "interval_ms": [float(ordered[0]), float(ordered[len(ordered) // 2])],
            "p50_ms": float(np.percentile(single, 50) * 1e3),
            "p95_ms": float(np.percentile(single, 95) * 1e3),
            "reference_ms": level * 1e3,
            "best_reference_ms": gate.best_s * 1e3,
            "reference_layers": size,
            "quality": "good" if counted is quiet and np.isfinite(known.best_s) else "noisy",
            "runs": len(single),
            "blocks": len(counted),
            "fingerprint": fingerprint(threads, provider, batch),
        }
        for k, single in enumerate(singles)
        for ordered in [np.sort([each.blocks[k] for each in counted]) * 1e3]
    ]


def open_session(
    path: str | Path, threads: int, provider: str, batch: int, seed: int
) -> tuple[Any, Mapping[str, np.ndarray]]:
    """Open a file as it would be deployed, with random inputs of its types and shapes."""
    sizes = {"batch": batch, **_lengths(path, provider)}
    options = session_options(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    rng = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for given in session.get_inputs():
        shape = [size if isinstance(size, int) else sizes.get(size, batch) for size in given.shape]
        values = rng.uniform(0, 255, shape)
        feeds[given.name] = values.astype(
            {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}.get(given.type, np.int64)
        )
    return session, feeds


def _inference(path: str | Path, threads: int, provider: str, batch: int, seed: int) -> Callable[[], None]:
    """One inference of a file, warmed up."""
    session, feeds = open_session(path, threads, provider, batch, seed)
    names = [output.name for output in session.get_outputs()]

    def infer() -> None:
        session.run(names, feeds)

    warm_up(infer)
    return infer


def session_options(threads: int) -> Any:
    """Options of a session as it is deployed; opened without fallback, which prints on standard output.

    ONNX Runtime's switch that flushes numbers below 1.2e-38 to zero is left alone: it works only in a process's first
    session, and then for everything that the process computes.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return options


def _lengths(path: str | Path, provider: str) -> Mapping[str, int]:
    """The lengths to measure free axes at, as the file's metadata say."""
    options = session_options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    metadata = onnxruntime.InferenceSession(str(path), options, providers=[provider], enable_fallback=0).get_modelmeta()
    return json.loads(metadata.custom_metadata_map.get(LENGTHS, "{}"))


def warm_up(infer: Callable[[], None], seconds: float = 0.05) -> None:
    """Run until caches are filled and memory is laid out."""
    end = time.perf_counter() + seconds
    infer()
    while time.perf_counter() < end:
        infer()


def fingerprint(threads: int | None, provider: str | None, batch: int | None) -> dict[str, Any]:
    """What a latency depends on besides the model."""
    return {
        **_device(),
        "onnxruntime": onnxruntime.__version__,
        "provider": provider,
        "threads": threads,
        "batch": batch,
    }


def reference_size(paths: Sequence[str | Path]) -> int:
    """Of how many layers the reference for files is made: as large as the largest of them, as far as there is one."""
    largest = max(Path(path).stat().st_size for path in paths)
    return next((size for size in SIZES if size * _LAYER_BYTES >= largest), SIZES[-1])


def load_gate(size: int = SIZES[0]) -> Gate:
    """What is known of this device by a reference; nothing where it was never measured, or the file is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_state_file().read_text(encoding="utf-8"))["gates"][str(size)]
        gate = Gate(float(kept["best_s"]), [(float(when), float(level)) for when, level in kept["recent"]])
        if np.isfinite(gate.best_s) and gate.best_s > 0:
            return gate
    return _unkept.get(size, Gate())


_unkept: dict[int, Gate] = {}
"""What this process knows where no file can be kept."""


def keep_gate(size: int, references: Sequence[float]) -> Gate:
    """Take the references of a measurement into what is known of this device, and keep it for other processes."""
    file = _state_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file.with_suffix(".lock")):
            gate = load_gate(size)
            gate.learn(references, time.time())
            _write_gate(file, size, gate)
    except OSError:
        gate = load_gate(size)
        gate.learn(references, time.time())
        _unkept[size] = gate
    return gate


def _write_gate(file: Path, size: int, gate: Gate) -> None:
    gates: dict[str, Any] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        gates = dict(json.loads(file.read_text(encoding="utf-8"))["gates"])
    gates[str(size)] = {"best_s": gate.best_s, "recent": gate.recent}
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        draft.write_text(json.dumps({"device": reference_fingerprint(), "gates": gates}) + "\n", encoding="utf-8")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path) -> Generator[None, None, None]:
    """One process of this device at a time, where the system has such locks."""
    with lock.open("w") as handle:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _state_file() -> Path:
    """Where this device's gates are kept; devices that share a home have a file each."""
    cache = os.path.expanduser(os.environ.get("NAS_CACHE", "~/.cache/nas"))  # noqa: PTH111 - Path's raises without a home
    folder = Path(os.environ.get(STATE) or cache)
    if cache.startswith("~") and not os.environ.get(STATE):
        folder = Path(tempfile.gettempdir()) / f"nas-{os.getuid() if hasattr(os, 'getuid') else 0}"
    name = hashlib.sha256(json.dumps(reference_fingerprint(), sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"reference-{name}.json"


def reference_fingerprint() -> dict[str, Any]:
    """What the reference's speed depends on."""
    return {**_device(), "numpy": np.__version__}


@lru_cache(maxsize=1)
def _device() -> dict[str, Any]:
    return {
        **_cpu(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


def _level(references: Sequence[float]) -> float:
    """What the reference was at or below `ENOUGH` times; infinite where it was timed less often."""
    return float(np.sort(references)[ENOUGH - 1]) if len(references) >= ENOUGH else float("inf")


def _times(run: Callable[[], None], count: int) -> list[float]:
    times: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return times


def _median(run: Callable[[], None], count: int) -> float:
    return float(np.median(_times(run, count)))


def _fastest(run: Callable[[], None], count: int) -> float:
    """The least of some times, of fewer where one takes long."""
    fastest = _times(run, 1)[0]
    return max(min(fastest, *_times(run, max(1, min(count, int(0.1 / fastest))))), 1e-6)


def _reference(size: int) -> Callable[[], None]:
    """Some layers of a network in numpy: products that keep the vector units busy, over more than the first cache.

    The arrays lie at multiples of 64 bytes, so that it takes as long in every process; each product is small enough
    for one thread.
    """
    left, right, target = (_aligned((size, 64, 64)) for _ in range(3))
    rng = np.random.default_rng(0)
    left[:], right[:] = rng.normal(size=left.shape), rng.normal(size=right.shape)

    def multiply() -> None:
        np.matmul(left, right, out=target)
        np.maximum(target, 0, out=target)

    warm_up(multiply)
    return multiply


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    size = 4 * int(np.prod(shape))
    room = np.zeros(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(np.float32).reshape(shape)


def _cpu() -> dict[str, str]:
    """The processor's name, and what tells generations under one name apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {"cpu": platform.processor(), "cpu_id": ""}
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = values.get("model name") or values.get("Hardware") or platform.processor()
    parts = ("cpu family", "model", "stepping", "cache size", "CPU implementer", "CPU part", "CPU variant")
    return {"cpu": name, "cpu_id": "/".join(values[part] for part in parts if part in values)}


def main() -> None:
    """Measure from the command line and print a line of JSON for each file."""
    parser = argparse.ArgumentParser(description="Measure the latency of ONNX files.")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--provider", default="CPUExecutionProvider")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds to look for quiet moments")
    options = parser.parse_args()
    for result in measure(options.models, options.threads, options.provider, options.batch, options.patience):
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
