"""Architectures as numbers, for models that predict from them.

Every decision that a space can ask for has a fixed place, whether an architecture reaches it or not: one number where
the labels are numbers, else one for each label. A mask tells what was reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from nas.errors import SpaceError
from nas.space.choices import Choice, Label
from nas.space.description import decisions

Vector = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Described(Protocol):
    """What has a network description with open choices: a space."""

    @property
    def network(self) -> Any:
        """The description."""
        ...


class Decided(Protocol):
    """What has decisions: an architecture."""

    @property
    def decisions(self) -> Mapping[str, Label]:
        """Path → label."""
        ...


class Encoding:
    """The places of a space's decisions in a vector, in the order of the description.

    Different decisions have different vectors or masks, as long as no choice has more than 2²⁴ numbers.

    Args:
        space: The space.

    Attributes:
        size: Length of the vectors.
        names: What each position stands for: a path, or `path=label`.
    """

    def __init__(self, space: Described) -> None:
        self.names: list[str] = []
        self._places: dict[str, tuple[int, Choice, Sequence[float]]] = {}
        known: dict[Choice, Sequence[float]] = {}
        for path, choice in decisions(space.network):
            ranks = known[choice] if choice in known else known.setdefault(choice, label_ranks(choice.labels))
            self._places[path] = len(self.names), choice, ranks
            self.names += [path] if ranks else [f"{path}={label}" for label in choice.labels]
        self.size = len(self.names)

    def encode(self, architecture: Decided) -> tuple[Vector, Mask]:
        """Encode an architecture of the space.

        Returns:
            The values `(size,)` in [0, 1], by rank where the labels are numbers and 0 where nothing is decided; and
            the mask `(size,)`, true for all positions of the decisions that were reached.

        Raises:
            SpaceError: If a decision is not of the space.
        """
        values = np.zeros(self.size, np.float32)
        mask = np.zeros(self.size, np.bool_)
        for path, label in architecture.decisions.items():
            if path not in self._places:
                raise SpaceError(f"{path}: is no decision of this space; expected an architecture of the same space.")
            start, choice, ranks = self._places[path]
            index = choice.index(label, path)
            if ranks:
                values[start] = ranks[index]
                mask[start] = True
            else:
                values[start + index] = 1
                mask[start : start + len(choice.labels)] = True
        return values, mask


def label_ranks(labels: Sequence[Label]) -> Sequence[float]:
    """Give the rank of each label among the others in [0, 1] if all are numbers, else nothing."""
    if isinstance(labels, range):
        return _Even(len(labels))
    numbers = [label for label in labels if isinstance(label, int | float) and not isinstance(label, bool)]
    if len(numbers) < len(labels):
        return ()
    order = {number: rank for rank, number in enumerate(sorted(numbers))}
    return [order[number] / (len(numbers) - 1) for number in numbers]


@dataclass(frozen=True)
class _Even(Sequence[float]):
    """The ranks of evenly spaced numbers, without a list of them."""

    size: int

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...

    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        places = range(self.size)[index]
        return places / (self.size - 1) if isinstance(places, int) else [p / (self.size - 1) for p in places]
