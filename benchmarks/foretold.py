"""How well the surrogate foretells accuracy, latency and size of networks that were not evaluated yet.

    python benchmarks/foretold.py [--tables mfeat] [--seeds 5]

Random networks of a table of `trained.py` are told with their parameters and MACs, which the command counts; all
others of the table are then predicted as the sampler predicts them. Writes results/samplers/foretold.md.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import tables
import trained
from scipy.stats import spearmanr

from nas import Architecture
from nas.samplers.bo.acquisition import NormalScores, Scale
from nas.samplers.bo.gaussian_process import GaussianProcess, Inputs, kernels_for
from nas.space.indexed import Indexed

ROOT = Path(__file__).resolve().parent.parent
TOLD = (16, 24, 50, 100)
METRICS = ("accuracy", "latency_ms", "size_bytes")


def foretold(name: str, told: int, seed: int) -> dict[str, tuple[float, float]]:
    """Of each metric the rank correlation, and the median error as a share, of all that was not told."""
    rows = trained.table(name)
    codes = Indexed(trained.SPACES[name])
    architectures: list[Architecture] = list({a.key: a for a in trained.SPACES[name].enumerate()}.values())
    random.Random(seed).shuffle(architectures)
    metrics = [rows[architecture.key] for architecture in architectures]
    points = codes.points(codes.rows(architecture.decisions for architecture in architectures))
    counts = np.array([[row[n] for n in tables.COUNTED] for row in metrics])
    scale = Scale(counts[:told])
    inputs, others = Inputs(points[:told], scale(counts[:told])), Inputs(points[told:], scale(counts[told:]))
    found: dict[str, tuple[float, float]] = {}
    for metric in METRICS:
        values = np.array([row[metric] for row in metrics])
        scores = NormalScores(values[:told])
        known = scores(values[:told])
        means = GaussianProcess(inputs, known, kernels_for(inputs, known, codes.coordinates)).means(others)
        predicted = np.interp(means, np.sort(known), np.sort(values[:told]))
        error = np.median(np.abs(predicted - values[told:]) / values[told:])
        found[metric] = float(spearmanr(means, values[told:]).statistic), float(error)
    return found


def main() -> None:
    """Predict and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["mfeat"], choices=[*trained.SPACES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "samplers")
    options = parser.parse_args()
    rows: list[str] = []
    for name in options.tables:
        for told in TOLD:
            all_found = [foretold(name, told, seed) for seed in range(options.seeds)]
            cells = [
                f"{np.mean([f[m][0] for f in all_found]):.2f}, {np.mean([f[m][1] for f in all_found]):.1%}"
                for m in METRICS
            ]
            rows.append(f"| {name} | {told} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    text = f"""# What is foretold of networks that were not evaluated

`python benchmarks/foretold.py`: from so many random networks of a table of real trainings, told with parameters and \
MACs, all others are predicted. Rank correlation, median error; means of {options.seeds} draws.

| table | told | {" | ".join(METRICS)} |
|---|---|---|---|---|
{chr(10).join(rows)}
"""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "foretold.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
