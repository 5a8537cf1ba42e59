"""Every sampler of ours and those of other libraries on tabular problems, at equal numbers of evaluations.

    pip install -e '.[bench]' && python benchmarks/samplers.py [--problems two-c100-raspi4 ...] [--seeds 100-104]

Ours go through the engine's own loop on a virtual clock (`nas.pipeline.executors.simulated`), told what `nas search`
knows. Each finished curve is kept in results/runs/samplers-cache and used again, so the tables can be built up in
several sittings; --fresh runs again what is named. The table of real trainings must be there: `python
benchmarks/trained.py`. Writes
results/samplers/<problem>.md and .png, and results/samplers/README.md with all that were named; with --workers,
results/samplers/workers.md: ours with one job at a time beside ours with many.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import sampler_report
import tables
from peers import Peer
from sampler_peers import PEERS, peers_for
from sampler_report import LATENCY

from nas import sampler
from nas.errors import SamplerError
from nas.evaluation.outcome import Outcome
from nas.evaluation.static_metrics import CANDIDATES
from nas.objectives.objective import excess, parse_limit
from nas.pipeline.executors.simulated import memory_ledger, simulate
from nas.pipeline.loop import COUNTED, Job, SearchLoop
from nas.runs.ledger import Ledger, Trial
from nas.samplers import SAMPLERS, uses_static_metrics

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "results" / "runs" / "samplers-cache"
REPORTED = (
    *("mfeat", "two-c100-raspi4", "two-c100-eyeriss", "three-c100-raspi4"),
    *("limit-c100-raspi4", "known-c100-raspi4", "one-in16", "nested-two"),
)
"""Problems of a run that names none. Those on CIFAR-10 are for tuning; none of them is shown."""


@dataclass(frozen=True)
class Run:
    """One search: a sampler on a problem with a seed, and as many jobs at a time as there are workers."""

    problem: str
    sampler: str
    seed: int
    evaluations: int
    data: Path
    workers: int = 1

    @property
    def file(self) -> Path:
        """Where its curve is kept."""
        of = self.sampler if self.workers == 1 else f"{self.sampler}-{self.workers}-workers"
        return CACHE / self.problem / of / f"{self.seed}.json"

    def kept(self) -> Mapping[str, Any] | None:
        """Its curve, if one of at least this length was kept."""
        if not self.file.exists():
            return None
        found = json.loads(self.file.read_text(encoding="utf-8"))
        return found if found["evaluations"] >= self.evaluations else None


def ours(problem: tables.Problem) -> list[str]:
    """Names of our samplers, and of one that is told latencies; an exhaustive grid is none that could be compared."""
    told = "latency_ms" in problem.objectives and not problem.latency_known
    names = [name for name in SAMPLERS if name != "grid"]
    return [*names, *(f"{name}{LATENCY}" for name in names if told and uses_static_metrics(name))]


def perform(run: Run) -> Run:
    """Run a search and keep its curve."""
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", module="(nevergrad|pymoo|syne_tune|cma|smac|ConfigSpace)")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    problem = tables.problem(run.problem, run.data)
    begun = time.perf_counter()
    note, proposed = "", 0
    try:
        found, proposed, note = (_peer if run.sampler in PEERS else _ours)(problem, run)
        curve = problem.score(found)
        accuracy = tables.best_curve(*2 * [[m and 100 * m["accuracy"] for m in found]], 0.0)
        refused = [result is None for result in found]
    except SamplerError as error:
        curve, accuracy, refused, note = [], [], [], error.message
    run.file.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "evaluations": run.evaluations,
        "curve": [round(score, 5) for score in curve],
        "accuracy": [round(best, 5) for best in accuracy],
        "refused": sum(refused),
        "proposed": proposed,
        "seconds": round(time.perf_counter() - begun, 2),
        "note": note,
    }
    draft = run.file.with_suffix(".part")
    draft.write_text(json.dumps(values), encoding="utf-8")
    draft.replace(run.file)
    return run


Found = list[Mapping[str, float] | None]
"""All metrics of what was evaluated, in order, those hidden from the sampler too; None for what a limit refused."""


def _ours(problem: tables.Problem, run: Run) -> tuple[Found, int, str]:
    """Search through the engine's loop, with what the command knows: what can be counted, and limits on that.

    Some jobs take up to three times as long as others, which matters where several run at a time.
    """
    name = run.sampler.removesuffix(LATENCY)
    if name != run.sampler:
        problem = replace(problem, latency_known=True)
    space = problem.space
    static_metrics = problem.static_metrics if problem.known else None
    proposing = sampler(name, space, run.seed, static_metrics, problem.known_limits, candidates=CANDIDATES)
    ledger = memory_ledger(space, problem.objectives, proposing, problem.limits, run.seed)
    found: Found = []

    def keep(_: Ledger, trial: Trial) -> None:
        if trial.state in COUNTED:
            metrics = problem.metrics(space.architecture(trial.decisions))
            found.append(metrics if trial.state == "complete" else None)

    proposals = SearchLoop(ledger, space, run.evaluations, on_trial=keep)

    def judge(job: Job) -> tuple[Outcome, float]:
        architecture = space.architecture(job.decisions)
        return problem.judge(architecture), random.Random(architecture.key).uniform(0.5, 1.5)

    simulate(proposals, judge, run.workers)
    return found, len(ledger.study.get_trials(deepcopy=False)), proposals.exhausted


def _peer(problem: tables.Problem, run: Run) -> tuple[Found, int, str]:
    """Search with a peer.

    Repetitions are told again, and what breaks a limit that is known beforehand is told too; they count only against a
    limit on all proposals.
    """
    entry = PEERS[run.sampler]
    peer: Peer = entry.make(problem, run.seed, run.evaluations)
    found: Found = []
    seen: set[str] = set()
    known_limits = [parse_limit(text) for text in problem.known_limits]
    for proposed in range(1, entry.proposals * run.evaluations + 1):
        architecture = peer.ask()
        if problem.space.refused_by(architecture.network):
            peer.fail()
            continue
        outcome = problem.judge(architecture)
        put_aside = excess(known_limits, problem.static_metrics(architecture)) > 0
        if architecture.key not in seen and not put_aside:
            seen.add(architecture.key)
            found.append(problem.metrics(architecture) if outcome.state == "complete" else None)
            if len(found) == run.evaluations:
                return found, proposed, ""
        peer.tell(problem.values(outcome), sum(outcome.violations.values()))
    return found, entry.proposals * run.evaluations, f"no more than {len(found)} architectures that count"


def wanted(options: argparse.Namespace) -> Iterator[Run]:
    """All runs that are asked for, those of a seed together."""
    known = [*SAMPLERS, *PEERS]
    for name in options.samplers or ():
        other = name.startswith(("optuna:", "optunahub:")) or name in ("tpe", "gp")
        if name.removesuffix(LATENCY) not in known and not other:
            raise SystemExit(f"--samplers: {name!r} is not known; one of {', '.join(known)}.")
    for position, seed in enumerate(options.seeds):
        for name in options.problems:
            problem = tables.problem(name, options.data)
            peers = [] if options.workers > 1 else peers_for(problem)
            for chosen in options.samplers or [*ours(problem), *peers]:
                entry = PEERS.get(chosen)
                if chosen.endswith(LATENCY) and chosen not in ours(problem):
                    continue
                if entry is None:
                    for workers in sorted({1, options.workers}):
                        yield Run(name, chosen, seed, options.evaluations, options.data, workers)
                elif chosen in peers and position < entry.seeds_on(problem):
                    yield Run(name, chosen, seed, min(options.evaluations, entry.evaluations), options.data)


def seeds(text: str) -> Sequence[int]:
    """Read `100-129` or `0,3,7`."""
    if "-" in text:
        first, last = text.split("-")
        return range(int(first), int(last) + 1)
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=REPORTED, choices=tables.names(), metavar="PROBLEM")
    parser.add_argument("--samplers", nargs="+", metavar="SAMPLER", help="of ours and of the peers; default all")
    parser.add_argument("--seeds", type=seeds, default=seeds("100-104"), help="for example 100-104")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2, help="searches at a time")
    parser.add_argument("--workers", type=int, default=1, help="jobs of a search at a time, ours only; see above")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAS_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "samplers")
    parser.add_argument("--fresh", action="store_true", help="run again what was kept")
    parser.add_argument("--report-only", action="store_true", help="write the tables from what was kept")
    parser.add_argument("--times", action="store_true", help="measure the time of a proposal, and nothing else")
    options = parser.parse_args()
    options.data = options.data.resolve()
    if not options.data.is_dir():
        raise SystemExit(f"--data: {options.data} is no folder; expected the one that holds nasbench201/.")
    if options.workers > 1 and (peers := sorted({*PEERS} & {*(options.samplers or ())})):
        raise SystemExit(f"--samplers: {', '.join(peers)}; only ours are run with several workers.")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.times:
        import sampler_times

        sampler_times.measure(options.out, options.samplers)
        return
    asked = list(wanted(options))
    missing = [] if options.report_only else [run for run in asked if options.fresh or run.kept() is None]
    print(f"{len(asked)} searches, {len(missing)} to run")
    begun = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context) as pool:
        futures = {pool.submit(perform, run): run for run in missing}
        for done, future in enumerate(as_completed(futures), 1):
            run = futures[future]
            try:
                future.result()
            except Exception as error:  # noqa: BLE001 - a peer's failure is its result, and the others go on
                print(f"{run.problem} {run.sampler} {run.seed}: {type(error).__name__}: {error}")
            if done % 50 == 0:
                print(f"{done} of {len(missing)} after {time.perf_counter() - begun:.0f} s", flush=True)
    results: dict[int, dict[str, dict[str, list[Mapping[str, Any]]]]] = {}
    for run in asked:
        if (kept := run.kept()) is not None:
            results.setdefault(run.workers, {}).setdefault(run.problem, {}).setdefault(run.sampler, []).append(kept)
    if options.workers > 1:
        sampler_report.write_workers(options.out, results, options.data, options.evaluations)
    else:
        sampler_report.write(options.out, results.get(1, {}), options.data, options.seeds, options.evaluations)


if __name__ == "__main__":
    main()
