"""What a trial costs besides itself: trials a second against bare Ray Tune, and whether the driver grows.

    python benchmarks/trials.py [--trials 1000] [--networks 200] [--workers 2]

Two trials, each in a search of ours (proposed, recorded in a journal, told) and in a bare `tune.Tuner` with reused
actors in the same Ray: one that does nothing, and one that builds, trains for one epoch, exports and scores a tiny
network on a table of 150 rows. Neither objective is on latency, so nothing is measured. Rates count from the tenth
trial that is told to the last. The driver's memory is told along the trials that do nothing, of both: Ray Tune keeps
what it knows of every trial. Writes results/trials.md.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from ray import tune

from nas.evaluation.context import EvaluationContext, Report
from nas.evaluation.evaluator import attempt
from nas.evaluation.outcome import Outcome
from nas.pipeline.context import WorkerContext
from nas.pipeline.executors.ray_tune import Cluster, cluster, run_trials
from nas.pipeline.loop import Job, SearchLoop
from nas.pipeline.run import begin_run
from nas.pipeline.search import evaluate_job
from nas.pipeline.terms import Terms
from nas.runs.ledger import Ledger, Trial
from nas.runs.lock import writing
from nas.samplers import sampler
from nas.targets.measure import fingerprint

ROOT = Path(__file__).resolve().parent.parent
WARM = 10
SPACE = """
from nas import Space, integer
from nas.blocks import MLP, Dense, Network
space = Space(Network({"table": Dense(integer(4, 64))}, head=MLP(hidden=integer(4, 64))))
"""


class Watch:
    """When each trial was told, and the memory of this process then."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.busy: list[float] = []
        self.memory: list[float] = []

    def tell(self) -> None:
        """A trial was told."""
        self.times.append(time.perf_counter())
        self.busy.append(time.process_time())
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)

    @property
    def rate(self) -> float:
        """Trials a second."""
        return (len(self.times) - WARM - 1) / (self.times[-1] - self.times[WARM])

    @property
    def cost_ms(self) -> float:
        """Processor time of this process for each trial."""
        return 1e3 * (self.busy[-1] - self.busy[WARM]) / (len(self.busy) - WARM - 1)


