"""Tables and plots of `samplers.py`: mean and standard error over seeds at the checkpoints."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tables
from numpy.typing import NDArray
from sampler_peers import PEERS

ROOT = Path(__file__).resolve().parent.parent
HALF = 100
"""Evaluations at which ours are held against the peers with as many more as they need."""
FEWEST = 3
"""Seeds that a mean is compared with others for."""
LATENCY = "+latency"
"""Behind the name of a sampler that is told latencies beforehand, as no command can be."""
ROUNDED = 1e-5
"""What the curves are rounded to."""

Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Sampler → what was kept of each seed."""

CHOSEN = """## How it was done

- **Ours** go through the engine's own loop on a virtual clock, one worker, and know **what `nas search` knows**: \
`surrogate` counts parameters and MACs of candidates, and predicts latency and size from what was measured in the run. \
On the synthetic nested problems nothing can be counted. The row *latency known* is told exact latencies beforehand, \
which no command can be; it stands beside, and is left out of what is said and printed bold.
- **Peers** are the libraries' own code. Their repetitions are answered from the table, told to them again and **not \
counted**; ours never repeat. A peer is stopped after ten proposals for each evaluation, and then stands where it stood.
- An evaluation is an architecture that was not proposed before. In `limit-...` the latency is measured, so one that \
is refused counts too. In `known-...` it is known beforehand: **every sampler and every peer** has what breaks the \
limit put aside, told and not counted.
- Hyper-parameters of ours were chosen with seeds 0-9 on the CIFAR-10 columns (validation accuracy, and accuracy \
against the latencies of Eyeriss, Raspberry Pi and an FPGA). None of these is shown. Nothing was ever tuned on `mfeat`.
- `mfeat` is a table of real trainings that `benchmarks/trained.py` makes: four views of a handwritten digit, three \
objectives as in a search that names none.
- Latencies of dead cells read about 0 ms on the Raspberry Pi; they are floored at the fastest live cell.
- The reference point of a hypervolume is the largest latency (and parameters) and the 5th percentile of accuracy in \
the table.
- With one objective the best possible is the score of what looks best to the sampler. A pick that is not yet that one \
can be lucky and score higher; peers are held against the best possible at most, by more digits than are shown.
- Optuna's TPE is multivariate by itself where the space is flat, so it is the same grouped or not.
- Values are the mean ± standard error over as many seeds as the row says; **bold** is the best of its column and what \
its standard error does not tell from it, of at least three seeds.
"""


def write(out: Path, results: Mapping[str, Results], data: Path, seeds: Sequence[int], evaluations: int) -> None:
    """Write a table and a plot for each problem, and one page with all of them."""
    out.mkdir(parents=True, exist_ok=True)
    sections: list[str] = []
    for name, found in results.items():
        problem = tables.problem(name, data)
        curves = {sampler: matrix(kept, evaluations) for sampler, kept in found.items()}
        curves = {sampler: c for sampler, c in curves.items() if c.size}
        notes = {sampler: next((k["note"] for k in kept if k["note"]), "") for sampler, kept in found.items()}
        text = _section(problem, curves, found, notes, evaluations)
        (out / f"{name}.md").write_text(f"# {name}\n\n{text}", encoding="utf-8")
        plot(out / f"{name}.png", problem, curves)
        sections.append(f"## {name}\n\n{text}")
        print(f"\n{name}: {text}")
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    head = f"""# Samplers on tabular problems

{_command()} at revision {revision.stdout.strip()}, Python \
{platform.python_version()}, {_versions()}; seeds {min(seeds)}-{max(seeds)}, {evaluations} evaluations.
"""
    peers = "\n".join(f"| {name} | {entry.text}{_caps(entry)} |" for name, entry in PEERS.items())
    parts = [head, CHOSEN, f"| peer | what it is |\n|---|---|\n{peers}\n", *sections]
    pages = [out / f"{name}.md" for name in ("foretold", "workers", "proposals", "times")]
    pages = [page for page in pages if page.exists()]
    parts += [page.read_text(encoding="utf-8").replace("# ", "## ", 1) for page in pages]
    (out / "README.md").write_text("\n".join(parts), encoding="utf-8")


