"""What a model's outputs mean: a probability for each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import Array
from .errors import PredictError


def class_probabilities(outputs: Sequence[Array], labels: Sequence[str]) -> Array:
    """Turn what a model gave for each sample, logits `(1, classes)`, into probabilities `(n, classes)`.

    Raises:
        PredictError: If it gave no finite number for each label.
    """
    for i, each in enumerate(outputs):
        if each.shape != (1, len(labels)) or each.dtype.kind != "f" or not np.isfinite(each).all():
            raise PredictError(f"sample {i}: the model gives no {len(labels)} finite numbers, one a label.")
    return softmax(np.concatenate(outputs))


def softmax(logits: Array) -> Array:
    """Turn logits `(n, classes)` into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def ranked(probabilities: Array, labels: Sequence[str]) -> dict[str, float]:
    """The labels of one sample with their probabilities `(classes,)`, the likeliest first."""
    pairs = zip(labels, map(float, probabilities), strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def shown(answer: dict[str, float], top: int) -> str:
    """The first labels of an answer for people to read."""
    return "  ".join(f"{label} {share:.1%}" for label, share in [*answer.items()][:top])
