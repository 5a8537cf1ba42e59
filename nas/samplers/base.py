"""What every sampler of ours shares: it proposes a whole architecture and answers Optuna's questions from it.

A sampler sees the trials so far and a generator seeded by (seed, trial number), so the same ledger gives the same
proposal, in whatever order and process it was written.
"""

from __future__ import annotations

import random
import sys
from abc import abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from threading import RLock
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController

from nas.errors import ExhaustedError, SamplerError, SpaceError
from nas.samplers.history import History, Record, is_enqueued
from nas.space.space import Architecture, Space

_TRIES = 200
_WALKED = 10_000
_PROPOSING = RLock()

StaticMetrics = Callable[[Architecture], Mapping[str, float]]
"""Metrics of an architecture that cost nothing to know, by name."""


class Sampler(optuna.samplers.BaseSampler):
    """A sampler that proposes whole architectures of one space; an algorithm implements `propose`.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self._record = Record()
        self._proposed: dict[str, dict[int, Architecture]] = {}

    @abstractmethod
    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Choose the next architecture; `history.seen` holds what would be a repetition.

        Raises:
            ExhaustedError: If no architecture is left.
        """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the proposal that answers all of this trial's questions, unless they are answered.

        A trial that was enqueued may do without one where the space is exhausted.
        """
        if trial.params:
            return
        with alone():
            if self._record.study is not study:
                self._record = Record(study)
            proposed = self._proposed.setdefault(study.study_name, {})
            history = self._record.read(self.space, trial, proposed)
            try:
                proposed[trial.number] = self.propose(history, random.Random(f"{self.seed}/{trial.number}"))
            except ExhaustedError:
                if not is_enqueued(trial):
                    raise

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Answer one question from the proposal.

        Of a trial that was enqueued with a part of its decisions, the others are the proposal's, or random where what
        is enqueued leads to questions that the proposal has no answer to.

        Raises:
            SamplerError: If this sampler made no proposal for the trial.
            SpaceError: If the question is not one of this sampler's space.
        """
        proposed = self._proposed.get(study.study_name, {}).get(trial.number)
        if proposed is None and not is_enqueued(trial):
            raise SamplerError(
                f"trial {trial.number}: this sampler made no proposal for it.",
                "Give the study its sampler before the trial is asked for.",
            )
        decisions = proposed.decisions if proposed else {}
        if param_name not in decisions and is_enqueued(trial):
            seed = random.Random(f"{self.seed}/{trial.number}/{param_name}").getrandbits(32)
            drawing = optuna.samplers.RandomSampler(seed)
            return drawing.sample_independent(study, trial, param_name, param_distribution)
        if param_name not in decisions:
            raise SpaceError(
                f"{param_name}: the sampler's space has no such decision in trial {trial.number}.",
                "Make the sampler with the space that asks, nas.sampler(name, space); a trial asks for nothing else.",
            )
        return decisions[param_name]

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the proposal of a finished trial."""
        self._proposed.get(study.study_name, {}).pop(trial.number, None)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Leave every question to `sample_independent`."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Leave every question to `sample_independent`."""
        return {}


@contextmanager
def alone() -> Generator[None]:
    """One proposal at a time, its linear algebra on one thread.

    The matrices are small and training has the other cores: threads that wait for them make a proposal slower by
    several times, and sums that depend on their number would make it depend on the machine.
    """
    with _PROPOSING, _pools("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"):
        yield


@cache
def _pools(_scipy_is_loaded: bool) -> ThreadpoolController:
    """The thread pools of the libraries that are loaded; SciPy brings its own."""
    return ThreadpoolController()


def unseen(space: Space, seen: Collection[str], rng: random.Random) -> Architecture:
    """Draw an architecture whose key is not in `seen`; where draws find none, walk through the space.

    Raises:
        ExhaustedError: If the space has none left.
        SpaceError: If constraints refuse nearly all of a space that is too large to be walked through.
    """
    refused: SpaceError | None = None
    for _ in range(_TRIES):
        try:
            architecture = space.sample(rng)
        except SpaceError as error:
            refused = error
            break
        if architecture.key not in seen:
            return architecture
    most = max(_WALKED, 100 * len(seen))
    is_small = space.size <= most
    if refused is not None and not is_small:
        raise refused
    walked = islice(space.enumerate(), most) if is_small or not space.constraints else ()  # they may refuse for ever
    left = (architecture for architecture in walked if architecture.key not in seen)
    found = list(left if is_small else islice(left, _TRIES))
    if found:
        return rng.choice(found)
    raise ExhaustedError(f"the space is exhausted: all of its {len(seen)} architectures were proposed.")
