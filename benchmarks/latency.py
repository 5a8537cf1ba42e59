"""Is a measured latency the same each time, on this machine, whatever else runs on it?

    python benchmarks/latency.py [--repeats 20] [--pause 4]

Ten files, each measured again and again in processes of their own over some minutes: alone, and beside two trainers.
Beside our latency stands what others take on the same file at the same time: a single warm run, the mean of 20, the
median of 100. Writes results/latency.md and results/latency.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nas.blocks import GRU, MLP, Concat, ConvNet, Gated, Input, MBConv, Network, Plain, Separable, Stage, count_params
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.targets import measure

ROOT = Path(__file__).resolve().parent.parent
INPUTS = {"image": Input((1, 28, 28), 128.0, 64.0), "audio": Input((1, 40, 62), 128.0, 64.0)}
OTHERS = {"single run": 1, "mean of 20": 20, "median of 100": 100}
TRAINER = """
import os, torch
os.nice(19)
torch.set_num_threads(1)
from nas.blocks import ConvNet, Input
encoder = ConvNet(32).build(Input((1, 28, 28)))
net = torch.nn.Sequential(encoder, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(net.parameters(), 0.01)
while True:
    loss = torch.nn.functional.cross_entropy(net(torch.rand(64, 1, 28, 28)), torch.randint(10, (64,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def networks() -> dict[str, Network]:
    """Ten networks of the kinds that are searched, from 3 thousand to a million parameters."""

    def net(block: Plain | Separable | MBConv, *widths: int, fusion: Any = None, audio: Any = None) -> Network:
        stages = tuple(Stage(block, width) for width in widths)
        return Network(
            {"image": ConvNet(16, stages), "audio": audio or ConvNet(16, stages, 2)}, fusion or Concat(), MLP()
        )

    return {
        "separable small": net(Separable(), 16, 24),
        "separable large": net(Separable(), 48, 96, 128),
        "plain small": net(Plain(), 16, 24),
        "plain medium": net(Plain(), 24, 48),
        "plain large": net(Plain(), 64, 96, 128),
        "plain wide": net(Plain(), 96, 192),
        "inverted small": net(MBConv(), 16, 24),
        "inverted large": net(MBConv(), 32, 64, 96),
        "recurrent": net(Plain(), 24, 48, audio=GRU(64)),
        "gated": net(Plain(), 32, 64, fusion=Gated(64)),
    }


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between repetitions")
    parser.add_argument("--one", nargs="+", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps([_one(file) for file in options.one]))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files, params = _export(Path(folder))
        os.environ[measure.STATE] = folder  # the device is new to the benchmark, whatever was measured on it before
        for load, beside in {"alone": 0, "beside two trainers": 2}.items():
            with _trainers(beside):
                for repeat in range(options.repeats):
                    command = [sys.executable, __file__, "--one", *map(str, files.values())]
                    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                    rows += [
                        {"model": n, "load": load, "repeat": repeat, **f} for n, f in zip(files, found, strict=True)
                    ]
                    time.sleep(options.pause)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "results" / "latency.csv", index=False)
    text = _report(table, params)
    (ROOT / "results" / "latency.md").write_text(text, encoding="utf-8")
    print(text)


def _one(file: Path) -> dict[str, Any]:
    """Our measurement of a file in this process, and what others would say."""
    session, feeds = measure.open_session(file, 1, "CPUExecutionProvider", 1, 0)
    measure.warm_up(lambda: session.run(None, feeds))
    others = {name: _simple(lambda: session.run(None, feeds), count) for name, count in OTHERS.items()}
    begun = time.perf_counter()
    (values,) = measure.measure([file])
    cost = time.perf_counter() - begun
    kept = {name: values[name] for name in ("latency_ms", "quality", "reference_ms", "best_reference_ms", "blocks")}
    return {**kept, "cost_s": cost, **others}


def _simple(run: Callable[[], Any], count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(times) if count == 100 else np.mean(times))


def _export(folder: Path) -> tuple[dict[str, Path], dict[str, int]]:
    files: dict[str, Path] = {}
    params: dict[str, int] = {}
    for name, network in networks().items():
        torch.manual_seed(0)
        module = network.build(INPUTS, 10)
        files[name], params[name] = folder / f"{name}.onnx", count_params(module)
        export_onnx(module, input_shapes(module), files[name])
    return files, params


@contextmanager
def _trainers(count: int) -> Generator[None]:
    trainers = [subprocess.Popen([sys.executable, "-c", TRAINER]) for _ in range(count)]
    try:
        time.sleep(8 if count else 0)
        yield
        if any(trainer.poll() is not None for trainer in trainers):
            raise SystemExit("a trainer died: nothing was measured beside it")
    finally:
        for trainer in trainers:
            trainer.kill()
            trainer.wait()


def _report(table: pd.DataFrame, params: dict[str, int]) -> str:
    machine = measure.fingerprint(1, "CPUExecutionProvider", 1)
    methods = ["latency_ms", *OTHERS]
    good = table[table.quality == "good"]
    lines = [
        "# Repeatability of a measured latency",
        "",
        f"`python benchmarks/latency.py {' '.join(sys.argv[1:])}`".replace(" `", "`")
        + f": {len(params)} files, {table.repeat.nunique()} measurements of each in processes of their own, alone and "
        f"beside two trainers; {machine['cores']} cores of {machine['cpu']}, ONNX Runtime {machine['onnxruntime']}.",
        "",
        "CV: standard deviation over repetitions as a share of the mean, median over files and worst file. Worst "
        "error: largest distance of one measurement from its file's median, alone or not. Cost: seconds of one "
        "measurement, without starting the process.",
        "",
        "| load | how | CV, median file | CV, worst file | worst single error |",
        "|---|---|---|---|---|",
    ]
    names = {"latency_ms": "ours", **{name: name for name in OTHERS}}
    middle = good.groupby("model").latency_ms.median()
    for load, part in table.groupby("load", sort=False):
        for method in methods:
            of = part[part.quality == "good"] if method == "latency_ms" else part
            spread = of.groupby("model")[method].std() / of.groupby("model")[method].mean()
            centre = of.model.map(middle if method == "latency_ms" else table.groupby("model")[method].median())
            worst = ((of[method] - centre).abs() / centre).max()
            lines.append(f"| {load} | {names[method]} | {spread.median():.2%} | {spread.max():.2%} | {worst:.1%} |")
    cost = table.groupby("load", sort=False).cost_s.agg(["median", "max"])
    lines += ["", "| load | measurements | called noisy | median cost s | largest cost s |", "|---|---|---|---|---|"]
    for load, row in cost.iterrows():
        part = table[table.load == load]
        lines.append(
            f"| {load} | {len(part)} | {(part.quality != 'good').sum()} | {row['median']:.2f} | {row['max']:.2f} |"
        )
    lines += [
        "",
        "What was called noisy is left out of our rows: it is measured again before a front is shown. The first "
        "measurement of each size on a device that is not known yet always is.",
        "",
    ]
    lines += ["| file | parameters | latency ms alone | beside two trainers | CV alone | CV beside |"]
    lines += ["|---|---|---|---|---|---|"]
    for name in params:
        cells = [good[(good.model == name) & (good.load == load)].latency_ms for load in cost.index]
        means = " | ".join(f"{cell.mean():.4f}" for cell in cells)
        cvs = " | ".join(f"{cell.std() / cell.mean():.2%}" for cell in cells)
        lines.append(f"| {name} | {params[name]:,} | {means} | {cvs} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
