"""How much of a search's wall time is not training, measuring or exporting, with trials of about 15 s.

    python benchmarks/overhead.py [--trials 12] [--epochs 8]

Counts from the first ask to the last tell: each worker's time is split into what its trials report as training,
exporting and measuring, and the rest: proposing, the ledger, Ray, building, counting, scoring, waiting for the meter.
Starting Ray is reported apart. Writes results/overhead.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from nas.pipeline.search import search
from nas.targets.measure import fingerprint
from nas.training import Training

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        ledger = search(
            ROOT / "search_spaces" / "digits.py",
            Path(folder) / "run",
            trials=options.trials,
            sampler="nsga2",
            training=Training(epochs=options.epochs),
        )
        trials = [t for t in ledger.trials() if t.state == "complete"]
        end = time.time()
    first, last = min(t.started for t in trials), max(t.finished for t in trials)
    # The last worker to finish leaves the others without work; only time with a trial in flight is a worker's.
    busy = sum(t.finished - t.started for t in trials)
    useful = sum(t.metrics["train_s"] + t.metrics["export_s"] + t.metrics["measure_s"] for t in trials)
    lanes = workers * (last - first) - _idle_tail(trials, workers, last)
    share = 1 - useful / lanes
    machine = fingerprint(1, "CPUExecutionProvider", 1)
    text = f"""# Overhead of a search

`python benchmarks/overhead.py {" ".join(sys.argv[1:])}` on {machine["cores"]} cores of {machine["cpu"]}.

{len(trials)} trials of {busy / len(trials):.1f} s on {workers} workers, from the first ask to the last tell \
{last - first:.0f} s. Not training, exporting or measuring: **{share:.1%}** of the workers' time. Starting and ending \
(Ray, data) {end - begun - (last - first):.1f} s more.
"""
    (ROOT / "results" / "overhead.md").write_text(text, encoding="utf-8")
    print(text)


def _idle_tail(trials: list, workers: int, last: float) -> float:
    """Seconds that workers stand idle at the end because no trial is left to begin."""
    return sum(last - t for t in sorted((t.finished for t in trials), reverse=True)[:workers])


if __name__ == "__main__":
    main()
