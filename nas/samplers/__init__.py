"""Who proposes: our samplers by name, and any of Optuna's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import optuna

from nas.errors import SamplerError, unknown
from nas.samplers.base import History, Point, Sampler, unseen
from nas.samplers.evolution import Evolution
from nas.samplers.grid import Grid
from nas.samplers.local import Local
from nas.samplers.nsga2 import NSGA2
from nas.samplers.nsga3 import NSGA3
from nas.samplers.random import Random
from nas.space import Space

__all__ = ["NSGA2", "SAMPLERS", "History", "Point", "Random", "Sampler", "sampler", "unseen"]

SAMPLERS: Mapping[str, type[Sampler]] = {
    "random": Random,
    "grid": Grid,
    "local": Local,
    "evolution": Evolution,
    "nsga2": NSGA2,
    "nsga3": NSGA3,
}
"""Ours, by name."""

_SHORT = {"tpe": "TPESampler", "gp": "GPSampler"}


def sampler(name: str, space: Space, seed: int = 0) -> optuna.samplers.BaseSampler:
    """Make a sampler by name.

    Args:
        name: One of ours (`SAMPLERS`), `tpe`, `gp`, or `optuna:<class>` for any sampler class of Optuna's.
        space: The space that it proposes from.
        seed: Seed of its randomness.

    Raises:
        SamplerError: If the name is not known, or the class needs more than a seed.
    """
    if name in SAMPLERS:
        return SAMPLERS[name](space, seed)
    cls = _SHORT.get(name, name.removeprefix("optuna:"))
    theirs = {n: c for n, c in vars(optuna.samplers).items() if n.endswith("Sampler") and not n.startswith("Base")}
    if cls not in theirs or (name not in _SHORT and not name.startswith("optuna:")):
        raise SamplerError(unknown("sampler", name, [*SAMPLERS, *_SHORT, *(f"optuna:{n}" for n in theirs)]))
    accepted = inspect.signature(theirs[cls]).parameters
    needed = [
        n for n, p in accepted.items() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise SamplerError(
            f"sampler {name!r}: needs {', '.join(needed)}; only samplers that need no more than a seed can be named.",
            "Build it yourself and hand it to nas.search(sampler=...).",
        )
    return theirs[cls](seed=seed) if "seed" in accepted else theirs[cls]()