def write_workers(out: Path, results: Mapping[int, Mapping[str, Results]], data: Path, evaluations: int) -> None:
    """Write `workers.md`: what the same samplers reach with one job at a time, and with many."""
    out.mkdir(parents=True, exist_ok=True)
    one, many = results[1], results[max(results)]
    sections: list[str] = []
    for name, found in many.items():
        problem = tables.problem(name, data)
        points = [k for k in problem.checkpoints if k <= evaluations] or [evaluations]
        rows: list[str] = []
        for sampler, kept in found.items():
            alone, together = matrix(one[name][sampler], evaluations), matrix(kept, evaluations)
            cells = [f"{_plain_cell(alone, k)} → {_plain_cell(together, k)}" for k in points]
            rows.append(f"| {sampler} | {' | '.join(cells)} | {len(together)} |")
        head = " | ".join([*map(str, points), "seeds"])
        sections.append(
            f"{name}, in {problem.unit}:\n\n| after | {head} |\n|---|{'---|' * (len(points) + 1)}\n"
            f"{chr(10).join(rows)}\n"
        )
    text = f"""# Workers

Mean ± standard error after so many evaluations that ended, one at a time → {max(results)} at a time. Some take up to \
three times as long as others, and each is told when it ends. {_command()}

"""
    (out / "workers.md").write_text(text + "\n".join(sections), encoding="utf-8")
    print(text + "\n".join(sections))


def _command() -> str:
    """The command that was given, as a page shows it."""
    return f"`{' '.join(['python benchmarks/samplers.py', *sys.argv[1:]])}`"


