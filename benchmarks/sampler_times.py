"""Time of a proposal after 100, 1,000 and 10,000 trials, on a space with about 38 active decisions.

The study is filled with random architectures and made-up values of two objectives; then samplers are asked, and told a
made-up value, again and again. Each cell runs in a process of its own that is ended when it takes too long. Ours are
also timed as a real search would ask them: while all cores train, where a limit refuses much, where results come late.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import statistics
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial
from sampler_peers import PEERS
from space import network
from tables import Problem

from nas import Architecture, Space, choose, repeat, sampler
from nas.samplers import SAMPLERS

TRIALS = (100, 1_000, 10_000)
ASKS = 30
CAP_S = 300
OPTUNA: Mapping[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "optuna-random": lambda: optuna.samplers.RandomSampler(seed=0),
    "optuna-nsga2": lambda: optuna.samplers.NSGAIISampler(seed=0, population_size=20),
    "optuna-nsga3": lambda: optuna.samplers.NSGAIIISampler(seed=0, population_size=20),
    "optuna-tpe": lambda: optuna.samplers.TPESampler(seed=0),
    "optuna-tpe-group": lambda: optuna.samplers.TPESampler(seed=0, multivariate=True, group=True),
    "optuna-gp": lambda: optuna.samplers.GPSampler(seed=0),
}
CONDITIONS: Mapping[str, str] = {
    "quiet": "nothing else",
    "training": "every core multiplies matrices in a process of its own",
    "refused": "a limit refuses three in ten",
    "late": "64 trials are in flight, and of them any is told next",
}
"""What else there is while a sampler is asked."""
IN_FLIGHT = 64
REFUSED = 0.3
FLAT = ("pymoo-nsga2", "synetune-morea", "nevergrad-discrete")
"""Peers that keep no study: they are told every trial through their own ask and tell."""


def measure(out: Path, chosen: list[str] | None = None) -> None:
    """Measure and write `times.md`."""
    ours = [name for name in SAMPLERS if name != "grid"]
    names = chosen or [*ours, *OPTUNA, *FLAT]
    rows = [_row(name, [(trials, "quiet") for trials in TRIALS]) for name in names]
    under = [_row(name, [(TRIALS[-1], c) for c in CONDITIONS]) for name in names if name in ours]
    out.mkdir(parents=True, exist_ok=True)
    head = " | ".join(f"{trials:,} trials" for trials in TRIALS)
    conditions = "".join(f"- **{name}**: {text}.\n" for name, text in CONDITIONS.items())
    text = f"""# Time of a proposal

Median (mean) in ms of {ASKS} proposals, each told before the next, after so many trials of two objectives on a \
conditional space with about 38 active decisions; in brackets the first one, which reads the whole study. Optuna's \
record of 38 answers is in all of them; it is nearly all of `random`. "over" is what took more than {CAP_S} s to fill \
and ask. `adversarial` plays a round, its longest proposal, after every ten trials, or a 64th of \
all where that is more.

| | {head} |
|---|---|---|---|
{chr(10).join(rows)}

After {TRIALS[-1]:,} trials, each column in a run of its own:

{conditions}
| | {" | ".join(CONDITIONS)} |
|---|{"---|" * len(CONDITIONS)}
{chr(10).join(under)}
"""
    (out / "times.md").write_text(text, encoding="utf-8")


def space() -> Space:
    """The space of `space.py`."""
    return Space(network(choose, lambda stage: repeat(stage, 2, 4), lambda kind: kind))


def judged(architecture: Architecture) -> tuple[float, float]:
    """Made-up values of an architecture, to be minimised: labels decide, and what gains also costs."""
    gain = cost = 0.0
    for path, label in architecture.decisions.items():
        weight = random.Random(f"{path}={label}").random()
        gain, cost = gain + weight, cost + weight * weight + 0.1
    return -math.log1p(gain), cost


def _row(name: str, wanted: list[tuple[int, str]]) -> str:
    cells: list[str] = []
    for trials, condition in wanted:
        cells.append(_cell(name, trials, condition))
        print(name, trials, condition, cells[-1], flush=True)
    return f"| {name} | {' | '.join(cells)} |"


def _cell(name: str, trials: int, condition: str) -> str:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_timed, args=(name, trials, condition, sender))
    process.start()
    sender.close()
    with _training() if condition == "training" else nullcontext():
        try:
            times = receiver.recv() if receiver.poll(CAP_S) else None
        except EOFError:
            times = []
    process.kill()
    process.join()
    if times is None:
        return f"over {CAP_S} s"
    if not times:
        return "failed"
    first, *rest = times
    return f"{1e3 * statistics.median(rest):.1f} ({1e3 * statistics.mean(rest):.1f}) [{1e3 * first:.0f}]"


def _timed(name: str, trials: int, condition: str, sender: Any) -> None:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sender.send(_flat(name, trials) if name in FLAT else _study(name, trials, condition))


def _study(name: str, trials: int, condition: str) -> list[float]:
    """Seconds of proposals of a sampler in a study that was filled."""
    searched = space()
    made = OPTUNA[name]() if name in OPTUNA else sampler(name, searched, seed=0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=made)
    rng = random.Random(0)
    refused = REFUSED if condition == "refused" else 0.0
    study.add_trials([_told(searched, searched.sample(rng), rng.random() < refused) for _ in range(trials)])
    flying: deque[tuple[Trial, Architecture]] = deque()
    times: list[float] = []
    while len(times) < ASKS + 1:
        begun = time.perf_counter()
        trial = study.ask()
        architecture = searched.ask(trial)
        spent = time.perf_counter() - begun
        flying.append((trial, architecture))
        if condition == "late" and len(flying) < IN_FLIGHT and times:
            continue
        times.append(spent)
        flying.rotate(rng.randrange(len(flying)))
        trial, architecture = flying.popleft()
        if rng.random() < refused:
            trial.set_constraint("cost", 1.0)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, judged(architecture))
    return times


def _told(searched: Space, architecture: Architecture, is_refused: bool) -> FrozenTrial:
    asked = FixedTrial(dict(architecture.decisions))
    searched.ask(asked)
    if is_refused:
        return create_trial(
            params=asked.params,
            distributions=asked.distributions,
            state=TrialState.PRUNED,
            constraints={"cost": 1.0},
        )
    return create_trial(params=asked.params, distributions=asked.distributions, values=judged(architecture))


@contextmanager
def _training() -> Generator[None]:
    """Keep every core busy meanwhile."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_multiply, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


def _multiply() -> None:
    matrix = np.ones((512, 512), np.float32)
    while True:
        np.matmul(matrix, matrix)


def _flat(name: str, trials: int) -> list[float]:
    """Seconds of the last proposals of a peer that was told all trials by itself; of pymoo also of its generations."""
    searched = space()
    problem = Problem(
        name="times", title="", space=searched, objectives=("accuracy", "latency_ms"), limits=(), counted=(),
        metrics=lambda _: {},
        worst=(0.0, 40.0), best=(-4.0, 0.0), score=lambda _: [], top=0.0, unit="",
    )  # fmt: skip
    peer = PEERS[name].make(problem, 0, trials + ASKS + 1)
    times: list[float] = []
    for _ in range(trials + ASKS + 1):
        begun = time.perf_counter()
        architecture = peer.ask()
        times.append(time.perf_counter() - begun)
        peer.tell(judged(architecture), 0.0)
    return times[-ASKS - 1 :]
