"""REINFORCE (Williams, 1992) and PPO (Schulman et al., 2017) on an autoregressive controller, as in NAS by RL.

The advantage of a trial is its rank among the last trials, as the score of an exponential distribution (Savage, 1956):
a moving baseline and a normalisation that no outlier moves, and that seeks the best rather than the mean, as
risk-seeking policy gradients do (Petersen et al., 2021). Trials that break a limit rank below those that do not, by
how much they break it, and those without a result last.

For several objectives one policy covers the whole front: each trial has preferences, a weight vector that follows from
its number, which the policy is given and by which its Chebyshev distance to the best, in ranks, is weighted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import optuna
from numpy.typing import NDArray

from nas.errors import SamplerError, unknown
from nas.samplers.base import Sampler
from nas.samplers.decoder import Closed, by_number
from nas.samplers.history import Fold, History, Point
from nas.samplers.rl.rewards import Chebyshev, Reward, Weighted
from nas.space.indexed import Indexed
from nas.space.space import Architecture, Space

if TYPE_CHECKING:
    from nas.samplers.rl.adam import Weights
    from nas.samplers.rl.controller import Controller

Algorithm = Literal["reinforce", "ppo"]
Array = NDArray[np.float64]

_ALGORITHMS = ("reinforce", "ppo")
_DRAWN = 16
_SPREAD = 4.0


@dataclass(frozen=True)
class _Learned:
    """The policy, and the last trials that others are compared with."""

    weights: Weights
    recent: tuple[Point, ...] = ()


@dataclass(frozen=True)
class _Lesson:
    """What is learned in one study: the policy's shape, and the states of its training."""

    study: optuna.Study
    controller: Controller
    learned: Fold[_Learned]


