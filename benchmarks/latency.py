"""Is a measured latency the same each time? Three models, ten measurements each, beside two running trainers.

    python benchmarks/latency.py [--repeats 10]

Writes results/latency.md and results/latency.csv.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from nas.blocks import MLP, Concat, ConvNet, Input, Network, Plain, Separable, Stage, count_params
from nas.devices import load_target, measure_local
from nas.evaluate import input_shapes
from nas.export import export_onnx

ROOT = Path(__file__).resolve().parent.parent
INPUTS = {"image": Input((1, 28, 28), 128.0, 64.0), "audio": Input((1, 40, 62), 128.0, 64.0)}
TRAINER = """
import os, torch
os.nice(19)
torch.set_num_threads(1)
from nas.blocks import ConvNet
encoder = ConvNet(32).build((1, 28, 28))
net = torch.nn.Sequential(encoder, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(net.parameters(), 0.01)
while True:
    loss = torch.nn.functional.cross_entropy(net(torch.rand(64, 1, 28, 28)), torch.randint(10, (64,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def models() -> dict[str, Network]:
    """A small, a medium and a large network of the kind that is searched."""

    def net(block: Plain | Separable, *widths: int) -> Network:
        stages = tuple(Stage(block, width) for width in widths)
        return Network({"image": ConvNet(16, stages), "audio": ConvNet(16, stages, 2)}, Concat(), MLP())

    return {"small": net(Separable(), 16, 24), "medium": net(Plain(), 24, 48), "large": net(Plain(), 64, 96, 128)}


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    target, rows = load_target("local"), []
    trainers = [subprocess.Popen([sys.executable, "-c", TRAINER]) for _ in range(2)]
    try:
        time.sleep(8)
        with tempfile.TemporaryDirectory() as folder:
            files: dict[str, tuple[Path, int]] = {}
            for name, network in models().items():
                torch.manual_seed(0)
                module = network.build(INPUTS, 10)
                files[name] = (Path(folder) / f"{name}.onnx", count_params(module))
                export_onnx(module, input_shapes(module), files[name][0])
            for repeat in range(options.repeats):
                for name, (file, params) in files.items():
                    latency = measure_local(file, target)
                    low, high = latency.interval_ms
                    rows.append(
                        {
                            "model": name,
                            "params": params,
                            "repeat": repeat,
                            "latency_ms": latency.latency_ms,
                            "low": low,
                            "high": high,
                            "p50_ms": latency.p50_ms,
                            "p95_ms": latency.p95_ms,
                            "quality": latency.quality,
                        }
                    )
    finally:
        for trainer in trainers:
            trainer.kill()
            trainer.wait()
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "results" / "latency.csv", index=False)
    spread = table.groupby("model", sort=False)[["latency_ms", "p50_ms", "p95_ms"]].agg(["mean", "std"])
    lines = [
        "# Repeatability of a measured latency",
        "",
        f"`python benchmarks/latency.py {' '.join(sys.argv[1:])}`: {options.repeats} measurements of {target.seconds} s"
        f" of each model, beside two trainers, {latency.fingerprint['cores']} cores of {latency.fingerprint['cpu']}, "
        f"ONNX Runtime {latency.fingerprint['onnxruntime']}.",
        "",
        "| model | parameters | latency ms | CV of latency | CV of the median | CV of the 95th percentile |",
        "|---|---|---|---|---|---|",
    ]
    for name in spread.index:
        row, params = spread.loc[name], int(table[table.model == name].params.iloc[0])
        cvs = [row[(column, "std")] / row[(column, "mean")] for column in ("latency_ms", "p50_ms", "p95_ms")]
        lines.append(
            f"| {name} | {params:,} | {row[('latency_ms', 'mean')]:.4f} | " + " | ".join(f"{c:.2%}" for c in cvs) + " |"
        )
    (ROOT / "results" / "latency.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
