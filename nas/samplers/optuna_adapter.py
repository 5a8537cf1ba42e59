"""Samplers of Optuna and OptunaHub, with our deduplication around them.

Theirs are asked as Optuna would ask them, but for the whole architecture at once, so that a repetition or what a
constraint refuses never becomes a trial: they are asked again a few times, then what they proposed is changed in one
decision. Theirs is made anew for each proposal and seeded by the trial, so what it proposes depends on the study alone,
with what theirs keeps there. All of Optuna's read the study; one that learns in memory only would learn nothing here.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from nas.errors import NasError, SamplerError, SpaceError
from nas.samplers.base import Sampler, alone, unseen
from nas.samplers.history import History
from nas.space.choices import Choice, listed
from nas.space.space import Architecture, Space

Make = Callable[[int], optuna.samplers.BaseSampler]
"""Makes a sampler from a seed."""

OPTUNA = {
    name: cls
    for name, cls in vars(optuna.samplers).items()
    if name.endswith("Sampler") and not name.startswith("Base") and isinstance(cls, type)
}
"""Optuna's own sampler classes, by name."""

_TRIES = 10


class OptunaAdapter(Sampler):
    """Proposes what a sampler of Optuna's kind proposes, never an architecture twice.

    Args:
        space: The space that it proposes from.
        theirs: A sampler's class, or a function that makes one from a seed.
        seed: With the trial's number, the seed of every proposal.

    Raises:
        SamplerError: If the class needs more than a seed.
    """

    def __init__(self, space: Space, theirs: type[optuna.samplers.BaseSampler] | Make, seed: int = 0) -> None:
        super().__init__(space, seed)
        self._make = seeded(theirs, theirs.__name__) if isinstance(theirs, type) else theirs

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Ask theirs until it proposes what is new and allowed; else take what is one decision away, or random.

        Raises:
            ExhaustedError: If no architecture is left.
            SamplerError: If theirs cannot propose for this study.
        """
        theirs = self._made(rng.getrandbits(31))
        proposed: list[Architecture] = []
        try:
            theirs.before_trial(history.study, history.trial)
            while len(proposed) < _TRIES:
                architecture = self._asked(theirs, history)
                if architecture.key not in history.seen and not self.space.refused_by(architecture.network):
                    return architecture
                if architecture in proposed:  # it insists
                    break
                proposed.append(architecture)
        except NasError:
            raise
        except (ValueError, ImportError) as error:
            raise SamplerError(
                f"sampler {type(theirs).__name__}: cannot propose: {error}", _hint(error) or "Choose another sampler."
            ) from error
        if proposed:
            for neighbour in self.space.neighbours(proposed[-1], rng):
                if neighbour.key not in history.seen:
                    return neighbour
        return unseen(self.space, history.seen, rng)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Hand the finished trial on to theirs, and forget the proposal."""
        super().after_trial(study, trial, state, values)
        try:
            seed = random.Random(f"{self.seed}/{trial.number}/after").getrandbits(31)
            with alone():
                self._made(seed).after_trial(study, trial, state, values)
        except RuntimeError as error:
            if "Study.stop" not in str(error):  # it can only be stopped inside study.optimize
                raise

    def _made(self, seed: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._make(seed)

    def _asked(self, theirs: optuna.samplers.BaseSampler, history: History) -> Architecture:
        """Walk the space once, as `Space.ask` would; the study's own trial is left as it is."""
        study, trial = history.study, copy.copy(history.trial)
        trial.params, trial.distributions = {}, {}
        relative_space = theirs.infer_relative_search_space(study, trial)
        relative = theirs.sample_relative(study, trial, relative_space)

        def decide(path: str, choice: Choice) -> int:
            distribution = _distribution(choice)
            index = _index(choice, relative[path]) if path in relative else None
            if index is None:
                index = _index(choice, theirs.sample_independent(study, trial, path, distribution))
            if index is None:
                raise SamplerError(f"{path}: {type(theirs).__name__} proposes none of {listed(choice.labels)}.")
            trial.params[path], trial.distributions[path] = choice.labels[index], distribution
            return index

        return self.space.decided(decide)


def seeded(cls: type[optuna.samplers.BaseSampler], name: str) -> Make:
    """Make samplers of a class; they do not warn of conditional parameters, which are normal here.

    Args:
        cls: Any sampler class of Optuna's kind.
        name: What it is called in errors.

    Raises:
        SamplerError: If the class needs more than a seed.
    """
    accepted = inspect.signature(cls).parameters
    needed = [
        n
        for n, p in accepted.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and n != "seed"
    ]
    if needed:
        raise SamplerError(
            f"sampler {name!r}: needs {', '.join(needed)}; only samplers that need no more than a seed can be named.",
            "In Python, give nas.samplers.OptunaAdapter(space, lambda seed: ...), which makes it, to your study or to "
            "nas.pipeline.search.search(sampler=...).",
        )
    options: dict[str, Any] = {}
    if "warn_independent_sampling" in accepted and cls is not optuna.samplers.TPESampler:  # it is deprecated there
        options["warn_independent_sampling"] = False
    make = cast(Callable[..., optuna.samplers.BaseSampler], cls)
    return (lambda seed: make(seed=seed, **options)) if "seed" in accepted else (lambda _: make(**options))


def from_hub(name: str) -> type[optuna.samplers.BaseSampler]:
    """Load a sampler's package from OptunaHub, a public registry, and find its class.

    **This downloads code and runs it**: the first time from the registry's repository, then from OptunaHub's cache in
    the home folder. Of several sampler classes the first one that the package lists is taken.

    Args:
        name: The package's name below `samplers/`.

    Raises:
        SamplerError: If `optunahub` is missing, or the package cannot be loaded or has no sampler class.
    """
    try:
        load = importlib.import_module("optunahub").load_module
        failures = _download_failures()
    except ImportError:
        raise SamplerError(
            f"sampler 'optunahub:{name}': needs the package optunahub.", "pip install 'nas[hub]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            package = load(f"samplers/{name}")
    except failures as error:
        raise SamplerError(
            f"sampler 'optunahub:{name}': cannot be loaded: {type(error).__name__}: {error}".rstrip(),
            f"See https://hub.optuna.org/samplers/{name}/ for its name and for what it needs; "
            "the first time it is downloaded.",
        ) from error
    listed: Sequence[str] = getattr(package, "__all__", None) or list(vars(package))
    for exported in (getattr(package, n, None) for n in listed):
        if _is_sampler(exported) and exported.__module__.startswith(package.__name__):
            return exported
    raise SamplerError(f"sampler 'optunahub:{name}': the package has no sampler class; it lists {', '.join(listed)}.")


def grouped_tpe(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE with joint estimates for parameters that are reached together."""
    return optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)


def _distribution(choice: Choice) -> BaseDistribution:
    """What `Space.ask` suggests for a choice."""
    if choice.is_integer:
        values = cast(range, choice.options)
        return IntDistribution(values[0], values[-1], step=values.step)
    return CategoricalDistribution(tuple(choice.labels))


def _index(choice: Choice, value: Any) -> int | None:
    """The option with this value, or None."""
    try:
        return choice.index(int(value) if choice.is_integer else value, "")
    except SpaceError:
        return None


def _is_sampler(value: object) -> TypeGuard[type[optuna.samplers.BaseSampler]]:
    return isinstance(value, type) and issubclass(value, optuna.samplers.BaseSampler) and not inspect.isabstract(value)


def _download_failures() -> tuple[type[Exception], ...]:
    """What loading a package may end in."""
    git, github = importlib.import_module("git"), importlib.import_module("github")
    return (ImportError, OSError, SyntaxError, ValueError, git.GitError, github.GithubException)


def _hint(error: Exception) -> str:
    missing = error.name if isinstance(error, ImportError) else None
    return f"pip install {missing}" if missing else ""
