"""Steps up the policy gradient of a controller: REINFORCE and PPO."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.samplers.rl.adam import Weights, improve
from nas.samplers.rl.controller import Batch, Controller

Array = NDArray[np.float32]


def reinforced(
    controller: Controller,
    weights: Weights,
    batch: Batch,
    advantages: Array,
    learning_rate: float,
    entropy: float,
) -> Weights:
    """Take a step up the policy gradient (Williams, 1992).

    Args:
        controller: The policy.
        weights: Before the step.
        batch: `n` rows.
        advantages: `(n,)`, positive for rows that should become likelier.
        learning_rate: Of Adam.
        entropy: What a nat of entropy is worth, in advantages.
    """
    gains = torch.from_numpy(advantages)

    def loss(values: Tensor) -> Tensor:
        logs, entropies = controller.likelihood(values, batch)
        return -(gains * logs + entropy * entropies).mean()

    return improve(weights, loss, learning_rate)


def clipped(
    controller: Controller,
    weights: Weights,
    batch: Batch,
    advantages: Array,
    learning_rate: float,
    entropy: float,
    epochs: int,
    clip: float,
) -> Weights:
    """Take some steps up PPO's objective (Schulman et al., 2017), which stops rewarding a row that changed enough.

    Args:
        controller: The policy.
        weights: Before the steps; ratios are against them.
        batch: `n` rows.
        advantages: `(n,)`, positive for rows that should become likelier.
        learning_rate: Of Adam.
        entropy: What a nat of entropy is worth, in advantages.
        epochs: Steps.
        clip: By how much a row's probability may change, as a share of it.
    """
    gains = torch.from_numpy(advantages)
    with torch.no_grad():
        before, _ = controller.likelihood(weights.values, batch)

    def loss(values: Tensor) -> Tensor:
        logs, entropies = controller.likelihood(values, batch)
        return -(surrogate(logs - before, gains, clip) + entropy * entropies).mean()

    for _ in range(epochs):
        weights = improve(weights, loss, learning_rate)
    return weights


def surrogate(log_ratios: Tensor, gains: Tensor, clip: float) -> Tensor:
    """PPO's clipped objective `(n,)` of log-ratios and advantages `(n,)`."""
    ratios = torch.exp(log_ratios.clamp(-20.0, 20.0))
    return torch.minimum(ratios * gains, ratios.clamp(1 - clip, 1 + clip) * gains)
