"""The trials so far as samplers read them, and states that are kept in step with them.

State is the ledger: what is expensive to derive from it is kept between proposals and brought up to date, and is never
decided by what was kept.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.errors import SamplerError, SpaceError
from nas.space.space import Architecture, Space

S = TypeVar("S")


@dataclass(frozen=True)
class Point:
    """A trial that was told.

    Attributes:
        number: The trial's number.
        architecture: What was evaluated.
        values: Its objective values, all to be minimised; none where it failed or was refused before.
        violation: By how much it breaks its limits, all together; 0 where it meets them. A search tells each as a
            share of its bound, another study in whatever unit it has.
    """

    number: int
    architecture: Architecture
    values: tuple[float, ...] = ()
    violation: float = 0.0


@dataclass(frozen=True)
class History:
    """The trials so far, duplicates left out, in the order of their numbers.

    Attributes:
        complete: Evaluated architectures that meet the limits.
        infeasible: Those that do not, with values if they have some.
        told: Both.
        valued: Those of them that have values.
        failed: Those without a finite result.
        pending: Architectures that are being evaluated.
        seen: Keys of all of them.
        number: Of the trial that is proposed for.
        metric_names: Of the objectives, where the study tells them.
        study: The study.
        trial: The trial that is proposed for.
    """

    complete: Sequence[Point]
    infeasible: Sequence[Point]
    told: Sequence[Point]
    valued: Sequence[Point]
    failed: Sequence[Point]
    pending: Sequence[Architecture]
    seen: Collection[str]
    number: int
    metric_names: Sequence[str]
    study: optuna.Study
    trial: FrozenTrial


@dataclass
class Record:
    """What was read of a study: finished trials once, those in flight anew each time."""

    study: optuna.Study | None = None
    complete: list[Point] = field(default_factory=list[Point])
    infeasible: list[Point] = field(default_factory=list[Point])
    told: list[Point] = field(default_factory=list[Point])
    valued: list[Point] = field(default_factory=list[Point])
    failed: list[Point] = field(default_factory=list[Point])
    keys: set[str] = field(default_factory=set[str])
    flying: dict[int, Architecture] = field(default_factory=dict[int, Architecture])
    known: int = 0
    open: list[int] = field(default_factory=list[int])

    def read(self, space: Space, asking: FrozenTrial, proposed: Mapping[int, Architecture]) -> History:
        """Bring the record up to date, and give it as a trial sees it; `proposed` are those that are being asked."""
        study = self.study
        if study is None:
            raise SamplerError("the sampler was asked without a study; expected study.ask().")
        trials = study.get_trials(deepcopy=False)
        signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in study.directions]
        unread = [*self.open, *range(self.known, len(trials))]
        self.known, self.open = len(trials), []
        pending: list[Architecture] = []
        for i in unread:
            trial = trials[i]
            finished = trial.state.is_finished()
            if not finished:
                self.open.append(i)
            if trial.number == asking.number or "duplicate_of" in trial.user_attrs:
                continue
            architecture = self._architecture(space, trial)
            if architecture is None and not finished and not is_enqueued(trial):
                architecture = proposed.get(trial.number)
            if architecture is None:
                continue
            if finished:
                self._keep(trial, architecture, signs)
                self.flying.pop(trial.number, None)
            else:
                pending.append(architecture)
        return History(
            self.complete,
            self.infeasible,
            self.told,
            self.valued,
            self.failed,
            pending,
            self.keys | {architecture.key for architecture in pending} if pending else self.keys,
            asking.number,
            getattr(study, "metric_names", None) or (),  # Hyperband hands a part of the study, without them
            study,
            asking,
        )

    def _architecture(self, space: Space, trial: FrozenTrial) -> Architecture | None:
        """What a trial evaluates; None where it was cut off while it was asked, or a constraint refused it."""
        known = self.flying.get(trial.number)
        if known is not None and known.decisions == trial.params:
            return known
        try:
            architecture = space.architecture(trial.params)
        except SpaceError:
            return None
        self.flying[trial.number] = architecture
        return architecture

    def _keep(self, trial: FrozenTrial, architecture: Architecture, signs: Sequence[float]) -> None:
        self.keys.add(architecture.key)
        violation = sum((max(0.0, amount) for amount in trial.constraints.values()), 0.0)
        told = trial.values if trial.state == TrialState.COMPLETE else None
        values = tuple(s * v for s, v in zip(signs, told, strict=True)) if told else ()
        if not all(map(math.isfinite, values)):
            values = ()
        point = Point(trial.number, architecture, values, violation)
        is_refused = violation > 0 or trial.state == TrialState.PRUNED
        lists = [self.failed]
        if is_refused or values:
            lists = [self.infeasible if is_refused else self.complete, self.told]
        if values:
            lists.append(self.valued)
        for points in lists:
            insort(points, point, key=lambda point: point.number)


class Fold(Generic[S]):
    """A state made from points in the order of their numbers, kept so that only new points cost.

    The result depends on the points alone: a point that comes late, under a lower number, makes the fold begin again
    from a state that was kept before it.

    Args:
        start: The state without points.
        step: The next state, from a state and as many points as `chunk`; states must not be changed in place.
        chunk: How many points make a step; a rest that is smaller waits.
    """

    _KEPT = 32
    _APART = 16

    def __init__(self, start: S, step: Callable[[S, Sequence[Point]], S], chunk: int = 1) -> None:
        self._step = step
        self._chunk = chunk
        self._states: list[tuple[int, Point | None, S]] = [(0, None, start)]

    def over(self, points: Sequence[Point]) -> S:
        """The state after these points."""
        while self._states[-1][0] and not self._holds(points, *self._states[-1][:2]):
            self._states.pop()
        done, _, state = self._states[-1]
        while done + self._chunk <= len(points):
            state = self._step(state, points[done : done + self._chunk])
            done += self._chunk
            self._states.append((done, points[done - 1], state))
            if len(self._states) > 2 and self._states[-2][0] % (self._APART * self._chunk):
                del self._states[-2]
            elif len(self._states) > self._KEPT:
                del self._states[self._least_missed(done)]
        return state

    def _least_missed(self, done: int) -> int:
        """The kept state without which a late point costs least for its age: the older, the further apart."""
        ages = [done - kept for kept, _, _ in self._states]
        return min(range(1, len(ages) - 1), key=lambda i: (ages[i - 1] - ages[i + 1]) / (ages[i] + 1))

    @staticmethod
    def _holds(points: Sequence[Point], done: int, last: Point | None) -> bool:
        """Whether the first `done` points are still those of a state; points are only ever inserted."""
        return done <= len(points) and points[done - 1] is last


def is_enqueued(trial: FrozenTrial) -> bool:
    """Whether some of its decisions are the user's."""
    return "fixed_params" in trial.system_attrs
