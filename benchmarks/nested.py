"""A synthetic space of nested choices in which most decisions are inactive, and its exact optimum and front.

A network is one of four families, has one to four stages, and a stage is one of three kinds of blocks, each with three
decisions of its own: 165 decisions, of which six to eighteen are asked for. What a stage gains depends on its place,
its kind, its three options with their interaction, on the family, and on the kind of the stage before it. Costs are
whole numbers that add up. All effects are drawn once, by their names, so the space is a pure function of the
architecture; since stages interact through their kinds alone, the best gain at every cost is found exactly by dynamic
programming.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nas import Architecture, Space, choose, repeat

FAMILIES = ("plain", "dense", "mobile", "mixed")
KINDS = ("conv", "attention", "recurrent")
OPTIONS = ((1, 2, 3, 4), (3, 5, 7), ("relu", "gelu"))
DEPTH = 4


@dataclass(frozen=True)
class Conv:
    """One kind of block."""

    a: Any
    b: Any
    c: Any


@dataclass(frozen=True)
class Attention(Conv):
    """Another."""


@dataclass(frozen=True)
class Recurrent(Conv):
    """A third."""


@dataclass(frozen=True)
class Plain:
    """One family of networks."""

    stages: Any


@dataclass(frozen=True)
class Dense(Plain):
    """Another."""


@dataclass(frozen=True)
class Mobile(Plain):
    """A third."""


@dataclass(frozen=True)
class Mixed(Plain):
    """A fourth."""


@dataclass(frozen=True)
class Net:
    """A network of one family."""

    family: Any


_BLOCKS = dict(zip(KINDS, (Conv, Attention, Recurrent), strict=True))
_FAMILIES = dict(zip(FAMILIES, (Plain, Dense, Mobile, Mixed), strict=True))


def _space() -> Space:
    block = choose(**{name: kind(*[choose(*options) for options in OPTIONS]) for name, kind in _BLOCKS.items()})
    return Space(Net(choose(**{name: kind(repeat(block, 1, DEPTH)) for name, kind in _FAMILIES.items()})))


SPACE = _space()


@cache
def effect(*names: Any) -> float:
    """A number between 0 and 1 that its names decide."""
    return random.Random("/".join(map(str, names))).random()


@cache
def stage_gain(family: str, place: int, kind: str, before: str, options: tuple[Any, ...]) -> float:
    """What a stage adds: mostly its kind's options, partly their pairs, its family, and what stands before it."""
    own = sum(effect("option", kind, i, option) for i, option in enumerate(options)) / 3
    pairs = sum(effect("pair", kind, *pair) for pair in itertools.combinations(options, 2)) / 3
    here = effect("family", family, kind, options[0])
    order = effect("order", kind, before)
    return (0.4 * own + 0.25 * pairs + 0.2 * here + 0.15 * order) / (1 + 0.4 * place)


@cache
def stage_cost(family: str, kind: str, options: tuple[Any, ...]) -> int:
    """What a stage costs."""
    width = OPTIONS[0].index(options[0]) + 1
    reach = OPTIONS[1].index(options[1]) + 1
    return width * (reach + round(3 * effect("cost", kind))) + round(6 * effect("base", family, kind))


def scaled(total: float) -> float:
    """Turn a sum of gains into an accuracy between 0 and 1."""
    return total / 2.5


def metrics(architecture: Architecture) -> Mapping[str, float]:
    """Accuracy and latency of an architecture."""
    family = architecture.network.family
    name = next(n for n, kind in _FAMILIES.items() if type(family) is kind)
    total, cost, before = 0.2 * effect("start", name), 0, "input"
    for place, block in enumerate(family.stages):
        kind = next(n for n, c in _BLOCKS.items() if type(block) is c)
        options = (block.a, block.b, block.c)
        total += stage_gain(name, place, kind, before, options)
        cost += stage_cost(name, kind, options)
        before = kind
    return {"accuracy": scaled(total), "latency_ms": float(cost)}


@cache
def exact_front() -> list[tuple[float, float]]:
    """The best accuracy at every cost at which it rises, as `(cost, accuracy)`, by dynamic programming."""
    best: dict[int, float] = {}
    for family in FAMILIES:
        states = {("input", 0): 0.2 * effect("start", family)}
        for place in range(DEPTH):
            following: dict[tuple[str, int], float] = {}
            for (before, cost), total in states.items():
                for kind, options in itertools.product(KINDS, itertools.product(*OPTIONS)):
                    state = kind, cost + stage_cost(family, kind, options)
                    gained = total + stage_gain(family, place, kind, before, options)
                    following[state] = max(following.get(state, 0.0), gained)
            states = following
            for (_, cost), total in states.items():
                best[cost] = max(best.get(cost, 0.0), total)
    front: list[tuple[float, float]] = []
    for cost, total in sorted(best.items()):
        if not front or scaled(total) > front[-1][1]:
            front.append((float(cost), scaled(total)))
    return front


@cache
def _drawn() -> list[Mapping[str, float]]:
    rng = random.Random(0)
    return [metrics(SPACE.sample(rng)) for _ in range(2000)]


def accuracy_at(quantile: float) -> float:
    """A quantile of the accuracies of 2,000 random architectures."""
    accuracies = sorted(m["accuracy"] for m in _drawn())
    return accuracies[int(quantile * len(accuracies))]


@cache
def largest_cost() -> float:
    """The largest latency in the space."""
    return float(
        max(
            DEPTH * stage_cost(family, kind, options)
            for family in FAMILIES
            for kind in KINDS
            for options in itertools.product(*OPTIONS)
        )
    )
