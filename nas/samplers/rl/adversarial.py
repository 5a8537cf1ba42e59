"""GA-NAS (Rezaei et al., 2021): a generator learns to make what a discriminator takes for the best trials so far.

In each round the discriminator learns to tell the truth set, the best so far, from what was generated: what was
evaluated and is not in it, and fresh draws. The generator, an autoregressive controller, is trained by PPO on the
discriminator's judgement; no evaluation is needed inside. What it draws is then proposed, and the truth set renewed.

Guards against saturation: labels are smoothed, entropy is rewarded, and both networks begin anew in each round, the
generator at the truth set's smoothed frequencies, where the cross-entropy method ends. Draws that were evaluated
before or that a constraint refuses are penalised; what breaks a limit is never in the truth set while it has better.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.samplers.base import Sampler, unseen
from nas.samplers.cem import frequencies
from nas.samplers.decoder import Closed, by_number
from nas.samplers.history import Fold, History, Point
from nas.samplers.selection import ordered
from nas.space.indexed import Indexed, Rows
from nas.space.space import Architecture, Space

if TYPE_CHECKING:
    from nas.samplers.rl.adam import Weights
    from nas.samplers.rl.controller import Controller
    from nas.samplers.rl.discriminator import Discriminator

_SMOOTHING = 0.3
_CHUNKS = 64
_STEPS = 4
_RATE = 0.01
_EPOCHS = 2
_CLIP = 0.2


@dataclass(frozen=True)
class _Known:
    """What a round begins with.

    Attributes:
        truth: The best so far, best first.
        rows: `(n, d)` all that was evaluated or failed.
    """

    truth: Sequence[Point]
    rows: Rows


@dataclass(frozen=True)
class _Round:
    """What a round has learned."""

    known: _Known
    generator: Weights
    discriminator: Weights


class Adversarial(Sampler):
    """Draws from a generator that imitates the best trials so far, the most convincing first.

    The defaults were chosen on CIFAR-10 validation accuracy of NAS-Bench-201, seeds 0 to 9.

    Args:
        space: The space that it proposes from.
        seed: With the trial's number, the seed of every proposal; with the number of trials, that of each round.
        start: Random architectures first.
        truth: Best trials so far that are imitated; for several objectives by non-dominated rank, then crowding.
        chunk: Trials from one round to the next; from 128 chunks on, a 64th of all trials.
        iterations: Of a round; in each, the discriminator learns, then the generator.
        batch: Draws in each iteration.
        fresh: How many of them the discriminator learns from, beside as many evaluated trials as `batch`.
        learning_rate: Of the generator's Adam; the discriminator's is 0.01, four steps in each iteration.
        entropy: What a nat of the generator's entropy is worth, in standard deviations of the judgements.
        label_smoothing: How uncertain the discriminator should stay.
        penalty: Of a repetition or a refused draw, in standard deviations of the judgements.
        drawn: Rows for each proposal, of which it is the most convincing unseen.
    """

    def __init__(
        self,
        space: Space,
        seed: int = 0,
        start: int = 20,
        truth: int = 8,
        chunk: int = 10,
        iterations: int = 4,
        batch: int = 32,
        fresh: int = 8,
        learning_rate: float = 0.01,
        entropy: float = 0.1,
        label_smoothing: float = 0.1,
        penalty: float = 1.0,
        drawn: int = 3,
    ) -> None:
        super().__init__(space, seed)
        self.start = start
        self.truth = truth
        self.chunk = chunk
        self.iterations = iterations
        self.batch = batch
        self.fresh = fresh
        self.learning_rate = learning_rate
        self.entropy = entropy
        self.label_smoothing = label_smoothing
        self.penalty = penalty
        self.drawn = drawn
        self._codes = Indexed(space)
        self._closed = Closed(space, self._codes)
        self._known: Fold[_Known] = Fold(
            _Known((), np.zeros((0, len(self._codes.sizes)), np.int16)), self._grown, chunk
        )
        self._networks: tuple[Controller, Discriminator] | None = None
        self._round: _Round | None = None

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Draw from the generator until an architecture is unseen, or at random until there is a truth set."""
        known = self._known_of(by_number(history.told, history.failed))
        if len(history.seen) < self.start or not known.truth:
            return unseen(self.space, history.seen, rng)
        generator, discriminator = self._made()
        if self._round is None or self._round.known is not known:
            self._round = self._trained(known)
        learned = self._round

        def draw(numbers: np.random.Generator) -> Rows:
            rows = generator.sample(learned.generator, self.drawn, numbers)
            judged = discriminator.scores(learned.discriminator.values, discriminator.features(rows)).numpy()
            return rows[np.argsort(-judged, kind="stable")]

        return self._closed.proposed(draw, history, rng)

    def _known_of(self, points: Sequence[Point]) -> _Known:
        """What the round in play began with; with many trials a chunk more changes little, and rounds are rarer."""
        step = self.chunk * max(1, len(points) // (_CHUNKS * self.chunk))
        return self._known.over(points[: len(points) - len(points) % step])

    def _made(self) -> tuple[Controller, Discriminator]:
        from nas.samplers.rl.controller import Controller
        from nas.samplers.rl.discriminator import Discriminator

        if self._networks is None:
            self._networks = Controller(self._codes), Discriminator(self._codes)
        return self._networks

    def _grown(self, known: _Known, points: Sequence[Point]) -> _Known:
        told = [point for point in points if point.values or point.violation]
        rows = self._codes.rows(point.architecture.decisions for point in points)
        return _Known(ordered([*known.truth, *told])[: self.truth], np.vstack([known.rows, rows]))

    def _trained(self, known: _Known) -> _Round:
        """Play a round; it depends on nothing but the seed and what is known."""
        from nas.samplers.rl.adam import one_thread
        from nas.samplers.rl.policy_gradient import clipped

        generator, discriminator = self._made()
        name = f"{self.seed}/round/{len(known.rows)}"
        rng = np.random.default_rng(list(name.encode()))
        truth = self._codes.rows(point.architecture.decisions for point in known.truth)
        true_names, seen = _names(truth), _names(known.rows)
        beaten = known.rows[[row.tobytes() not in true_names for row in known.rows]]
        true = discriminator.features(truth)
        judge = discriminator.initial(f"{name}/discriminator")
        maker = generator.initial(f"{name}/generator", frequencies(self._codes, truth, _SMOOTHING))
        with one_thread():
            for _ in range(self.iterations):
                rows = generator.sample(maker, self.batch, rng)
                fresh = [row for row in rows if row.tobytes() not in true_names][: self.fresh]
                old = beaten[rng.choice(len(beaten), min(len(beaten), self.batch), replace=False)]
                false = discriminator.features(np.vstack([old, *fresh]))
                for _ in range(_STEPS if len(false) else 0):
                    judge = discriminator.told_apart(judge, true, false, _RATE, self.label_smoothing)
                judged = discriminator.scores(judge.values, discriminator.features(rows)).numpy()
                unwanted = np.array([row.tobytes() in seen or self._refused(row) for row in rows])
                gains = (judged - judged.mean()) / (judged.std() + 1e-6) - self.penalty * unwanted
                gains = (gains - gains.mean()).astype(np.float32)
                batch = generator.batch(rows)
                maker = clipped(generator, maker, batch, gains, self.learning_rate, self.entropy, _EPOCHS, _CLIP)
        return _Round(known, maker, judge)

    def _refused(self, row: Rows) -> bool:
        return bool(self.space.constraints) and self._closed.of(row) is None


def _names(rows: Rows) -> set[bytes]:
    return {row.tobytes() for row in rows}
