"""What one candidate is, what all candidates of a run are evaluated under, and who hears of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.evaluation.allowance import Allowance
from nas.evaluation.assess import Measure
from nas.objectives.objective import Limit
from nas.space.choices import Label
from nas.tasks import Task
from nas.training import Training

Report = Callable[[int, Mapping[str, float]], bool]
"""`report(epoch, metrics) → go on?`: called after each epoch, counted from 0; where it says no, training ends."""


def go_on(_epoch: int, _metrics: Mapping[str, float]) -> bool:
    """Hear nothing and always go on."""
    return True


@dataclass(frozen=True)
class EvaluationJob:
    """One candidate.

    Attributes:
        network: What the space resolves to: a closed description of a network or a candidate.
        decisions: Where it came from; kept beside its files.
        folder: Where its files go; appears whole or not at all.
        initial: Weights to begin with, a safetensors file: those that fit by name and shape are taken.
    """

    network: Any
    decisions: Mapping[str, Label]
    folder: Path
    initial: Path | None = None


@dataclass(frozen=True)
class EvaluationContext:
    """What all candidates have in common.

    Attributes:
        task: What is learnt.
        training: How long and how.
        limits: Bounds; those that can be known without training are checked before it. What cannot be counted breaks
            every limit on it.
        measure: Measures latency; None where nobody asks for it, and nothing is measured then.
        allowance: What one candidate may take of time and memory.
        epochs: Of every candidate, whatever its recipe says; None is as its recipe or the run says.
        wanted: Metrics that somebody asks for; those that cost something are found only where they are among them.
    """

    task: Task
    training: Training
    limits: tuple[Limit, ...] = ()
    measure: Measure | None = None
    allowance: Allowance = Allowance()
    epochs: int | None = None
    wanted: frozenset[str] = frozenset()

    def training_of(self, own: Training) -> Training:
        """How a candidate is trained whose own training is this."""
        return own if self.epochs is None else replace(own, epochs=self.epochs)
