"""Filters around a sampler: what breaks limits is put aside before it is trained, and a screen chooses among the rest.

Zero-cost proxies are screens (Abdelfattah et al., 2021). While one proposal is made, what was put aside counts as being
evaluated, so the sampler proposes something else; afterwards it is forgotten, except for what it scored.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.errors import ExhaustedError, NasError, SamplerError
from nas.objectives.objective import Limit
from nas.samplers.base import Sampler, StaticMetrics, unseen
from nas.samplers.history import History
from nas.samplers.static_metrics import Known
from nas.space.space import Architecture

Score = Callable[[Architecture], float]
"""How promising an architecture is; higher is better."""

_TRIES = 4
_FEWEST_TRIES = 20
_STEPS = 50


class Filtered(Sampler):
    """Gives the best of what another sampler proposes.

    Args:
        inner: Who proposes.
        static_metrics: Metrics that are known without training; a `NasError` counts as breaking every limit.
        limits: Those on cheap metrics are held against each proposal; if many in a row break them, the one that breaks
            them least is changed decision by decision until it meets them, or no change makes it better.
        screen: Scores proposals; a `NasError` or NaN counts as worst, a tie goes to what was proposed first.
        proposals: How many of those that break no limit the screen chooses from, or fewer if many break one.

    Raises:
        SamplerError: If there is nothing to choose from.
    """

    def __init__(
        self,
        inner: Sampler,
        static_metrics: StaticMetrics | None = None,
        limits: Sequence[Limit] = (),
        screen: Score | None = None,
        proposals: int = 8,
    ) -> None:
        if proposals < 1:
            raise SamplerError(f"proposals: {proposals}; expected at least 1.")
        super().__init__(inner.space, inner.seed)
        self.inner = inner
        self.limits = tuple(limits)
        self.screen = screen
        self.proposals = proposals if screen is not None else 1
        self._known = Known(static_metrics, limits)
        self._scores: dict[str, float] = {}

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give the best of several proposals.

        Raises:
            ExhaustedError: If no architecture is left.
        """
        drawn = _Drawn(history)
        allowed: list[Architecture] = []
        least: tuple[float, Architecture] | None = None
        for _ in range(max(_FEWEST_TRIES, _TRIES * self.proposals)):
            try:
                architecture = drawn.next(self.inner, random.Random(rng.getrandbits(64)))
            except ExhaustedError:
                if least is None:
                    raise
                break
            violation = self._violation(architecture)
            if least is None or violation < least[0]:
                least = violation, architecture
            if not violation:
                allowed.append(architecture)
            if len(allowed) == self.proposals:
                break
        if least is None:
            raise SamplerError("no proposal was made; expected at least one.")
        return max(allowed, key=self._score) if allowed else self._mended(*least, history, rng)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Hand the finished trial on, and forget the proposal."""
        super().after_trial(study, trial, state, values)
        self.inner.after_trial(study, trial, state, values)

    def _mended(self, violation: float, broken: Architecture, history: History, rng: random.Random) -> Architecture:
        """Take steps to unseen neighbours that break the limits less."""
        for _ in range(_STEPS):
            better = next(
                (
                    neighbour
                    for neighbour in self.space.neighbours(broken, rng)
                    if neighbour.key not in history.seen and self._violation(neighbour) < violation
                ),
                None,
            )
            if better is None:
                break
            broken, violation = better, self._violation(better)
            if not violation:
                break
        return broken

    def _violation(self, architecture: Architecture) -> float:
        """By how much it breaks the limits; what is known is not asked for where there are none."""
        return self._known.violation(architecture) if self.limits else 0.0

    def _score(self, architecture: Architecture) -> float:
        if self.screen is None:
            return 0.0
        if architecture.key not in self._scores:
            try:
                score = self.screen(architecture)
            except NasError:
                score = math.nan
            self._scores[architecture.key] = -math.inf if math.isnan(score) else score
        return self._scores[architecture.key]


@dataclass
class _Drawn:
    """What was proposed for one trial, each as if those before it were being evaluated."""

    history: History
    seen: set[str] = field(default_factory=set[str])
    pending: list[Architecture] = field(default_factory=list[Architecture])

    def __post_init__(self) -> None:
        self.seen = set(self.history.seen)
        self.pending = list(self.history.pending)

    def next(self, sampler: Sampler, rng: random.Random) -> Architecture:
        """Propose once more; at random where the sampler has no more ideas, but the space has."""
        history = replace(self.history, seen=self.seen, pending=self.pending)
        try:
            architecture = sampler.propose(history, rng)
        except ExhaustedError:
            architecture = unseen(sampler.space, self.seen, rng)
        self.seen.add(architecture.key)
        self.pending.append(architecture)
        return architecture
