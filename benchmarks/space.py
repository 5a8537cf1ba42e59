"""Time to sample, mutate and cross architectures of one space, here and in PyGlove, and its exact size in both.

    pip install -e '.[bench]' && python benchmarks/space.py [--repeats 1000] [--their-repeats 50]

Two encoders of two to four stages, about 37 decisions active at a time. Times are medians of single calls, the two
libraries taking turns; ours include the key that duplicates are recognised by. Writes results/space.md.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyglove as pg
from pyglove.ext.evolution import mutators, recombinators

from nas import Space, choose, repeat
from nas.targets.measure import fingerprint

ROOT = Path(__file__).resolve().parent.parent
STAGES = (2, 3, 4)
TURNS = 10


@dataclass(frozen=True)
class MBConv:
    """As `nas.blocks.MBConv`, but a class that both libraries can open."""

    expand: Any
    kernel: Any
    squeeze: Any


@dataclass(frozen=True)
class Plain:
    """A convolution."""

    kernel: Any


@dataclass(frozen=True)
class Stage:
    """Equal blocks."""

    block: Any
    width: Any
    depth: Any


@dataclass(frozen=True)
class ConvNet:
    """Stages."""

    stem: Any
    stages: Any
    pool: Any


@dataclass(frozen=True)
class Network:
    """Encoders and a fusion."""

    encoders: Any
    fusion: Any


def network(choice: Callable[..., Any], stages: Callable[[Any], Any], block: Callable[[type], Any]) -> Any:
    """The space in the words of one library: its choice, its list of stages, and its blocks."""
    mbconv = block(MBConv)(choice(2, 3, 4), choice(3, 5), choice(False, True))
    stage = block(Stage)(choice(mbconv, block(Plain)(choice(3, 5))), choice(16, 24, 32, 48), choice(1, 2, 3))
    encoder = block(ConvNet)(choice(8, 16), stages(stage), choice("mean", "max"))
    return block(Network)({"image": encoder, "audio": encoder}, choice("concat", "gated", "attention"))


def timed(call: Callable[[int], Any], repeats: int) -> list[float]:
    """Milliseconds of each call."""
    times: list[float] = []
    for i in range(repeats):
        begun = time.perf_counter()
        call(i)
        times.append(1e3 * (time.perf_counter() - begun))
    return times


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--their-repeats", type=int, default=50)
    options = parser.parse_args()
    rng = random.Random(0)

    space = Space(network(choose, lambda stage: repeat(stage, min(STAGES), max(STAGES)), lambda kind: kind))
    ours = [space.sample(rng) for _ in range(200)]

    their_space = network(
        lambda *values: pg.oneof(list(values)), lambda stage: pg.oneof([[stage] * n for n in STAGES]), pg.symbolize
    )
    spec = pg.dna_spec(their_space)
    theirs = [pg.random_dna(spec, rng) for _ in range(50)]
    template = pg.template(their_space)
    mutator, recombinator = mutators.Uniform(seed=0), recombinators.Uniform(seed=0)

    def cross(i: int) -> Any:
        parents = [theirs[i % 50], theirs[(7 * i + 3) % 50]]
        return recombinator.recombine(parents, pg.geno.AttributeDict(), 0)[0]

    calls: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
        "sample": (lambda _: space.sample(rng), lambda _: pg.random_dna(spec, rng)),
        "mutate": (lambda i: space.mutate(ours[i % 200], rng), lambda i: mutator.mutate(theirs[i % 50])),
        "crossover": (lambda i: space.crossover(ours[i % 200], ours[(7 * i + 3) % 200], rng), cross),
    }
    rows = [_row(name, call, their_call, template, options) for name, (call, their_call) in calls.items()]
    machine = fingerprint(1, "CPUExecutionProvider", 1)
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    active = statistics.mean(len(architecture.decisions) for architecture in ours)
    text = f"""# Speed of a search space

`{" ".join(["python benchmarks/space.py", *sys.argv[1:]])}` at revision {revision.strip()} on {machine["cores"]} cores \
of {machine["cpu"]}, Python {platform.python_version()}, PyGlove {version("pyglove")}.

One space in both: {active:.0f} active decisions on average. Architectures in ours {space.size:,}, in PyGlove \
{spec.space_size:,}: **{"equal" if space.size == spec.space_size else "NOT equal"}**.

Medians of single calls in ms, the two taking turns ({options.repeats} calls of ours, {options.their_repeats} of \
theirs). Ours end with the closed network and its key; PyGlove's are given for the proposal alone and with its network.

| | ours | PyGlove, proposal | PyGlove, with network | times faster |
|---|---|---|---|---|
{chr(10).join(rows)}

`encode` takes {statistics.median(timed(lambda i: space.encode(ours[i % 200]), options.repeats)):.3f} ms for a vector \
of {space.encoding.size} numbers.
"""
    (ROOT / "results" / "space.md").write_text(text, encoding="utf-8")
    print(text)


def _row(
    name: str, ours: Callable[[int], Any], theirs: Callable[[int], Any], template: Any, options: argparse.Namespace
) -> str:
    """One line of the table, from ten turns of each library."""
    times: dict[str, list[float]] = {"ours": [], "proposal": [], "network": []}
    for _ in range(TURNS):
        times["ours"] += timed(lambda i: ours(i).key, options.repeats // TURNS)
        times["proposal"] += timed(theirs, options.their_repeats // TURNS)
        times["network"] += timed(lambda i: template.decode(theirs(i)), options.their_repeats // TURNS)
    here, proposal, whole = (statistics.median(values) for values in times.values())
    return f"| {name} | {here:.3f} | {proposal:.1f} | {whole:.1f} | {whole / here:,.0f} |"


if __name__ == "__main__":
    main()
