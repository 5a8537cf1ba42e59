"""What a model's outputs mean: probabilities of labels, numbers, several of these side by side, or a vector.

An output is described by a JSON object, `{"type": "Classification", "labels": ["no", "yes"]}`, which stands in
`bundle.json` and in a run's record. Training scores what these functions make of a model's outputs too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import Array
from .errors import PredictError

Description = Mapping[str, Any]

TYPES = ("Classification", "Binary", "MultiLabel", "Regression", "MultiTask", "Embedding")
"""All that a description may be of."""


def size_of(output: Description) -> int:
    """How many outputs the network has."""
    match output["type"]:
        case "Classification" | "MultiLabel":
            return len(output["labels"])
        case "MultiTask":
            return sum(map(size_of, output["parts"].values()))
        case "Embedding":
            return output["size"]
        case _:
            return 1


def decoded(output: Description, raw: Array) -> Array:
    """Turn what a network gives, `(n, size)`, into what it means, `(n, k)`.

    Returns:
        A probability for each label; of a regression the number in the unit of the data; of an embedding the vector;
        of several outputs those of each, side by side.
    """
    match output["type"]:
        case "Classification":
            return softmax(raw)
        case "Binary":
            chance = sigmoid(raw)
            return np.concatenate([1 - chance, chance], axis=1)
        case "MultiLabel":
            return sigmoid(raw)
        case "Regression":
            return raw.astype(np.float64) * output["std"] + output["mean"]
        case "MultiTask":
            parts = output["parts"].values()
            bounds = np.cumsum([size_of(part) for part in parts])[:-1]
            return np.concatenate(
                [decoded(*pair) for pair in zip(parts, np.split(raw, bounds, 1), strict=True)], axis=1
            )
        case _:
            return raw


def answer(output: Description, row: Array) -> dict[str, Any]:
    """What is said of one sample, as JSON.

    Args:
        output: The description.
        row: `(k,)`, of `decoded`.

    Returns:
        Each label with its probability, the likeliest first; `value` of a regression; `vector` of an embedding; of
        several outputs the answer of each by its name.
    """
    match output["type"]:
        case "Regression":
            return {"value": float(row[0])}
        case "Embedding":
            return {"vector": [float(each) for each in row]}
        case "MultiTask":
            parts = output["parts"]
            bounds = np.cumsum([_width(part) for part in parts.values()])[:-1]
            rows = zip(parts.items(), np.split(row, bounds), strict=True)
            return {name: answer(part, own) for (name, part), own in rows}
        case _:
            pairs = zip(output["labels"], map(float, row), strict=True)
            return dict(sorted(pairs, key=lambda pair: -pair[1]))


def lines(output: Description, said: Mapping[str, Any], top: int) -> list[str]:
    """An answer for people to read: a line, or of several outputs a line each.

    Args:
        output: The description.
        said: From `answer`.
        top: How many labels are told.
    """
    match output["type"]:
        case "Regression":
            return [f"{said['value']:.6g}"]
        case "Embedding":
            return [" ".join(f"{each:.4f}" for each in said["vector"])]
        case "MultiTask":
            parts = output["parts"].items()
            return [f"{name}: {line}" for name, part in parts for line in lines(part, said[name], top)]
        case _:
            return ["  ".join(f"{label} {share:.1%}" for label, share in [*said.items()][:top])]


def joined(output: Description, outputs: Sequence[Array]) -> Array:
    """What a model gave for each sample, `(1, size)` each, as `(n, size)`.

    Raises:
        PredictError: If it is not as many finite numbers as the description says.
    """
    size = size_of(output)
    for i, each in enumerate(outputs):
        if each.shape != (1, size) or each.dtype.kind != "f" or not np.isfinite(each).all():
            raise PredictError(f"sample {i}: the model gives no {size} finite numbers, as its description says.")
    return np.concatenate(outputs)


def softmax(logits: Array) -> Array:
    """Turn logits `(n, classes)` into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: Array) -> Array:
    """Turn logits of any shape into probabilities; those that are far from 0 are not computed beyond what can be."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))


def _width(output: Description) -> int:
    """How many numbers `decoded` gives."""
    if output["type"] == "MultiTask":
        return sum(map(_width, output["parts"].values()))
    return 2 if output["type"] == "Binary" else size_of(output)
