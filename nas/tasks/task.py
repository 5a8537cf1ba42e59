"""What is learnt: modalities, splits, and what is predicted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas.blocks import Input
from nas.tasks.outputs import Output


@dataclass(frozen=True)
class Split:
    """One part of the data.

    Attributes:
        inputs: Modality → raw values `(n, *shape)`, uint8 or float32.
        targets: As the task's output takes them: class indices `(n,)`, int64; numbers `(n,)`, float32; or of several
            columns `(n, columns)`, float32.
    """

    inputs: Mapping[str, NDArray[Any]]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Modality:
    """One kind of input.

    Attributes:
        kind: How it is read when the model is deployed.
        shape: Without the batch axis.
        mean: Of the training split: one number, or one for each index of the first axis.
        std: Likewise.
        preprocessing: How raw input becomes an array of this shape, for `predict.py`.
        vocabulary: How many token ids there are, of a text.
        categories: Column → number of codes, of a table.
        free: Whether the last axis may have another length when the model is deployed.
    """

    kind: Literal["image", "audio", "vector", "text", "series"]
    shape: tuple[int, ...]
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    preprocessing: Mapping[str, Any]
    vocabulary: int = 0
    categories: Mapping[int, int] = field(default_factory=dict[int, int])
    free: bool = False

    @property
    def input(self) -> Input:
        """What a network needs to know of it."""
        return Input(self.shape, self.mean, self.std, self.vocabulary, self.categories, self.free)


@dataclass(frozen=True)
class Source:
    """The file that a task's samples were read from, by which its preparation can be proven.

    Attributes:
        path: The file.
        rows: For train, valid and test the row of each sample in it, `(n,)`, from 0.
    """

    path: Path
    rows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Task:
    """A data set split for training, selection and the final score.

    Attributes:
        name: What it is called on the command line.
        modalities: By name.
        output: What is predicted.
        train: For learning and calibration.
        valid: For every selection.
        test: Scored once, for models that are kept.
        attribution: Whom results built on the data must name; may be empty.
        notes: What was left out, converted or recognised at loading, or is in two splits; a sentence each.
        source: The file of a user's own table.
        folder: The data folder that a built-in task was read from, if it needs one.
    """

    name: str
    modalities: Mapping[str, Modality]
    output: Output
    train: Split
    valid: Split
    test: Split
    attribution: str = ""
    notes: tuple[str, ...] = ()
    source: Source | None = None
    folder: Path | None = None

    @property
    def inputs(self) -> Mapping[str, Input]:
        """What a network needs to know of each modality."""
        return {name: modality.input for name, modality in self.modalities.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all arrays: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for split in (self.train, self.valid, self.test):
            for array in (*(split.inputs[name] for name in sorted(split.inputs)), split.targets):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def statistics(values: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation over all values; the latter is 1 where nothing varies."""
    return float(values.mean()), float(values.std()) or 1.0