def matrix(kept: Sequence[Mapping[str, Any]], evaluations: int) -> NDArray[np.float64]:
    """Curves of all seeds as `(seeds, evaluations)`; one that ended early stays where it was.

    A sampler that was run for less has as many columns as its longest curve.
    """
    curves = [one["curve"][:evaluations] for one in kept if one["curve"]]
    length = min(evaluations, max((one["evaluations"] for one in kept), default=0))
    return np.array([[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves], dtype=np.float64)


def needed(curve: NDArray[np.float64], value: float) -> int | None:
    """Evaluations after which a mean curve reaches a value."""
    reached = np.flatnonzero(curve >= value)
    return int(reached[0]) + 1 if len(reached) else None


def plot(file: Path, problem: tables.Problem, curves: Mapping[str, NDArray[np.float64]]) -> None:
    """Draw mean curves with a band of one standard error; ours solid, peers dashed."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    lowest: list[float] = []
    for index, (name, c) in enumerate(curves.items()):
        mean, error = c.mean(axis=0), _error(c)
        x = np.arange(1, len(mean) + 1)
        line = axes.plot(
            x, mean, color=f"C{index % 10}", linestyle="--" if name in PEERS else "-", label=_shown(name).strip("*"),
            linewidth=1.0 if name in PEERS else 1.8,
        )[0]  # fmt: skip
        axes.fill_between(x, mean - error, mean + error, color=line.get_color(), alpha=0.15, linewidth=0)
        lowest.append(float(mean[min(len(mean), 50) - 1]))
    if lowest:
        axes.set_ylim(bottom=min(lowest), top=problem.top + 0.05 * (problem.top - min(lowest)))
    axes.axhline(problem.top, color="grey", linewidth=0.8)
    axes.set(xlabel="evaluations", ylabel=problem.unit, title=problem.title)
    axes.title.set_fontsize(9)
    axes.legend(fontsize=7, ncols=2, loc="lower right")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _section(
    problem: tables.Problem,
    curves: Mapping[str, NDArray[np.float64]],
    found: Results,
    notes: Mapping[str, str],
    evaluations: int,
) -> str:
    points = [k for k in problem.checkpoints if k <= evaluations] or [evaluations]
    limited = bool(problem.limits)
    columns = [str(k) for k in points] + ["proposals", "seeds"] + (["refused"] if limited else [])
    rows: list[str] = []
    fair = [c for name, c in curves.items() if not name.endswith(LATENCY)]
    for name, c in curves.items():
        kept = [one for one in found[name] if one["curve"]]
        is_fair = not name.endswith(LATENCY)
        cells = [_cell(c, k, fair) if is_fair or c.shape[1] < k else _plain_cell(c, k) for k in points]
        cells += [f"{np.mean([one['proposed'] for one in kept]):.0f}"]
        cells.append(str(len(c)))
        if limited:
            cells.append(f"{np.mean([one['refused'] / len(one['curve']) for one in kept]):.0%}")
        rows.append(f"| {_shown(name)} | {' | '.join(cells)} |")
    missing = "".join(f"\n{name}, a seed of it: {note}\n" for name, note in notes.items() if note)
    return f"""{problem.title}. In {problem.unit}; the best possible is {problem.top:.2f}.

| after | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{chr(10).join(rows)}
{missing}
{_halves(problem, curves, evaluations)}{_accuracies(problem, found, points) if len(problem.objectives) == 3 else ""}
![{problem.name}]({problem.name}.png)
"""


def _shown(name: str) -> str:
    return f"*{name.removesuffix(LATENCY)}, latency known*" if name.endswith(LATENCY) else name


def _accuracies(problem: tables.Problem, found: Results, points: Sequence[int]) -> str:
    """The best accuracies seen, whose share of a hypervolume of three objectives is small."""
    rows: list[str] = []
    for name, kept in found.items():
        c = matrix([{**one, "curve": one["accuracy"]} for one in kept], max(points))
        if c.size:
            cells = [_plain_cell(c, k) if c.shape[1] >= k else "-" for k in points]
            rows.append(f"| {_shown(name)} | {' | '.join(cells)} |")
    return f"""
The best accuracy seen, in %:

| after | {" | ".join(map(str, points))} |
|---|{"---|" * len(points)}
{chr(10).join(rows)}

"""


def _cell(curve: NDArray[np.float64], k: int, everyone: Sequence[NDArray[np.float64]]) -> str:
    if curve.shape[1] < k:
        return "-"
    text = _plain_cell(curve, k)
    compared = [c for c in everyone if c.shape[1] >= k and len(c) >= FEWEST]
    if len(curve) < FEWEST or not compared:
        return text
    best = max(compared, key=lambda c: float(c[:, k - 1].mean()))
    mean, error = float(curve[:, k - 1].mean()), float(_error(curve)[k - 1])
    margin = np.hypot(error, float(_error(best)[k - 1]))
    return f"**{text}**" if mean >= float(best[:, k - 1].mean()) - margin else text


def _plain_cell(curve: NDArray[np.float64], k: int) -> str:
    mean, error = float(curve[:, k - 1].mean()), float(_error(curve)[k - 1])
    return f"{mean:.2f} ± {error:.2f}" if len(curve) > 1 else f"{mean:.2f}"


def _halves(problem: tables.Problem, curves: Mapping[str, NDArray[np.float64]], evaluations: int) -> str:
    """How many evaluations the best peer needs for what our best reaches at 200; no more than the best possible."""
    at = min(HALF, evaluations)
    means = {name: c.mean(axis=0) for name, c in curves.items()}
    known = [name for name in means if name.endswith(LATENCY)]
    mine = {name: float(m[at - 1]) for name, m in means.items() if name not in (*PEERS, *known) and len(m) >= at}
    theirs = {name: m for name, m in means.items() if name in PEERS and len(curves[name]) >= FEWEST}
    if not mine or not theirs:
        return ""
    ours = max(mine, key=lambda name: mine[name])
    goal = min(mine[ours], problem.top) - ROUNDED
    reached = {name: n for name, m in theirs.items() if (n := needed(m, goal)) is not None}
    if reached:
        peer = min(reached, key=lambda name: reached[name])
        told = f"the first peer to reach it is `{peer}` after {reached[peer]} ({len(curves[peer])} seeds)"
    else:
        told = f"no peer reaches it within {max(len(m) for m in theirs.values())}, or as far as it was run"
    return f"After {at} evaluations our best, `{ours}`, is at {mine[ours]:.2f}; {told}.\n"


def _error(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of the mean at each evaluation; 0 for a single seed."""
    if len(curves) < 2:
        return np.zeros(curves.shape[1])
    return curves.std(axis=0, ddof=1) / np.sqrt(len(curves))


def _caps(entry: Any) -> str:
    caps = []
    if entry.evaluations < 10_000:
        caps.append(f"{entry.evaluations} evaluations")
    if entry.seeds < 10_000:
        caps.append(f"{entry.seeds} seeds")
    if entry.nested_seeds < entry.seeds:
        caps.append(f"{entry.nested_seeds or 'no'} seeds on the nested problems")
    if entry.proposals < 10:
        caps.append(f"{entry.proposals} proposal{'s' if entry.proposals > 1 else ''} for each evaluation")
    return f"; for its time at most {', '.join(caps)}" if caps else ""


def _versions() -> str:
    found: list[str] = []
    for name in ("optuna", "pymoo", "nevergrad", "syne-tune", "smac"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)
