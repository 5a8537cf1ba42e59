"""A relativistic average discriminator of architectures (Jolicoeur-Martineau, 2019), as GA-NAS trains it.

It does not say whether a row is true, but how much truer it is than the others: where true and false become alike, its
gradient does not vanish. Its weights are values; nothing here draws from a global generator.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nas.samplers.rl.adam import Weights, improve, seeded
from nas.space.indexed import Indexed, Rows

_DECAY = 1e-3


class Discriminator:
    """A perceptron with two hidden layers over the decisions of a row; its weights are handed in.

    Args:
        codes: The space's decisions as `d` columns.
        hidden: Size of the hidden layers.
    """

    def __init__(self, codes: Indexed, hidden: int = 64) -> None:
        self.codes = codes
        size = int((codes.sizes + 1).sum())
        self._shapes = ((hidden, size), (hidden,), (hidden, hidden), (hidden,), (1, hidden))
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]

    def features(self, rows: Rows) -> Tensor:
        """What it sees of `(n, d)` rows: each label, or that a decision is not reached, as a position of its own."""
        parts = [np.eye(size + 1, dtype=np.float32)[rows[:, j]] for j, size in enumerate(self.codes.sizes)]
        return torch.from_numpy(np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0), np.float32))

    def initial(self, seed: str) -> Weights:
        """Draw weights."""
        generator = seeded(seed)
        parts: list[Tensor] = []
        for shape, size in zip(self._shapes, self._sizes, strict=True):
            bound = (3 / max(1, shape[-1])) ** 0.5 if len(shape) == 2 else 0.0
            parts.append(torch.empty(size, dtype=torch.float32).uniform_(-bound, bound, generator=generator))
        values = torch.cat(parts)
        return Weights(values, torch.zeros_like(values), torch.zeros_like(values))

    def scores(self, values: Tensor, features: Tensor) -> Tensor:
        """How true rows with features `(n, size)` are, `(n,)`; only differences mean something."""
        first, first_bias, second, second_bias, last = (
            part.reshape(shape) for part, shape in zip(values.split(self._sizes), self._shapes, strict=True)
        )
        hidden = F.relu(features @ first.T + first_bias)
        return (F.relu(hidden @ second.T + second_bias) @ last.T)[:, 0]

    def told_apart(
        self, weights: Weights, true: Tensor, false: Tensor, learning_rate: float, label_smoothing: float
    ) -> Weights:
        """Take a step towards scoring each true row above the false ones on average, and the other way round.

        Args:
            weights: Before the step.
            true: Features `(n, size)`, at least one.
            false: Features `(k, size)`, at least one.
            learning_rate: Of Adam.
            label_smoothing: How uncertain it should stay, so that its judgement does not saturate.
        """

        def loss(values: Tensor) -> Tensor:
            scores = self.scores(values, torch.cat([true, false]))
            above, below = scores[: len(true)], scores[len(true) :]
            truer, falser = above - below.mean(), below - above.mean()
            return (
                F.binary_cross_entropy_with_logits(truer, torch.full_like(truer, 1 - label_smoothing))
                + F.binary_cross_entropy_with_logits(falser, torch.full_like(falser, label_smoothing))
                + _DECAY * scores.square().mean()
            )

        return improve(weights, loss, learning_rate)
