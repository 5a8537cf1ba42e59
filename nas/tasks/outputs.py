"""What is predicted is a value: how many outputs a network has for it, its loss, its metrics, and what outputs mean.

Nothing else knows a loss or a metric by name. How outputs are decoded is written once, in `nas.runtime.outputs`, which
every bundle contains.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nas.errors import TaskError, unknown
from nas.runtime.outputs import decoded, size_of

Array = NDArray[Any]

NEAR = 0.1
"""Two numbers agree that differ by no more than this share of the targets' standard deviation."""

ALIKE = 0.95
"""Two vectors agree whose cosine similarity is at least this."""


class Output(ABC):
    """What is predicted; its classes are frozen dataclasses.

    Attributes:
        scores: Its metrics, the main one first: by it models are chosen where nothing else is said.
        rate: The metric of it that grows with quality and is 1 at best, whatever the unit of the data.
        has_classes: Whether targets are classes, so that samples can be paired by them.
        columns: How many columns of targets it takes.
    """

    scores: ClassVar[tuple[str, ...]]
    rate: ClassVar[str]
    has_classes: ClassVar[bool] = False

    @property
    def main(self) -> str:
        """The metric by which models are chosen."""
        return self.scores[0]

    @property
    def columns(self) -> int:
        """How many columns of targets it takes; one is `(n,)`, several are `(n, columns)`."""
        return 1

    @property
    def size(self) -> int:
        """How many outputs a network has for it."""
        return size_of(self.description)

    @property
    def description(self) -> dict[str, Any]:
        """As JSON; `output_from` reads it back equal."""
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}  # pyright: ignore
        return {"type": type(self).__name__, **fields}

    def decode(self, outputs: Array) -> Array:
        """Turn a network's outputs `(n, size)` into probabilities, numbers or vectors, as a bundle does."""
        return decoded(self.description, outputs)

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch.

        Args:
            outputs: `(b, size)`.
            targets: `(b,)` or `(b, columns)`.
            smoothing: Share of a label's target that is spread over all; numbers are not smoothed.
        """

    @abstractmethod
    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The metrics of `scores`.

        Args:
            outputs: `(n, size)`, as the network gives them.
            targets: `(n,)` or `(n, columns)`.
        """

    @abstractmethod
    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of samples of which two networks say the same; `(n, size)` outputs of each."""


@dataclass(frozen=True)
class Classification(Output):
    """One of several classes: a logit for each; targets are indices `(n,)`, int64.

    Attributes:
        labels: What each index means.
    """

    labels: tuple[str, ...]
    scores = ("accuracy",)
    rate = "accuracy"
    has_classes = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(outputs, targets.long(), label_smoothing=smoothing)

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The share of samples that are labelled rightly."""
        return {"accuracy": float((outputs.argmax(1) == targets).mean())}

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of samples that get the same label."""
        return float((outputs.argmax(1) == others.argmax(1)).mean())


@dataclass(frozen=True)
class Binary(Output):
    """One of two classes by one logit, that of the second; targets are 0 or 1 `(n,)`, int64.

    Attributes:
        labels: What 0 and 1 mean.
    """

    labels: tuple[str, str]
    scores = ("accuracy",)
    rate = "accuracy"
    has_classes = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of the logit."""
        return _binary_loss(outputs[:, 0], targets, smoothing)

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The share of samples that are labelled rightly."""
        return {"accuracy": float(((outputs[:, 0] > 0) == targets).mean())}

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of samples that get the same label."""
        return float(((outputs > 0) == (others > 0)).mean())


@dataclass(frozen=True)
class MultiLabel(Output):
    """Any number of labels at once: a logit for each; targets are 0 or 1, `(n, labels)`, float32.

    Attributes:
        labels: What each column means.
    """

    labels: tuple[str, ...]
    scores = ("f1", "accuracy")
    rate = "f1"

    @property
    def columns(self) -> int:
        """One for each label."""
        return len(self.labels)

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of each logit, their mean."""
        return _binary_loss(outputs, targets.reshape(outputs.shape), smoothing)

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """F1 over all labels of all samples together (1 where none is there and none is said); and the share right."""
        said, true = outputs > 0, targets.reshape(outputs.shape) > 0.5
        wrong = float((said != true).sum())
        both = 2 * float((said & true).sum())
        return {"f1": both / (both + wrong) if both + wrong else 1.0, "accuracy": float((said == true).mean())}

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of labels that are decided alike."""
        return float(((outputs > 0) == (others > 0)).mean())


@dataclass(frozen=True)
class Regression(Output):
    """A number; the network predicts it standardised. Targets are in the unit of the data, `(n,)`, float32.

    Attributes:
        mean: Of the training targets.
        std: Of the training targets; positive.
    """

    mean: float = 0.0
    std: float = 1.0
    scores = ("rmse", "mae", "r2")
    rate = "r2"

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean squared error of the standardised number."""
        return F.mse_loss(outputs[:, 0], ((targets - self.mean) / self.std).to(outputs.dtype))

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """Errors in the unit of the data, and the share of the variance explained (0 where nothing varies)."""
        errors = self.decode(outputs)[:, 0] - targets
        squared, variance = float((errors**2).mean()), float(np.var(targets, dtype=np.float64))
        return {
            "rmse": squared**0.5,
            "mae": float(np.abs(errors).mean()),
            "r2": 1 - squared / variance if variance else 0.0,
        }

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of samples whose numbers differ by at most `NEAR` of the standard deviation."""
        return float((np.abs(outputs - others) <= NEAR).mean())


