"""What a candidate says about its own training; what it leaves open is the run's."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from nas.training.augment import Augmentation
from nas.training.train import Training


@dataclass(frozen=True)
class Recipe:
    """Overrides of a run's `Training`, which may hold open choices; None leaves the run's value.

    Attributes:
        epochs: Passes over the training split; `nas refine` takes four times as many, or as many as it is told.
        batch_size: Samples a step.
        lr: Peak of the one-cycle learning rate.
        weight_decay: Of AdamW, on weights with two axes or more.
        label_smoothing: Share of the target spread over all classes.
        augmentation: How samples are changed.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    augmentation: Augmentation | None = None

    def over(self, training: Training) -> Training:
        """A run's training with what this recipe names in its place; the seed stays the run's."""
        named = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(training, **named)
