"""What every sampler of ours shares: it proposes a whole architecture and answers Optuna's questions from it.

State is the ledger: a sampler sees the trials so far and a generator seeded by (seed, trial number), so the same
ledger gives the same proposal, in whatever order and process it was written.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.errors import SamplerError, SpaceError
from nas.space import Architecture, Space

_TRIES = 200


@dataclass(frozen=True)
class Point:
    """An evaluated architecture with its objective values, all to be minimised."""

    architecture: Architecture
    values: tuple[float, ...]


@dataclass
class History:
    """The trials so far, duplicates left out, in the order of their numbers.

    Attributes:
        complete: Evaluated architectures.
        seen: Keys of all architectures ever proposed: evaluated, refused, failed or pending.
    """

    complete: list[Point] = field(default_factory=list[Point])
    seen: set[str] = field(default_factory=set[str])


class Sampler(optuna.samplers.BaseSampler):
    """A sampler that proposes whole architectures of one space; an algorithm implements `propose`.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self.space = space
        self.seed = seed
        self._parsed: dict[int, Architecture | None] = {}
        self._proposed: dict[int, Architecture] = {}

    @abstractmethod
    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Choose the next architecture; `history.seen` holds what would be a repetition.

        Raises:
            SamplerError: If the space is exhausted.
        """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make the proposal that answers all of this trial's questions."""
        history = self._history(study, trial.number)
        self._proposed[trial.number] = self.propose(history, random.Random(f"{self.seed}/{trial.number}"))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Answer one question from the proposal.

        Raises:
            SpaceError: If the question is not one of this sampler's space.
        """
        decisions = self._proposed[trial.number].decisions
        if param_name not in decisions:
            raise SpaceError(
                f"{param_name}: the sampler's space has no such decision in trial {trial.number}.",
                "Make the sampler with the space that asks: nas.sampler(name, space).",
            )
        return decisions[param_name]

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the proposal of a finished trial."""
        self._proposed.pop(trial.number, None)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Leave every question to `sample_independent`."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Leave every question to `sample_independent`."""
        return {}

    def _history(self, study: optuna.Study, number: int) -> History:
        signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in study.directions]
        history = History()
        for trial in study.get_trials(deepcopy=False):
            if trial.number == number or "duplicate_of" in trial.user_attrs or not trial.params:
                continue
            architecture = self._architecture(trial)
            if architecture is None:
                continue
            history.seen.add(architecture.key)
            if trial.state == TrialState.COMPLETE:
                values = tuple(s * v for s, v in zip(signs, trial.values, strict=True))
                history.complete.append(Point(architecture, values))
        return history

    def _architecture(self, trial: FrozenTrial) -> Architecture | None:
        """What a trial evaluated; None where it was cut off while it was asked, or a constraint refused it."""
        if trial.number in self._parsed:
            return self._parsed[trial.number]
        try:
            architecture = self.space.architecture(trial.params)
        except SpaceError:
            architecture = None
        if trial.state.is_finished():
            self._parsed[trial.number] = architecture
        return architecture


def unseen(space: Space, seen: Collection[str], rng: random.Random) -> Architecture:
    """Draw an architecture whose key is not in `seen`.

    Raises:
        SamplerError: If the space has none left.
    """
    for _ in range(_TRIES):
        architecture = space.sample(rng)
        if architecture.key not in seen:
            return architecture
    if space.size <= 100 * len(seen):
        left = [a for a in space.enumerate() if a.key not in seen]
        if left:
            return rng.choice(left)
    raise SamplerError(f"the space is exhausted: all of its {len(seen)} architectures were proposed.")
