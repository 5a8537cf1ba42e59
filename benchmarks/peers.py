"""Samplers of other libraries, each in its own implementation, behind one ask and tell.

A peer proposes a label for every decision that it asks for. Optuna's ask as the space does, so conditions are theirs
to use; the others know flat spaces only and propose a label for every decision that there could be, of which those
that are not reached are ignored. A repetition is told again from the table and does not count as an evaluation.

What a limit refuses has no accuracy. Optuna and pymoo are told the violation in their own way; Nevergrad and Syne Tune,
which have none that fits, are told a loss that grows with the violation and is worse than any that is allowed.
"""

from __future__ import annotations

import importlib
import logging
import random
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import optuna
import torch
from tables import Problem

from nas.choices import Choice, Label, resolve
from nas.description import decisions
from nas.space import Architecture


class Peer(Protocol):
    """Proposes, and is told of each proposal before the next."""

    def ask(self) -> Architecture:
        """Propose an architecture."""
        ...

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Take the objectives of the last proposal, to be minimised; NaN where a limit refused it."""
        ...


class OptunaPeer:
    """Any of Optuna's samplers in a study of its own."""

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        self.problem = problem
        self.study = optuna.create_study(directions=["minimize"] * len(problem.objectives), sampler=sampler)

    def ask(self) -> Architecture:
        """Ask the study as the space asks."""
        self.trial = self.study.ask()
        return self.problem.space.ask(self.trial)

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell the values, and how far a limit is broken."""
        if self.problem.limits:
            self.trial.set_constraint("limit", violation)
        self.study.tell(self.trial, [0.0 if np.isnan(v) else v for v in values])


class Flat:
    """What peers for flat spaces share: every decision that there could be, in order."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.choices: Mapping[str, Choice] = dict(decisions(problem.space.network))

    def architecture(self, indices: Mapping[str, int]) -> Architecture:
        """Close the description by a label's index for each decision; those that are not reached are ignored."""
        reached: dict[str, Label] = {}

        def decide(path: str, choice: Choice) -> int:
            reached[path] = choice.labels[int(indices[path])]
            return int(indices[path])

        return Architecture(reached, resolve(self.problem.space.network, decide))

    def active(self) -> float:
        """How many decisions an architecture has on average."""
        rng = random.Random(0)
        return sum(len(self.problem.space.sample(rng).decisions) for _ in range(200)) / 200

    def scaled(self, values: tuple[float, ...], violation: float) -> list[float]:
        """Values from 0 for the best to 1 for the worst that is of use; above 1 where a limit refused."""
        if violation:
            return [1.0 + violation / (1.0 + violation)] * len(values)
        pairs = zip(values, self.problem.best, self.problem.worst, strict=True)
        return [(value - best) / (worst - best) for value, best, worst in pairs]


