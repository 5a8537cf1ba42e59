"""Tables of real trainings: every architecture of two small multimodal spaces, trained once each.

    python benchmarks/trained.py --tasks mfeat avdigits --data DIR

Nothing of the engine was tuned on them. Each architecture is built, trained, exported and scored by the engine's own
functions, on one thread, its parameters and MACs are counted, and then all files are timed in turns: the latency is
the least of many short blocks that lie apart. A table takes ten minutes of a core; it is kept in
results/runs/trained/<task>.jsonl, a line an architecture, and goes on where it was left.

Accuracies are of validation data that nothing else looks at. `mfeat` is UCI Multiple Features (Duin et al., CC BY
4.0): four of its views, 1,000 rows to learn from and the other 1,000 to score, so that a step is .1 points.
`avdigits` takes two epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas import Architecture, Space, choose, integer, maybe, repeat
from nas.blocks import GRU, MLP, Concat, ConvNet, Dense, Gated, Network, Plain, Separable, Stage, Sum
from nas.blocks.cost import count_macs, count_params
from nas.evaluation.build import build, input_shapes
from nas.evaluation.evaluator import train_and_score
from nas.targets.measure import open_session
from nas.tasks import Classification, Task, load_task
from nas.tasks.task import Modality, Split
from nas.training import Training

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "results" / "runs" / "trained"
VIEWS = {"pix": (1, 16, 15), "fou": (76,), "zer": (47,), "mor": (6,)}
ROUNDS, RUNS = 40, 9
"""Blocks of a file, and inferences of a block, of which the median is taken; the first is not counted."""

MFEAT = Space(
    Network(
        encoders={
            "pix": maybe(
                ConvNet(
                    stem=integer(4, 8, 2),
                    stages=repeat(Stage(block=choose(Plain(), Separable()), width=choose(8, 16)), 0, 1),
                    stem_stride=2,
                )
            ),
            "fou": maybe(Dense(width=choose(8, 24), depth=1)),
            "zer": maybe(Dense(width=choose(8, 24), depth=1)),
            "mor": maybe(Dense(width=8, depth=1)),
        },
        fusion=choose(Concat(), Sum(dim=16), Gated(dim=16)),
        head=MLP(hidden=choose(0, 32)),
    ),
    {"some view": lambda network: any(network.encoders.values())},
)
"""Four views of a digit, each of which may be left out."""

_STAGE = Stage(block=choose(Plain(), Separable()), width=choose(8, 16, 24))
AVDIGITS = Space(
    Network(
        encoders={
            "image": ConvNet(stem=8, stages=repeat(_STAGE, 0, 1), stem_stride=2),
            "audio": choose(
                ConvNet(stem=8, stages=repeat(_STAGE, 0, 1), stem_stride=2), GRU(hidden=choose(16, 32), stride=4)
            ),
        },
        fusion=choose(Concat(), Sum(dim=16), Gated(dim=16)),
        head=MLP(hidden=choose(0, 48)),
    )
)
"""A picture and a spectrogram of a digit."""

SPACES: Mapping[str, Space] = {"mfeat": MFEAT, "avdigits": AVDIGITS}
TRAININGS: Mapping[str, Training] = {"mfeat": Training(epochs=8), "avdigits": Training(epochs=2)}


def tasks(name: str, data: Path) -> Task:
    """What is learnt, from the data folder."""
    return mfeat(data) if name == "mfeat" else load_task("avdigits", data)


def mfeat(data: Path) -> Task:
    """Four views of the Multiple Features; what its file calls validation and test are both for validation."""
    with np.load(data / "mfeat" / "mfeat.npz", allow_pickle=False) as arrays:
        values = {name: np.asarray(arrays[name], np.float32).reshape(-1, *shape) for name, shape in VIEWS.items()}
        label, split = arrays["label"].astype(np.int64), arrays["split"].astype(str)
    learnt = split == "train"
    modalities: dict[str, Modality] = {}
    for name, shape in VIEWS.items():
        mean, std = values[name][learnt].mean(axis=0), values[name][learnt].std(axis=0) + 1e-6
        by_column = len(shape) == 1
        modalities[name] = Modality(
            "vector" if by_column else "image",
            shape,
            tuple(mean.tolist()) if by_column else float(mean.mean()),
            tuple(std.tolist()) if by_column else float(values[name][learnt].std()),
            {},
        )
    train, valid = (
        Split({name: np.ascontiguousarray(v[rows]) for name, v in values.items()}, label[rows])
        for rows in (learnt, ~learnt)
    )
    digits = Classification(tuple("0123456789"))
    return Task("mfeat", modalities, digits, train, valid, valid, "UCI Multiple Features (Duin et al.), CC BY 4.0")


def file_of(name: str) -> Path:
    """Where a table is kept."""
    return TABLES / f"{name}.jsonl"


@cache
def table(name: str) -> Mapping[str, Mapping[str, float]]:
    """Key of an architecture → its metrics, of a finished table.

    Raises:
        FileNotFoundError: If it was not made yet.
    """
    rows = [json.loads(line) for line in file_of(name).read_text(encoding="utf-8").splitlines()]
    if any("latency_ms" not in row for row in rows):
        raise FileNotFoundError(f"{file_of(name)} is not finished: run {Path(__file__).name}")
    return {row.pop("key"): row for row in rows}


def make(name: str, data: Path) -> None:
    """Train what the table lacks, then time all of it."""
    torch.set_num_threads(1)
    space, task, training = SPACES[name], tasks(name, data), TRAININGS[name]
    file = file_of(name)
    files = TABLES / name
    files.mkdir(parents=True, exist_ok=True)
    rows = _read(file)
    wanted = {architecture.key: architecture for architecture in space.enumerate()}
    begun = time.perf_counter()
    for done, (key, architecture) in enumerate(wanted.items(), 1):
        if key in rows:
            continue
        row = trained(architecture, task, training, files / f"{key}.onnx")
        rows[key] = {"key": key, **row}
        with file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(rows[key]) + "\n")
        if done % 50 == 0:
            print(f"{name}: {done} of {len(wanted)} after {time.perf_counter() - begun:.0f} s", flush=True)
    names = [key for key in rows if (files / f"{key}.onnx").exists()]
    for key, latency in zip(names, timed([files / f"{key}.onnx" for key in names]), strict=True):
        rows[key]["latency_ms"] = latency
    draft = file.with_suffix(".part")
    draft.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
    draft.replace(file)


def trained(architecture: Architecture, task: Task, training: Training, file: Path) -> dict[str, float]:
    """Build, count, train, export and score one architecture as a search does.

    Raises:
        NasError: If it cannot be built or trained.
    """
    begun = time.perf_counter()
    module = build(architecture.network, task, training.seed)
    row: dict[str, float] = {"params": count_params(module), "macs": count_macs(module, input_shapes(module))}
    with tempfile.TemporaryDirectory() as folder:
        metrics = train_and_score(module, task, training, Path(folder))
        (Path(folder) / "model.onnx").replace(file)
    return {**row, **{n: metrics[n] for n in ("size_bytes", "accuracy")}, "seconds": time.perf_counter() - begun}


def timed(files: Sequence[Path]) -> list[float]:
    """The latencies of ONNX files in ms, each the least of blocks that are measured in turns."""
    runs = [_inference(file) for file in files]
    best = np.full(len(runs), np.inf)
    for _ in range(ROUNDS):
        for i, run in enumerate(runs):
            best[i] = min(best[i], float(np.median([_seconds(run) for _ in range(RUNS)][1:])))
    return (1e3 * best).tolist()


def _inference(file: Path) -> Callable[[], Any]:
    session, feeds = open_session(file, 1, "CPUExecutionProvider", 1, 0)
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, feeds)


def _seconds(run: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _read(file: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in _lines(file)} if file.exists() else {}


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def main() -> None:
    """Make the tables that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=[*SPACES], default=[*SPACES])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAS_DATA", ROOT.parent / "shared" / "data")))
    options = parser.parse_args()
    for name in options.tasks:
        make(name, options.data)


if __name__ == "__main__":
    main()
