"""What a proposal costs in `nas search`: its default sampler, counting candidates of ready spaces as the command does.

    python benchmarks/proposals.py [--spaces digits image_mobile sensors] [--samplers surrogate nsga2] [--trials 200]

The loop is the engine's own with accuracies that are made up from the decisions, latencies from MACs and sizes from
parameters, so that nothing is trained and all time is the proposal's. Given are processor seconds: of one thread, and
on a busy machine not of its neighbours. Writes results/samplers/proposals.md.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nas import Space, load_space, sampler
from nas.evaluation.outcome import Outcome
from nas.evaluation.static_metrics import CANDIDATES, counted
from nas.objectives.objective import parse_limit
from nas.pipeline.executors.simulated import memory_ledger
from nas.pipeline.loop import SearchLoop
from nas.pipeline.run_config import DEFAULTS
from nas.targets.measure import fingerprint
from nas.tasks import Classification, Task
from nas.tasks.task import Modality, Split

ROOT = Path(__file__).resolve().parent.parent
AT = (20, 100, 200)
AROUND = 10
"""Trials before each of `AT` that a mean is taken over."""


def task_of(space: Space) -> Task:
    """A task without data, for networks with a space's own inputs and outputs."""
    network = space.sample(random.Random(0)).network
    modalities = {
        name: Modality("series", i.shape, i.mean, i.std, {}, i.vocabulary, i.categories, i.free)
        for name, i in network.inputs.items()
    }
    empty = Split({}, np.zeros(0, np.int64))
    return Task("none", modalities, Classification(tuple(map(str, range(network.outputs)))), empty, empty, empty)


def judged(decisions: Mapping[str, object], counts: Mapping[str, float]) -> Outcome:
    """Made-up metrics: labels decide on the accuracy, larger networks are better and slower."""
    luck = sum(random.Random(f"{path}={label}").random() for path, label in decisions.items()) / len(decisions)
    accuracy = 0.5 + 0.3 * luck + 0.01 * math.log(counts["params"])
    latency = 0.02 + 1e-7 * counts["macs"] + 0.002 * len(decisions)
    return Outcome(
        "complete", {**counts, "accuracy": accuracy, "latency_ms": latency, "size_bytes": 4 * counts["params"] + 5000}
    )


def seconds(space: Space, name: str, trials: int, limits: tuple[str, ...]) -> list[float]:
    """The processor seconds of each proposal of a search."""
    ledger = memory_ledger(space, DEFAULTS.objectives, sampler("random", space), limits)
    task = task_of(space)
    static_metrics = counted(ledger, space, task)
    ledger.study.sampler = sampler(
        name, space, 0, static_metrics, [parse_limit(text) for text in limits], candidates=CANDIDATES
    )
    apart = counted(ledger, space, task)
    proposals = SearchLoop(ledger, space, trials)
    times: list[float] = []
    while True:
        begun = time.process_time()
        given = proposals.next()
        times.append(time.process_time() - begun)
        if given is None:
            return times[:-1]
        number, job = given
        proposals.finish(number, judged(job.decisions, apart(space.architecture(job.decisions))))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=["digits", "sensors", "image_mobile"])
    parser.add_argument("--samplers", nargs="+", default=["surrogate", "nsga2", "local"])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "samplers")
    options = parser.parse_args()
    at = [k for k in AT if k <= options.trials]
    rows: list[str] = []
    for name in options.spaces:
        space = load_space(ROOT / "search_spaces" / f"{name}.py")
        for chosen in options.samplers:
            times = seconds(space, chosen, options.trials, ())
            cells = [f"{1e3 * float(np.mean(times[k - AROUND : k])):.0f}" for k in at]
            rows.append(f"| {name} | {chosen} | {' | '.join(cells)} | {sum(times):.1f} |")
            print(rows[-1], flush=True)
    text = f"""# Cost of a proposal in `nas search`

`python benchmarks/proposals.py` on {fingerprint(1, "CPUExecutionProvider", 1)["cpu"]}: milliseconds of one thread, \
the mean of the {AROUND} proposals before so many trials, three objectives; in the end seconds of {options.trials}. \
`surrogate` counts the parameters and MACs of {CANDIDATES} candidates for each proposal; the others count none unless \
a limit asks for it.

| space | sampler | {" | ".join(f"{k} trials" for k in at)} | all, s |
|---|---|{"---|" * len(at)}---|
{chr(10).join(rows)}
"""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "proposals.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
