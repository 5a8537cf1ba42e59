"""The samplers of other libraries that ours are compared with, by name, and how far each is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from peers import NevergradPeer, OptunaPeer, Peer, PymooPeer, SmacPeer, SyneTunePeer
from tables import Problem


@dataclass(frozen=True)
class Entry:
    """A peer by name.

    Attributes:
        make: Builds it from a problem, a seed and the evaluations that there will be.
        objectives: For how many objectives it is meant.
        package: What must be installed.
        text: What it is, and what was set.
        evaluations: At most so many are run, where it is slow.
        seeds: At most so many seeds are run.
        nested_seeds: At most so many seeds are run on the nested problems.
        proposals: For each evaluation; after so many it is stopped, and stands where it stood.
    """

    make: Callable[[Problem, int, int], Peer]
    objectives: tuple[int, ...]
    package: str
    text: str
    evaluations: int = 10_000
    seeds: int = 10_000
    nested_seeds: int = 10_000
    proposals: int = 10

    def seeds_on(self, problem: Problem) -> int:
        """How many seeds are run on a problem."""
        return min(self.seeds, self.nested_seeds) if problem.name.startswith("nested") else self.seeds


def _optuna(make: Callable[[int], optuna.samplers.BaseSampler]) -> Callable[[Problem, int, int], Peer]:
    def made(problem: Problem, seed: int, _: int) -> Peer:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return OptunaPeer(problem, make(seed))

    return made


def _tpe(grouped: bool) -> Callable[[Problem, int, int], Peer]:
    options = {"multivariate": True, "group": True} if grouped else {}
    return _optuna(lambda seed: _SAMPLERS.TPESampler(seed=seed, **options))


_SAMPLERS = optuna.samplers

PEERS: Mapping[str, Entry] = {
    "optuna-tpe": Entry(_tpe(False), (1,), "optuna", "Optuna's TPE as it comes", nested_seeds=3),
    "optuna-tpe-group": Entry(_tpe(True), (1,), "optuna", "Optuna's TPE, multivariate and grouped", nested_seeds=2),
    "optuna-motpe": Entry(
        _tpe(False),
        (2, 3),
        "optuna",
        "Optuna's TPE as it comes, with several objectives",
        seeds=5,
        nested_seeds=2,
        proposals=3,
    ),
    "optuna-nsga2": Entry(
        _optuna(lambda seed: _SAMPLERS.NSGAIISampler(seed=seed, population_size=20)),
        (1, 2, 3),
        "optuna",
        "Optuna's NSGA-II, population 20",
    ),
    "optuna-nsga3": Entry(
        _optuna(lambda seed: _SAMPLERS.NSGAIIISampler(seed=seed, population_size=20)),
        (2, 3),
        "optuna",
        "Optuna's NSGA-III, population 20",
    ),
    "optuna-gp": Entry(
        _optuna(lambda seed: _SAMPLERS.GPSampler(seed=seed)),
        (1,),
        "optuna",
        "Optuna's Gaussian process as it comes",
        evaluations=100,
        seeds=2,
        nested_seeds=0,
        proposals=3,
    ),
    "optuna-mogp": Entry(
        _optuna(lambda seed: _SAMPLERS.GPSampler(seed=seed)),
        (2, 3),
        "optuna",
        "Optuna's Gaussian process as it comes, with several objectives",
        evaluations=100,
        seeds=2,
        nested_seeds=0,
        proposals=3,
    ),
    "smac": Entry(
        SmacPeer,
        (1, 2, 3),
        "smac",
        "SMAC3's facade for hyper-parameters with its own defaults: a random forest, expected improvement, ParEGO for "
        "several objectives; it knows the conditions",
        evaluations=100,
        seeds=3,
        nested_seeds=2,
        proposals=4,
    ),
    "pymoo-ga": Entry(
        lambda problem, seed, _: PymooPeer(problem, seed, "ga"),
        (1,),
        "pymoo",
        "pymoo's MixedVariableGA, population 20, otherwise as its NSGA-II",
    ),
    "pymoo-nsga2": Entry(
        lambda problem, seed, _: PymooPeer(problem, seed, "nsga2"),
        (2, 3),
        "pymoo",
        "pymoo's NSGA-II, population 20, uniform crossover, mutation of one choice on average, since its own rate of "
        "one half is next to random here",
    ),
    "pymoo-nsga3": Entry(
        lambda problem, seed, _: PymooPeer(problem, seed, "nsga3"),
        (2, 3),
        "pymoo",
        "pymoo's NSGA-III, 20 or 21 directions, otherwise as its NSGA-II",
    ),
    "nevergrad-discrete": Entry(
        lambda problem, seed, n: NevergradPeer(problem, seed, "DiscreteOnePlusOne", n),
        (1, 2, 3),
        "nevergrad",
        "Nevergrad's DiscreteOnePlusOne",
        nested_seeds=2,
    ),
    "nevergrad-de": Entry(
        lambda problem, seed, n: NevergradPeer(problem, seed, "DE", n),
        (1, 2, 3),
        "nevergrad",
        "Nevergrad's differential evolution, which ranks several objectives by dominance",
        seeds=3,
        nested_seeds=0,
    ),
    "synetune-rea": Entry(
        lambda problem, seed, _: SyneTunePeer(problem, seed, "rea"),
        (1,),
        "syne_tune",
        "Syne Tune's regularized evolution, population 30, sample 10",
    ),
    "synetune-morea": Entry(
        lambda problem, seed, _: SyneTunePeer(problem, seed, "morea"),
        (2, 3),
        "syne_tune",
        "Syne Tune's multi-objective regularized evolution, population 30, sample 10",
    ),
}
"""All of them, by name."""


def peers_for(problem: Problem) -> list[str]:
    """Names of the peers that are run on a problem."""
    return [
        name for name, entry in PEERS.items() if len(problem.objectives) in entry.objectives and entry.seeds_on(problem)
    ]
