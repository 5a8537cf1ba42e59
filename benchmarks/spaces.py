"""Every ready space: its size, its smallest and largest network, and what a candidate costs before it is trained.

    python benchmarks/spaces.py [--candidates 200] [--timed 50] [--only NAME ...]

Random candidates of each space are built, exported with their proof, and run in ONNX Runtime on the file, as a search
does before it trains; the first of them are timed and their latency is measured. Writes results/spaces.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from nas import Architecture, Space, load_space
from nas.errors import NasError
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import run_onnx
from nas.targets import load_target
from nas.targets.measure import fingerprint

ROOT = Path(__file__).resolve().parent.parent
SPACES = sorted((ROOT / "search_spaces").glob("*.py"))


@dataclass
class Finding:
    """What was found of one space; times in seconds."""

    build: list[float] = field(default_factory=list)
    export: list[float] = field(default_factory=list)
    measure: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--timed", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[path.stem for path in SPACES])
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes: list[str] = []
    times: list[str] = []
    for path in SPACES:
        if path.stem not in options.only:
            continue
        space = load_space(path)
        begun = time.perf_counter()
        extremes = space.extremes(lambda network: network.cost("params"))
        seconds = time.perf_counter() - begun
        sizes.append(_size_row(path.stem, space, extremes, seconds))
        found = examine(space, options.candidates, options.timed)
        times.append(_time_row(path.stem, found, options.candidates))
        print(sizes[-1], times[-1], *found.failures[:5], sep="\n", flush=True)
    machine = fingerprint(1, "CPUExecutionProvider", 1)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    text = f"""# Ready spaces

`{" ".join(["python benchmarks/spaces.py", *sys.argv[1:]])}` at revision {revision} on {machine["cores"]} cores of \
{machine["cpu"]}, one thread, ONNX Runtime {machine["onnxruntime"]}.

Sizes count sets of decisions before constraints. The smallest and the largest network are by parameters, found by
changing one decision at a time (`Space.extremes`); the seconds are those of finding both.

| space | architectures | smallest: params, MACs | largest: params, MACs | s |
|---|---|---|---|---|
{chr(10).join(sizes)}

Of {options.candidates} random candidates each: the share that was built, exported, proven at two batch sizes (and two
lengths where a length is free) and run from the file; of {options.timed} of them the median seconds to build and to
export with the proof, the longest of both together, the median seconds to measure, and the range of latencies.

| space | share | build s | export s | both, longest | measure s | latency ms |
|---|---|---|---|---|---|---|
{chr(10).join(times)}
"""
    (ROOT / "results" / "spaces.md").write_text(text, encoding="utf-8")
    print(text)


def examine(space: Space, candidates: int, timed: int) -> Finding:
    """Build, export and run random candidates, and measure the first of them."""
    rng, found, target = random.Random(0), Finding(), load_target("local")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        for position in range(candidates):
            architecture = space.sample(rng)
            try:
                begun = time.perf_counter()
                module = architecture.network.build()
                built = time.perf_counter()
                export_onnx(module, input_shapes(module), file, free=module.free)
                exported = time.perf_counter()
                one = {name: np.ones((1, *shape), np.float32) for name, shape in input_shapes(module).items()}
                if not np.isfinite(run_onnx(file, one)).all():
                    found.failures.append(f"outputs are not finite: {dict(architecture.decisions)}")
            except NasError as error:
                found.failures.append(f"{error}: {dict(architecture.decisions)}")
                continue
            if position < timed:
                measured = time.perf_counter()
                found.latency_ms.append(target.measure([file])[0].latency_ms)
                found.measure.append(time.perf_counter() - measured)
                found.build.append(built - begun)
                found.export.append(exported - built)
    return found


def _size_row(name: str, space: Space, extremes: tuple[Architecture, Architecture], seconds: float) -> str:
    costs = [f"{a.network.cost('params'):,}, {a.network.cost('macs'):,}" for a in extremes]
    return f"| {name} | {space.size:,} | {' | '.join(costs)} | {seconds:.1f} |"


def _time_row(name: str, found: Finding, candidates: int) -> str:
    share = 1 - len(found.failures) / candidates
    both = max(b + e for b, e in zip(found.build, found.export, strict=True))
    cells = [statistics.median(found.build), statistics.median(found.export), both, statistics.median(found.measure)]
    latency = f"{min(found.latency_ms):.3f} to {max(found.latency_ms):.3f}"
    return f"| {name} | {share:.1%} | {' | '.join(f'{value:.3f}' for value in cells)} | {latency} |"


if __name__ == "__main__":
    main()
