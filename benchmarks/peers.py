"""Samplers of other libraries, each in its own implementation, behind one ask and tell.

A peer proposes a label for every decision that it asks for. Optuna's ask as the space does, and SMAC3 is given the
conditions between decisions, so these are theirs to use; the others know flat spaces only and propose a label for
every decision that there could be, of which those that are not reached are ignored. A repetition is told again from
the table and does not count as an evaluation.

What a limit refuses has no accuracy. Optuna and pymoo are told the violation in their own way (Optuna's Gaussian
process models objectives over refused trials too: there they get the mean of those that were allowed); Nevergrad and
Syne Tune, which have none that fits, are told a loss that grows with the violation and is worse than any that is
allowed, and SMAC3 that the trial failed.
"""

from __future__ import annotations

import importlib
import logging
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from tables import Problem

from nas.space.choices import Choice, Label, resolve
from nas.space.description import decisions
from nas.space.indexed import Indexed
from nas.space.space import Architecture, Space


class Peer(Protocol):
    """Proposes, and is told of each proposal before the next."""

    def ask(self) -> Architecture:
        """Propose an architecture."""
        ...

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Take the objectives of the last proposal, to be minimised; NaN where a limit refused it."""
        ...

    def fail(self) -> None:
        """Take it that the last proposal is none of the space: a constraint refuses it."""
        ...


class OptunaPeer:
    """Any of Optuna's samplers in a study of its own."""

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler) -> None:
        self.problem = problem
        self.allowed: list[tuple[float, ...]] = []
        self.study = optuna.create_study(directions=["minimize"] * len(problem.objectives), sampler=sampler)

    def ask(self) -> Architecture:
        """Ask the study as the space asks."""
        self.trial = self.study.ask()
        return Space(self.problem.space.network).ask(self.trial)

    def fail(self) -> None:
        """Tell that the trial failed."""
        self.study.tell(self.trial, state=optuna.trial.TrialState.FAIL)

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell the values, and how far a limit is broken."""
        if self.problem.limits:
            self.trial.set_constraint("limit", violation)
        if not violation:
            self.allowed.append(values)
        neutral = np.mean(self.allowed, axis=0) if self.allowed else np.zeros(len(values))
        self.study.tell(self.trial, neutral.tolist() if violation else list(values))


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

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Take the objectives of the last proposal."""
        raise NotImplementedError

    def fail(self) -> None:
        """Tell the worst values."""
        self.tell(self.problem.worst, 0.0)

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


class SmacPeer(Flat):
    """SMAC3's facade for hyper-parameters, a random forest; several objectives by ParEGO, with its own defaults."""

    def __init__(self, problem: Problem, seed: int, evaluations: int) -> None:
        super().__init__(problem)
        from ConfigSpace import AndConjunction, Categorical, ConfigurationSpace, InCondition
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.multi_objective.parego import ParEGO

        codes = Indexed(problem.space)
        space = ConfigurationSpace(seed=seed)
        given = [Categorical(f"d{j}", list(range(int(size)))) for j, size in enumerate(codes.sizes)]
        space.add(*given)
        for j, hyper in enumerate(given):
            above = codes.conditions(j)
            terms = [InCondition(hyper, given[i], np.flatnonzero(labels[:-1]).tolist()) for i, labels in above]
            if terms:
                space.add(terms[0] if len(terms) == 1 else AndConjunction(*terms))
        several = len(problem.objectives) > 1
        self.codes = codes
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space, objectives=list(problem.objectives) if several else "cost", n_trials=10 * evaluations,
            seed=seed, deterministic=True, output_directory=Path(self.folder.name),
        )  # fmt: skip
        self.facade = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=False,
            initial_design=HyperparameterOptimizationFacade.get_initial_design(
                scenario, n_configs=min(10 * len(given), evaluations // 4)
            ),
            **({"multi_objective_algorithm": ParEGO(scenario)} if several else {}),
        )  # fmt: skip

    def ask(self) -> Architecture:
        """Ask for a configuration."""
        self.info = self.facade.ask()
        row = np.full(len(self.codes.paths), -1, np.int16)
        for name, index in dict(self.info.config).items():
            row[int(name[1:])] = index
        return Space(self.problem.space.network).architecture(self.codes.decisions(row))

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell its costs."""
        from smac.runhistory import StatusType, TrialValue

        costs = self.scaled(values, violation)
        status = StatusType.CRASHED if violation else StatusType.SUCCESS
        told = TrialValue(costs if len(costs) > 1 else costs[0], status=status)
        self.facade.tell(self.info, told)


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
        module, kind = {
            "rea": ("searchers.regularized_evolution", "RegularizedEvolution"),
            "morea": ("multiobjective.multi_objective_regularized_evolution", "MultiObjectiveRegularizedEvolution"),
        }[name]
        made = getattr(importlib.import_module(f"syne_tune.optimizer.schedulers.{module}"), kind)
        self.searcher = made(space, population_size=30, sample_size=10, random_seed=seed)
        self.asked = 0

    def ask(self) -> Architecture:
        """Ask for a configuration."""
        self.config = self.searcher.suggest()
        return self.architecture({path: int(label) for path, label in self.config.items()})

    def tell(self, values: tuple[float, ...], violation: float) -> None:
        """Tell its metrics."""
        told = self.scaled(values, violation)
        self.searcher.on_trial_complete(self.asked, self.config, told if len(told) > 1 else told[0])
        self.asked += 1
