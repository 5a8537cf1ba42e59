"""Training on the CPU beside training on a CUDA GPU: how long, how accurate, and how many trials a GPU stands.

    python benchmarks/device.py [--seeds 5] [--epochs 10]

Trains networks of `search_spaces/digits.py` on the built-in task with the same seeds on both. The accuracies may differ
by as much as another seed makes them differ: the difference of the means has to be within two standard errors, or
0.01. Then `nas search` of as many trials runs on both. Writes results/device.md; without a GPU it says so and ends.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from nas.errors import TrainingError
from nas.evaluation.build import build
from nas.pipeline.search import search
from nas.space.source import load_space
from nas.targets.measure import fingerprint
from nas.tasks import Task, load_task
from nas.training import Device, Training, find_device, train

ROOT = Path(__file__).resolve().parent.parent
SPACE = ROOT / "search_spaces" / "digits.py"
FLOOR = 0.01
"""Difference of accuracies that is allowed whatever the seeds say."""


def main() -> int:
    """Run the benchmark and write its table; gives 1 where there is no GPU, or accuracies differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    options = parser.parse_args()
    try:
        gpu = find_device()
    except TrainingError as error:
        sys.exit(f"error: {error}")
    if gpu.kind == "cpu":
        print("There is no GPU here (nas doctor says what torch finds): nothing was measured, nothing was written.")
        return 1
    task, rows, agree = load_task("digits"), list[str](), True
    for number in range(options.networks):
        here, there = (_trainings(task, number, device, options) for device in (Device(), gpu))
        row, is_same = _row(number, here, there)
        rows.append(row)
        agree = agree and is_same
    searches = [_searched(name, options) for name in ("cpu", "cuda")]
    (ROOT / "results" / "device.md").write_text(_page(gpu, rows, searches, options), encoding="utf-8")
    return 0 if agree else 1


def _trainings(task: Task, number: int, device: Device, options: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds and accuracy of each seed; a first training that warms the device up does not count."""
    network = load_space(SPACE).sample(random.Random(number)).network
    found: list[tuple[float, float]] = []
    for seed in (0, *range(options.seeds)):
        module, begun = build(network, task, seed), time.perf_counter()
        history = train(
            module, task.output, task.train, task.valid, Training(epochs=options.epochs, seed=seed), device=device
        )
        found.append((time.perf_counter() - begun, history[-1].score))
    return found[1:]


def _row(number: int, here: list[tuple[float, float]], there: list[tuple[float, float]]) -> tuple[str, bool]:
    seconds = [statistics.median(s for s, _ in each) for each in (here, there)]
    means = [statistics.fmean(a for _, a in each) for each in (here, there)]
    spread = [statistics.stdev([a for _, a in each]) if each[1:] else 0.0 for each in (here, there)]
    allowed = max(FLOOR, 2 * (sum(s**2 / len(here) for s in spread)) ** 0.5)
    is_same = abs(means[0] - means[1]) <= allowed
    cells = [f"{s:.2f} s | {m:.4f} ± {d:.4f}" for s, m, d in zip(seconds, means, spread, strict=True)]
    return f"| {number} | {cells[0]} | {cells[1]} | {'yes' if is_same else 'NO'} (within {allowed:.4f}) |", is_same


def _searched(device: str, options: argparse.Namespace) -> str:
    """Trials a minute of a search on a device, from its first trial's start to its last one's end."""
    os.environ["NAS_DEVICE"] = device
    with tempfile.TemporaryDirectory() as folder:
        ledger = search(
            SPACE, Path(folder) / "run", trials=options.trials, sampler="random",
            training=Training(epochs=options.epochs),
        )  # fmt: skip
        trials = [t for t in ledger.trials() if t.state == "complete"]
    del os.environ["NAS_DEVICE"]
    if not trials:
        return f"| {device} | none was complete |"
    minutes = (max(t.finished for t in trials) - min(t.started for t in trials)) / 60
    return f"| {trials[0].metrics['trained_on']} | {len(trials) / minutes:.1f} |"


def _page(gpu: Device, rows: list[str], searches: list[str], options: argparse.Namespace) -> str:
    machine = fingerprint(1, "CPUExecutionProvider", 1)
    lines = "\n".join
    return f"""# Training on a GPU

`python benchmarks/device.py {" ".join(sys.argv[1:])}` on {machine["cores"]} cores of {machine["cpu"]} and {gpu}.

Networks of `search_spaces/digits.py`, {options.epochs} epochs, {options.seeds} seeds; one thread trains on the CPU.

| network | CPU | validation accuracy | GPU | validation accuracy | agree |
|---|---|---|---|---|---|
{lines(rows)}

| a search's trials trained on | trials a minute |
|---|---|
{lines(searches)}
"""


if __name__ == "__main__":
    sys.exit(main())