@dataclass(frozen=True)
class Embedding(Output):
    """A vector for matching: samples of one class lie near each other. Targets are classes `(n,)`, int64.

    Attributes:
        length: Of the vector.
        temperature: Of the contrast; smaller pushes near strangers away harder.
    """

    length: int
    temperature: float = 0.1
    scores = ("recall_at_1",)
    rate = "recall_at_1"
    has_classes = True

    @property
    def description(self) -> dict[str, Any]:
        """As JSON; `size` is the vector's length."""
        return {"type": "Embedding", "size": self.length, "temperature": self.temperature}

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Supervised contrast (Khosla et al., 2020): each sample against all others of the batch, by its class."""
        unit = F.normalize(outputs)
        own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        alike = ((targets[:, None] == targets[None]) & ~own).to(unit.dtype)
        logs = F.log_softmax(
            (unit @ unit.T / self.temperature).masked_fill(own, torch.finfo(unit.dtype).min / 2), dim=1
        )
        return -((logs * alike).sum(1) / alike.sum(1).clamp(min=1)).mean()

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The share of samples whose nearest other one is of their class; 0 for a single sample."""
        unit = _unit(outputs)
        right = 0
        for start in range(0, len(unit) if len(unit) > 1 else 0, 512):
            likeness = unit[start : start + 512] @ unit.T
            likeness[np.arange(len(likeness)), np.arange(start, start + len(likeness))] = -np.inf
            right += int((targets[likeness.argmax(1)] == targets[start : start + 512]).sum())
        return {"recall_at_1": right / len(unit)}

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of samples whose two vectors have a cosine similarity of at least `ALIKE`."""
        return float(((_unit(outputs) * _unit(others)).sum(1) >= ALIKE).mean())


@dataclass(frozen=True)
class MultiTask(Output):
    """Several columns at once: the outputs of each side by side; targets are `(n, columns)`, float32.

    Its main metric is the mean of its parts' rates; their own are qualified by their names, `rmse:price`.

    Attributes:
        parts: Column → what is predicted of it; two or more, none of them a `MultiTask`.
    """

    parts: Mapping[str, Output]
    rate = "mean_score"

    @property
    def scores(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The mean score, then those of each part."""
        return ("mean_score", *(f"{score}:{name}" for name, part in self.parts.items() for score in part.scores))

    @property
    def columns(self) -> int:
        """Those of all parts."""
        return sum(part.columns for part in self.parts.values())

    @property
    def description(self) -> dict[str, Any]:
        """As JSON."""
        return {"type": "MultiTask", "parts": {name: part.description for name, part in self.parts.items()}}

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """The mean of the parts' losses."""
        losses = [
            part.loss(outputs[:, out], targets[:, taken].squeeze(1), smoothing)
            for _, part, out, taken in self._slices()
        ]
        return torch.stack(losses).mean()

    def score(self, outputs: Array, targets: Array) -> dict[str, float]:
        """The mean of the parts' rates, and all of their metrics."""
        found = {
            name: part.score(outputs[:, out], _column(targets[:, taken])) for name, part, out, taken in self._slices()
        }
        rates = [found[name][part.rate] for name, part in self.parts.items()]
        own = {f"{score}:{name}": value for name, scores in found.items() for score, value in scores.items()}
        return {"mean_score": float(np.mean(rates)), **own}

    def agreement(self, outputs: Array, others: Array) -> float:
        """The least of the parts'."""
        return min(part.agreement(outputs[:, out], others[:, out]) for _, part, out, _ in self._slices())

    def _slices(self) -> list[tuple[str, Output, slice, slice]]:
        """Of each part: its name, itself, its outputs, and its columns of targets."""
        found: list[tuple[str, Output, slice, slice]] = []
        outputs = columns = 0
        for name, part in self.parts.items():
            taken = slice(outputs, outputs + part.size), slice(columns, columns + part.columns)
            found.append((name, part, *taken))
            outputs, columns = taken[0].stop, taken[1].stop
        return found


OUTPUTS: Mapping[str, type[Output]] = {
    kind.__name__: kind for kind in (Classification, Binary, MultiLabel, Regression, Embedding, MultiTask)
}
"""Every output, by the type in its description."""


def output_from(description: Mapping[str, Any]) -> Output:
    """Read back what `Output.description` gave, also from JSON.

    Raises:
        TaskError: If the type is unknown.
        KeyError: If a field is missing.
    """
    match description["type"]:
        case "Classification":
            return Classification(tuple(description["labels"]))
        case "Binary":
            first, second = description["labels"]
            return Binary((first, second))
        case "MultiLabel":
            return MultiLabel(tuple(description["labels"]))
        case "Regression":
            return Regression(description["mean"], description["std"])
        case "Embedding":
            return Embedding(description["size"], description["temperature"])
        case "MultiTask":
            return MultiTask({name: output_from(part) for name, part in description["parts"].items()})
        case other:
            raise TaskError(unknown("output", str(other), OUTPUTS))


def _binary_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    soft = targets.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, soft)


def _column(targets: Array) -> Array:
    """`(n,)` of a single column."""
    return targets[:, 0] if targets.shape[1] == 1 else targets


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
