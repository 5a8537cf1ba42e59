"""Who proposes: our samplers by name, any of Optuna's and OptunaHub's, and filters around all of them."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

import optuna

from nas.errors import SamplerError, unknown
from nas.objectives.objective import Limit, parse_limit
from nas.samplers.base import Sampler, StaticMetrics, unseen
from nas.samplers.bo.surrogate import Surrogate
from nas.samplers.cem import CrossEntropy
from nas.samplers.evolution import Evolution
from nas.samplers.grid import Grid
from nas.samplers.history import History, Point
from nas.samplers.local import Local
from nas.samplers.nsga2 import NSGA2
from nas.samplers.nsga3 import NSGA3
from nas.samplers.optuna_adapter import OPTUNA, OptunaAdapter, from_hub, grouped_tpe, seeded
from nas.samplers.random import Random
from nas.samplers.rl.adversarial import Adversarial
from nas.samplers.rl.reinforce import Reinforce
from nas.samplers.screening import Filtered, Score
from nas.space.space import Space

__all__ = [
    "NSGA2",
    "SAMPLERS",
    "Filtered",
    "History",
    "OptunaAdapter",
    "Point",
    "Random",
    "Sampler",
    "StaticMetrics",
    "sampler",
    "unseen",
    "uses_static_metrics",
]

SAMPLERS: Mapping[str, type[Sampler]] = {
    "random": Random,
    "grid": Grid,
    "local": Local,
    "evolution": Evolution,
    "nsga2": NSGA2,
    "nsga3": NSGA3,
    "cem": CrossEntropy,
    "reinforce": Reinforce,
    "adversarial": Adversarial,
    "surrogate": Surrogate,
}
"""Ours, by name."""

_SHORT = {"tpe": grouped_tpe, "gp": optuna.samplers.GPSampler}
"""Optuna's that have a name of their own; `tpe` is not the plain one, see `grouped_tpe`."""


def sampler(
    name: str,
    space: Space,
    seed: int = 0,
    static_metrics: StaticMetrics | None = None,
    limits: Sequence[str | Limit] = (),
    screen: Score | None = None,
    proposals: int = 8,
    candidates: int | None = None,
) -> Sampler:
    """Make a sampler by name.

    Args:
        name: One of ours (`SAMPLERS`); `tpe` or `gp`; `optuna:<class>` for any sampler class of Optuna's;
            `optunahub:<package>` for one of OptunaHub's, which downloads code and runs it.
        space: The space that it proposes from.
        seed: Seed of its randomness.
        static_metrics: Metrics of an architecture that are known without training, by name.
        limits: For example `latency_ms<=2`; what breaks one by its cheap metrics is put aside.
        screen: A score of architectures, higher is better, that costs little next to training; the best of several
            proposals is taken.
        proposals: How many the screen chooses from.
        candidates: How many a sampler that uses `static_metrics` asks it for at each proposal; few where that takes
            long. By default its own number.

    Raises:
        SamplerError: If the name is not known, the class needs more than a seed, limits have no `static_metrics` to be
            held against, or a number is none that can be used.
        ObjectiveError: If a limit cannot be understood.
    """
    try:
        seed = operator.index(seed)
    except TypeError:
        raise SamplerError(f"seed: {seed!r}; expected a whole number.") from None
    if isinstance(limits, str):
        raise SamplerError(f"limits: {limits!r}; expected a list, for example [{limits!r}].")
    if limits and static_metrics is None:
        raise SamplerError(
            f"limits: {', '.join(map(str, limits))}, and no cheap metrics to hold against them.",
            "Give static_metrics=..., a function that tells them of an architecture.",
        )
    if candidates is not None and candidates < 1:
        raise SamplerError(f"candidates: {candidates}; expected at least 1.")
    bounds = tuple(limit if isinstance(limit, Limit) else parse_limit(limit) for limit in limits)
    kind = SAMPLERS.get(name)
    if kind is not None and issubclass(kind, Surrogate):
        made = kind(space, seed, static_metrics, bounds, candidates=candidates)
        static_metrics, bounds = None, ()
    else:
        made = _named(name, space, seed)
    if screen is None and (static_metrics is None or not bounds):
        return made
    return Filtered(made, static_metrics, bounds, screen, proposals)


def uses_static_metrics(name: str) -> bool:
    """Whether a sampler itself makes use of cheap metrics, and keeps to limits on them."""
    return issubclass(SAMPLERS.get(name, Sampler), Surrogate)


def _named(name: str, space: Space, seed: int) -> Sampler:
    if name in SAMPLERS:
        return SAMPLERS[name](space, seed)
    if name in _SHORT:
        return OptunaAdapter(space, _SHORT[name], seed)
    source, _, theirs = name.partition(":")
    if source == "optunahub" and theirs:
        return OptunaAdapter(space, seeded(from_hub(theirs), name), seed)
    if source == "optuna" and theirs in OPTUNA:
        return OptunaAdapter(space, seeded(OPTUNA[theirs], name), seed)
    known = [*SAMPLERS, *_SHORT, *(f"optuna:{n}" for n in OPTUNA), "optunahub:<package>"]
    raise SamplerError(unknown("sampler", name, known))
