"""Steps downhill in the weights of a small network, the same on every machine.

Weights are values: a step gives new ones. Nothing here draws from a global generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_MAX_NORM = 5.0
_DECAYS = (0.9, 0.99)


@dataclass(frozen=True)
class Weights:
    """A network's parameters and their optimiser's moments; not changed in place.

    Attributes:
        values: `(p,)` all parameters.
        mean: `(p,)` first moment of Adam.
        square: `(p,)` second moment of Adam.
        steps: Of training so far.
    """

    values: Tensor
    mean: Tensor
    square: Tensor
    steps: int = 0


def improve(weights: Weights, loss: Callable[[Tensor], Tensor], learning_rate: float) -> Weights:
    """Take a step of Adam (Kingma & Ba, 2015) down a loss of the values `(p,)`; the gradient's norm is bounded."""
    values = weights.values.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(values), values)
    gradient = gradient * min(1.0, _MAX_NORM / (float(gradient.norm()) + 1e-6))
    first, second = _DECAYS
    steps = weights.steps + 1
    mean = first * weights.mean + (1 - first) * gradient
    square = second * weights.square + (1 - second) * gradient**2
    change = (mean / (1 - first**steps)) / ((square / (1 - second**steps)).sqrt() + 1e-8)
    return Weights(weights.values - learning_rate * change, mean, square, steps)


@contextmanager
def one_thread() -> Generator[None]:
    """Compute on one thread: small networks are faster so, and results are the same whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seeded(text: str) -> torch.Generator:
    """A generator of its own for each text."""
    return torch.Generator().manual_seed(int.from_bytes(text.encode(), "big") % (2**61 - 1))
