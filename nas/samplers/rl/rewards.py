"""Rewards: one number, larger is better, from objective values that are all to be minimised.

Those with a target take the first two objectives as a quality, negated (as a study that maximises it gives it to a
sampler), and a cost such as latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


class Reward(Protocol):
    """What turns values into rewards."""

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`, finite and to be minimised."""
        ...


@dataclass(frozen=True)
class Weighted:
    """The negated weighted sum; without weights, of the first objective alone.

    Attributes:
        weights: `m` of them.
    """

    weights: Sequence[float] = ()

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`."""
        return -values @ np.array(self.weights) if self.weights else -values[:, 0]


@dataclass(frozen=True)
class Soft:
    """Quality times a power of the cost: `quality · (cost / target)^exponent` (MnasNet; Tan et al., 2019).

    Attributes:
        target: For the cost, positive.
        exponent: -0.07 where twice the cost is worth 5 % of quality.
    """

    target: float
    exponent: float = -0.07

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`; costs must be positive."""
        return -values[:, 0] * (values[:, 1] / self.target) ** self.exponent


@dataclass(frozen=True)
class Hard:
    """As `Soft`, but a cost within the target counts for nothing (MnasNet's hard constraint).

    Attributes:
        target: For the cost, positive.
        exponent: Beyond the target.
    """

    target: float
    exponent: float = -1.0

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`."""
        return -values[:, 0] * np.maximum(values[:, 1] / self.target, 1.0) ** self.exponent


@dataclass(frozen=True)
class Absolute:
    """Quality less the distance to the target: `quality + factor · |cost / target - 1|` (TuNAS; Bender et al., 2020).

    The policy stays on the target, where `Soft` lets it drift.

    Attributes:
        target: For the cost, positive.
        factor: Negative, in units of the quality.
    """

    target: float
    factor: float = -0.07

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`."""
        return -values[:, 0] + self.factor * np.abs(values[:, 1] / self.target - 1)


@dataclass(frozen=True)
class Chebyshev:
    """The negated augmented Chebyshev distance to the best of each objective (Steuer & Choo, 1983).

    Every point of a front, convex or not, is the best for some weights. How far a point is from the best of an
    objective is the share of points that are better in it: of ranges, a few very bad points would leave most weights
    to the same few good ones.

    Attributes:
        weights: `m` of them, not negative.
        share: Of the sum beside the maximum; it tells points apart that are as bad in their worst objective.
    """

    weights: Sequence[float]
    share: float = 0.05

    def __call__(self, values: Array) -> Array:
        """Rewards `(n,)` of values `(n, m)`."""
        better = (rankdata(values, "min", axis=0) - 1.0) / max(1, len(values) - 1)
        distances = np.array(self.weights) * better
        return -distances.max(axis=1) - self.share * distances.sum(axis=1)