class PymooPeer(Flat):
    """Pymoo's genetic algorithms with its operators for choices; a generation is asked at once and told at once."""

    def __init__(self, problem: Problem, seed: int, name: str) -> None:
        super().__init__(problem)
        from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
        from pymoo.algorithms.moo.nsga3 import NSGA3, comp_by_cv_then_random
        from pymoo.core import mixed
        from pymoo.core.problem import Problem as PymooProblem
        from pymoo.core.termination import NoTermination
        from pymoo.core.variable import Choice as Variable
        from pymoo.operators.mutation.rm import ChoiceRandomMutation
        from pymoo.operators.selection.tournament import TournamentSelection
        from pymoo.util.ref_dirs import get_reference_directions

        variables = {path: Variable(options=list(range(len(c.labels)))) for path, c in self.choices.items()}
        asked = PymooProblem(vars=variables, n_obj=len(problem.objectives), n_ieq_constr=len(problem.limits))
        duplicates = mixed.MixedVariableDuplicateElimination()
        compare = {"nsga2": binary_tournament, "nsga3": comp_by_cv_then_random}.get(name)
        selection = {} if compare is None else {"selection": TournamentSelection(func_comp=compare)}
        mutation = ChoiceRandomMutation(prob=1.0, prob_var=1 / self.active())  # its own, 1/2, is next to random
        mating = mixed.MixedVariableMating(mutation={Variable: mutation}, eliminate_duplicates=duplicates, **selection)
        options = {
            "sampling": mixed.MixedVariableSampling(),
            "mating": mating,
            "eliminate_duplicates": duplicates,
        }
        if name == "nsga2":
            self.algorithm = NSGA2(pop_size=20, **options)
        elif name == "nsga3":
            parts = {1: 1, 2: 19, 3: 5}[len(problem.objectives)]
            directions = get_reference_directions("das-dennis", len(problem.objectives), n_partitions=parts)
            self.algorithm = NSGA3(ref_dirs=directions, **options)
        else:
            self.algorithm = mixed.MixedVariableGA(pop_size=20, **options)
        self.algorithm.setup(asked, termination=NoTermination(), seed=seed, verbose=False)
        self.generation: Any = []
        self.told: list[tuple[tuple[float, ...], float]] = []

    def ask(self) -> Architecture:
        """Propose the next of the generation, or breed the next generation."""
        while len(self.told) >= len(self.generation):
            self._breed()
        return self.architecture(self.generation[len(self.told)].X)

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Keep the values until the generation is whole."""
        self.told.append((values, violation))

    def _breed(self) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        if len(self.generation):
            known: dict[str, Any] = {"F": np.nan_to_num(np.array([values for values, _ in self.told]))}
            if self.problem.limits:
                known["G"] = np.array([[violation] for _, violation in self.told])
            Evaluator().eval(StaticProblem(self.algorithm.problem, **known), self.generation)
            self.algorithm.tell(infills=self.generation)
        self.generation, self.told = self.algorithm.ask(), []


class NevergradPeer(Flat):
    """One of Nevergrad's optimizers over its choices; several objectives as it handles them itself."""

    def __init__(self, problem: Problem, seed: int, name: str, evaluations: int) -> None:
        super().__init__(problem)
        import nevergrad as ng

        space = ng.p.Dict(**{path: ng.p.Choice(list(range(len(c.labels)))) for path, c in self.choices.items()})
        space.random_state.seed(seed)
        self.optimizer = ng.optimizers.registry[name](parametrization=space, budget=evaluations)
        if len(problem.objectives) > 1:
            self.optimizer.tell(ng.p.MultiobjectiveReference(), [1.0] * len(problem.objectives))

    def ask(self) -> Architecture:
        """Ask for a candidate."""
        self.candidate = self.optimizer.ask()
        return self.architecture(self.candidate.value)

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell its losses."""
        losses = self.scaled(values, violation)
        self.optimizer.tell(self.candidate, losses if len(losses) > 1 else losses[0])


class SyneTunePeer(Flat):
    """One of Syne Tune's searchers."""

    def __init__(self, problem: Problem, seed: int, name: str) -> None:
        super().__init__(problem)
        from syne_tune.config_space import choice

        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        np.random.seed(seed)  # noqa: NPY002 - its random configurations come from NumPy's and Python's global state
        random.seed(seed)
        space = {path: choice([str(i) for i in range(len(c.labels))]) for path, c in self.choices.items()}
        searchers = "syne_tune.optimizer.schedulers"
        if name == "ehvi":
            module = importlib.import_module(f"{searchers}.multiobjective.expected_hyper_volume_improvement")
            # Its gradient steps end between two labels and are rounded to what it knows: only repetitions.
            options = {"optimization_strategy": "random"}
            self.searcher = module.ExpectedHyperVolumeImprovement(space, random_seed=seed, **options)
        else:
            module, kind = {
                "rea": ("searchers.regularized_evolution", "RegularizedEvolution"),
                "morea": ("multiobjective.multi_objective_regularized_evolution", "MultiObjectiveRegularizedEvolution"),
            }[name]
            made = getattr(importlib.import_module(f"{searchers}.{module}"), kind)
            self.searcher = made(space, population_size=30, sample_size=10, random_seed=seed)
        self.shift = 3.0 if name == "ehvi" else 0.0
        self.asked = 0

    def ask(self) -> Architecture:
        """Ask for a configuration."""
        precision = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # EHVI mixes both precisions and fails otherwise
        try:
            self.config = self.searcher.suggest()
        finally:
            torch.set_default_dtype(precision)
        return self.architecture({path: int(label) for path, label in self.config.items()})

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell its metrics; EHVI's are shifted so that its fixed reference point, 2 after its sign is turned, fits."""
        told = [value - self.shift for value in self.scaled(values, violation)]
        self.searcher.on_trial_complete(self.asked, self.config, told if len(told) > 1 else told[0])
        self.asked += 1