class _Told(tune.Callback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_trial_complete(self, **_: Any) -> None:
        self.watch.tell()


class Bare(tune.Trainable):
    """What Ray Tune runs without us: the same step, on an architecture drawn in the worker."""

    def setup(self, config: dict[str, Any], step: Callable[[int], Any]) -> None:
        """Begin a worker as ours do."""
        torch.set_num_threads(1)
        self.do = step

    def step(self) -> dict[str, Any]:
        """Run one trial."""
        self.do(self.config["number"])
        return {"done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self.config = new_config
        return True


def nothing(_context: Any, job: Job, _measure: Any, _report: Report) -> Outcome:
    """A trial of ours that does nothing, and gives points as far apart as those of a search."""
    rng = random.Random(job.number)
    return Outcome("complete", {"accuracy": rng.random(), "size_bytes": rng.randrange(1000, 9000)})


def bare_nothing(_number: int) -> None:
    """A bare one."""


class BareNetwork:
    """A bare trial that does what ours does in a worker."""

    def __init__(self, context: WorkerContext, folder: Path) -> None:
        self.space, self.folder = context.space(), folder
        self.context = EvaluationContext(context.task, context.training)

    def __call__(self, number: int) -> None:
        """Evaluate an architecture of the space."""
        drawn = self.space.sample(random.Random(number))
        outcome = attempt(self.space, drawn.decisions, self.folder / str(number), self.context)
        if outcome.state != "complete":
            raise RuntimeError(outcome.reason)


def bare(running: Cluster, step: Callable[[int], Any], count: int) -> Watch:
    """Run trials without us."""
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=running.scratch) as storage:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(Bare, step=step), {"cpu": 1}),
            param_space={"number": tune.randint(0, 2**31)},
            tune_config=tune.TuneConfig(num_samples=count, reuse_actors=True, max_concurrent_trials=running.workers),
            run_config=tune.RunConfig(
                storage_path=storage,
                name="bare",
                verbose=0,
                callbacks=[_Told(watch)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return watch


def ours(running: Cluster, folder: Path, table: Path, work: Callable[..., Outcome], count: int) -> Watch:
    """Run a search's trials."""
    watch = Watch()

    def told(_ledger: Ledger, _trial: Trial) -> None:
        watch.tell()

    space_file = folder.with_name("space.py")
    with writing(folder):
        ledger, context = begin_run(folder, space_file, config(table))
        space = context.space()
        ledger.study.sampler = sampler("random", space, 0)
        run_trials(running, SearchLoop(ledger, space, count, on_trial=told), work, context)
    return watch


def config(table: Path) -> Terms:
    """The terms of all runs here."""
    return Terms(data=table, label="kind", objectives=("accuracy", "size_bytes"), sampler="random", epochs=1)


def write_table(file: Path) -> None:
    """A table as large as Fisher's irises."""
    rng = np.random.default_rng(0)
    rows = [(kind, *(rng.normal(kind, 1, 4)).round(2)) for kind in range(3) for _ in range(50)]
    lines = ["kind,a,b,c,d", *(f"k{kind},{','.join(map(str, values))}" for kind, *values in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark and write its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="that do nothing, of each")
    parser.add_argument("--networks", type=int, default=200, help="that train, of each")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    watches: dict[str, Watch] = {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        folder, table = Path(place), Path(place) / "table.csv"
        write_table(table)
        (folder / "space.py").write_text(SPACE, encoding="utf-8")
        with writing(folder / "run"):
            _, context = begin_run(folder / "run", folder / "space.py", config(table))
        with cluster(None, options.workers) as running:
            watches["nothing"] = ours(running, folder / "nothing", table, nothing, options.trials)
            watches["bare nothing"] = bare(running, bare_nothing, options.trials)
            watches["network"] = ours(running, folder / "network", table, evaluate_job, options.networks)
            watches["bare network"] = bare(running, BareNetwork(context, folder / "bare"), options.networks)
    text = page(watches, options.workers)
    (ROOT / "results" / "trials.md").write_text(text, encoding="utf-8")
    print(text)


def page(watches: Mapping[str, Watch], workers: int) -> str:
    """What was found, as Markdown."""
    machine = fingerprint(1, "CPUExecutionProvider", 1)
    rows = [
        f"| {what} | {watches[name].rate:.1f} | {watches[f'bare {name}'].rate:.1f} | "
        f"**{watches[name].rate / watches[f'bare {name}'].rate:.2f}** | {watches[name].cost_ms:.1f} | "
        f"{watches[f'bare {name}'].cost_ms:.1f} |"
        for name, what in (("nothing", "nothing"), ("network", "build, train, export and score a tiny network"))
    ]
    trials = len(watches["nothing"].memory)
    marks = list(range(100, trials + 1, 100)) or [trials]
    grown = [
        f"| {who} | " + " | ".join(f"{watches[name].memory[k - 1]:.0f}" for k in marks) + " |"
        for name, who in (("nothing", "ours"), ("bare nothing", "bare Ray Tune, after ours"))
    ]
    return "\n".join(
        [
            "# What a trial costs besides itself",
            "",
            f"`python benchmarks/trials.py {' '.join(sys.argv[1:])}`".replace(" `", "`")
            + f" on {machine['cores']} cores of {machine['cpu']}, {workers} workers.",
            "",
            "| a trial's work | ours, trials/s | bare Ray Tune, trials/s | ours of bare | driver, ms of CPU | bare |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"{trials} trials that do nothing, and the driver's memory in MiB:",
            "",
            "| trials | " + " | ".join(map(str, marks)) + " |",
            "|---|" + "---|" * len(marks),
            *grown,
            "",
        ]
    )


if __name__ == "__main__":
    main()