class Reinforce(Sampler):
    """Draws from a policy that is trained on the trials so far, a few at a time.

    The defaults were chosen on CIFAR-10 validation accuracy and on Eyeriss latency of NAS-Bench-201, seeds 0 to 9.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal; also of the policy's first weights.
        algorithm: `reinforce`, one step for each chunk of trials, or `ppo`, some clipped steps.
        reward: Of objective values. By default the first objective if it is the only one, else preferences.
        chunk: Trials from one update of the policy to the next.
        learning_rate: Of Adam.
        entropy: What a nat of entropy is worth, where the standard deviation of the advantages is about 1.
        window: Last trials that a trial is ranked among.
        epochs: PPO's steps for each chunk.
        clip: By how much PPO may change a probability in each chunk, as a share of it.
        hidden: Size of the LSTM's state.
        lessons: Preferences that are learned for from each trial of several objectives: its own, and others, under
            which it would have been as good or bad.

    Raises:
        SamplerError: If the algorithm is not known.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        algorithm: Algorithm = "reinforce",
        reward: Reward | None = None,
        chunk: int = 5,
        learning_rate: float = 0.01,
        entropy: float = 0.1,
        window: int = 100,
        epochs: int = 3,
        clip: float = 0.2,
        hidden: int = 64,
        lessons: int = 2,
    ) -> None:
        super().__init__(space, seed)
        if algorithm not in _ALGORITHMS:
            raise SamplerError(unknown("algorithm", algorithm, _ALGORITHMS))
        self.algorithm = algorithm
        self.reward = reward
        self.chunk = chunk
        self.learning_rate = learning_rate
        self.entropy = entropy
        self.window = window
        self.epochs = epochs
        self.clip = clip
        self.hidden = hidden
        self.lessons = lessons
        self._codes = Indexed(space)
        self._closed = Closed(space, self._codes)
        self._lesson: _Lesson | None = None

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Draw from the policy until an architecture is unseen."""
        from nas.samplers.rl.adam import one_thread

        lesson = self._lesson_in(history.study)
        with one_thread():
            learned = lesson.learned.over(by_number(history.told, history.failed))
        size = lesson.controller.conditions
        wanted = _given([self.preferences(history.number, size)])[0] if size else None
        return self._closed.proposed(
            lambda generator: lesson.controller.sample(learned.weights, _DRAWN, generator, wanted), history, rng
        )

    def preferences(self, number: int, objectives: int, lesson: int = 0) -> tuple[float, ...]:
        """How much each objective matters to a trial: uniform among all weights that sum to 1.

        Args:
            number: The trial's.
            objectives: How many.
            lesson: 0 for what the trial is drawn for; others for what else is learned from it.
        """
        rng = random.Random(f"{self.seed}/preferences/{number}/{lesson}")
        drawn = [rng.expovariate(1.0) for _ in range(objectives)]
        return tuple(weight / sum(drawn) for weight in drawn)

    def _lesson_in(self, study: optuna.Study) -> _Lesson:
        from nas.samplers.rl.controller import Controller

        if self._lesson is None or self._lesson.study is not study:
            objectives = len(study.directions)
            conditions = objectives if self.reward is None and objectives > 1 else 0
            controller = Controller(self._codes, conditions, self.hidden)
            start = _Learned(controller.initial(f"{self.seed}/policy"))
            fold = Fold(start, lambda learned, points: self._taught(controller, learned, points), self.chunk)
            self._lesson = _Lesson(study, controller, fold)
        return self._lesson

    def _taught(self, controller: Controller, learned: _Learned, points: Sequence[Point]) -> _Learned:
        """The policy after some more trials."""
        from nas.samplers.rl.policy_gradient import clipped, reinforced

        recent = (*learned.recent, *points)[-max(self.window, len(points)) :]
        size = controller.conditions
        rows = self._codes.rows(point.architecture.decisions for point in points)
        wanted: Array = np.zeros((len(points), 0), np.float64)
        if size:
            lessons = [(i, k) for k in range(self.lessons) for i in range(len(points))]
            rows = rows[[i for i, _ in lessons]]
            wanted = np.array([self.preferences(points[i].number, size, k) for i, k in lessons])
            at = [len(recent) - len(points) + i for i, _ in lessons]
            drawn = [advantages(recent, Chebyshev(w.tolist()))[i] for i, w in zip(at, wanted, strict=True)]
        else:
            drawn = advantages(recent, self.reward or Weighted())[-len(points) :]
        gains = np.array(drawn, np.float32)
        batch = controller.batch(rows, _given(wanted))
        if self.algorithm == "ppo":
            weights = clipped(
                controller, learned.weights, batch, gains, self.learning_rate, self.entropy, self.epochs, self.clip
            )
        else:
            weights = reinforced(controller, learned.weights, batch, gains, self.learning_rate, self.entropy)
        return _Learned(weights, recent)


def _given(wanted: Array | Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """What the policy is given of `(n, m)` preferences: centred, with a deviation of about 1."""
    weights = np.array(wanted, np.float32)
    return (weights - 1 / max(1, weights.shape[1])) * np.float32(_SPREAD)


def advantages(points: Sequence[Point], reward: Reward) -> Array:
    """Scores `(n,)` of points by their ranks, with mean 0 and at most about log(n); equals share theirs.

    Those that meet the limits come first, by reward; then those that do not, by violation; then those without values.
    """
    met = np.array([bool(point.values) and not point.violation for point in points], np.bool_)
    merits = np.array(
        [-point.violation if point.values or point.violation else -np.inf for point in points], np.float64
    )
    if met.any():
        rewards = reward(np.array([point.values for point, m in zip(points, met, strict=True) if m]))
        merits[met] = 1.0 + rewards - rewards.min()
    _, places, counts = np.unique(-merits, return_inverse=True, return_counts=True)
    scores = -np.log((np.arange(len(points)) + 0.5) / len(points))
    shared = np.add.reduceat(scores, np.cumsum(counts) - counts) / counts
    return shared[places] - scores.mean()
