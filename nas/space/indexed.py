"""Architectures as rows of label indices, so that thousands are drawn, changed, compared and encoded at once.

`resolve` closes one description in a fraction of a millisecond. A sampler that weighs thousands of candidates for
each proposal has not that much time: it works on rows, and closes only what it proposes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import SpaceError
from nas.space.choices import Choice, Label, Repeat, children, is_nested, join
from nas.space.encoding import Described, label_ranks

Rows = NDArray[np.int16]
"""`(n, d)` label indices, -1 for decisions that are not reached."""

_MOST_OPTIONS = 4096
"""What a choice is in `points` takes eight times the square of its options: 130 MB for so many."""


class Indexed:
    """The decisions of a space as columns, in the order of the description (`description.decisions`).

    A column is reached through a place of the description that asks it; a tied choice may have several. A place is
    reached where the place above it is, and the decision between them has one of some labels.

    Args:
        space: The space. Its constraints are not known here.

    Raises:
        SpaceError: If a decision has more options than a column can hold.

    Attributes:
        paths: Of the `d` columns.
        choices: Of the columns.
        sizes: `(d,)` numbers of labels.
        coordinates: `(p,)` the column that each coordinate of `points` belongs to.
    """

    def __init__(self, space: Described) -> None:
        self.paths: list[str] = []
        self.choices: list[Choice] = []
        self._column: dict[str, int] = {}
        self._places: list[tuple[int, int, NDArray[np.bool_]]] = []
        self._asked_at: list[list[int]] = []
        self._walk(space.network, "", -1)
        self.sizes = np.array([len(choice.options) for choice in self.choices], np.int64)
        self._steps = _steps(self.choices)
        self._chains = [[self._chain(place) for place in places] for places in self._asked_at]
        self.coordinates = np.repeat(np.arange(len(self.choices)), [_width(choice) for choice in self.choices])

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Draw `(n, d)` rows, each reached decision uniformly."""
        return self.close(self._full(n, rng))

    def mutate(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Change one reached decision of each of `(n, d)` rows; draw those that are newly reached.

        Every other change of a number is a step to one that is next to it, as in `Space.mutate`. A row without
        decisions stays as it is.
        """
        full = np.where(rows >= 0, rows, self._full(len(rows), rng))
        reached = rows >= 0
        which = np.argmax(np.where(reached, rng.random(rows.shape), -1.0), axis=1) if rows.shape[1] else None
        if which is not None:
            at = np.arange(len(rows)), which
            sizes = self.sizes[which]
            changed = (full[at] + 1 + np.floor(rng.random(len(rows)) * (sizes - 1)).astype(np.int16)) % sizes
            steps = self._steps[which, full[at], rng.integers(2, size=len(rows))]
            changed = np.where((steps >= 0) & (rng.random(len(rows)) < 0.5), steps, changed)
            full[at] = np.where(reached[at], changed, full[at])
        return self.close(full)

    def crossover(self, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
        """Inherit each decision from one of two parents, pairs of `(n, d)` rows; draw those that neither has."""
        theirs = (second >= 0) & ((first < 0) | (rng.random(first.shape) < 0.5))
        inherited = np.where(theirs, second, first)
        return self.close(np.where(inherited >= 0, inherited, self._full(len(first), rng)))

    def close(self, full: Rows) -> Rows:
        """Set to -1 what is not reached in `(n, d)` rows that have a label everywhere."""
        reached = np.ones((len(self._places) + 1, len(full)), np.bool_)  # the last one is the description itself
        for place, (above, column, labels) in enumerate(self._places):
            reached[place] = reached[above] & labels[full[:, column]]
        asked = [reached[places].any(axis=0) for places in self._asked_at]
        return np.where(np.stack(asked, axis=1), full, -1).astype(np.int16) if asked else full

    def reached(self, column: int, rows: Rows) -> NDArray[np.bool_]:
        """Which of `(n, d)` rows `(n,)` ask a column, by the labels that they have so far.

        What is still -1 reaches nothing; rows that are not complete may come to ask a column later.
        """
        asked = np.zeros(len(rows), np.bool_)
        for chain in self._chains[column]:
            there = np.ones(len(rows), np.bool_)
            for above, labels in chain:
                there &= labels[rows[:, above]]
            asked |= there
        return asked

    def conditions(self, column: int) -> Sequence[tuple[int, NDArray[np.bool_]]]:
        """The columns that decide whether one is asked, and with which of their labels; the last place is false.

        Raises:
            SpaceError: If a tied choice stands in several places, so that no such list says it.
        """
        if len(self._chains[column]) > 1:
            raise SpaceError(f"{self.paths[column]}: is reached in several ways; expected one.")
        return self._chains[column][0]

    def turns(self, rows: Rows) -> NDArray[np.int64]:
        """When `(n, d)` complete rows decide each column `(n, d)`: smaller is earlier, -1 for what is not reached.

        It is the order of the columns, save for a tied choice that only a later column makes the row ask.
        """
        turns = np.full(rows.shape, -1, np.int64)
        known = np.full_like(rows, -1)
        for first in range(0, rows.shape[1] ** 2, max(1, rows.shape[1])):  # each time at least one more is decided
            if np.array_equal(known, rows):
                break
            for j in range(rows.shape[1]):
                now = self.reached(j, known) & (turns[:, j] < 0)
                turns[now, j] = first + j
                known[now, j] = rows[now, j]
        return turns

    def row(self, decisions: Mapping[str, Label]) -> Rows:
        """The row `(d,)` of an architecture's decisions.

        Raises:
            SpaceError: If a label is not of its choice.
            KeyError: If a path is not of the space.
        """
        row = np.full(len(self.paths), -1, np.int16)
        for path, label in decisions.items():
            column = self._column[path]
            row[column] = self.choices[column].index(label, path)
        return row

    def rows(self, decisions: Iterable[Mapping[str, Label]]) -> Rows:
        """The rows `(n, d)` of several architectures' decisions, with the errors of `row`."""
        found = [self.row(each) for each in decisions]
        return np.array(found, np.int16).reshape(len(found), len(self.paths))

    def decisions(self, row: Rows) -> dict[str, Label]:
        """The decisions that a row `(d,)` stands for."""
        return {self.paths[j]: self.choices[j].labels[int(row[j])] for j in np.flatnonzero(row >= 0)}

    def encode(self, rows: Rows) -> NDArray[np.float32]:
        """The values `(n, size)` that `Space.encode` gives for each of `(n, d)` rows."""
        parts = [table[rows[:, j]] for j, table in enumerate(self._tables)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0), np.float32)

    def points(self, rows: Rows) -> NDArray[np.float64]:
        """Points `(n, p)` whose squared distance is the number of decisions that differ between two of `(n, d)` rows.

        Numbers differ by their distance in rank, at most 1; what is reached in one alone differs by a part of 1.
        """
        parts = [points[rows[:, j]] for j, points in enumerate(self._points)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0))

    @cached_property
    def _tables(self) -> Sequence[NDArray[np.float32]]:
        return [_table(choice) for choice in self.choices]

    @cached_property
    def _points(self) -> Sequence[NDArray[np.float64]]:
        return [_point(choice) for choice in self.choices]

    def _full(self, n: int, rng: np.random.Generator) -> Rows:
        return np.floor(rng.random((n, len(self.sizes))) * self.sizes).astype(np.int16)

    def _walk(self, node: Any, path: str, place: int) -> None:
        choice = node.length if isinstance(node, Repeat) else node
        column = self._ask(choice, path, place) if isinstance(choice, Choice) and len(choice.options) > 1 else None
        if isinstance(node, Repeat):
            lengths = np.array(node.length.options)
            below = [(str(i), node.item, lengths > i) for i in range(node.high)]
        elif isinstance(node, Choice):
            labels = np.arange(len(node.options))
            options = () if node.is_integer else enumerate(zip(node.labels, node.options, strict=True))
            below = [(str(label), option, labels == i) for i, (label, option) in options if is_nested(option)]
        else:
            below = [(part, child, np.ones(1, np.bool_)) for part, child in children(node)]
        for part, child, labels in below:
            if is_nested(child):
                self._walk(child, join(path, part), self._below(place, column, labels))

    def _ask(self, choice: Choice, path: str, place: int) -> int:
        name = (path or "network") if choice.tie is None else f"tie:{choice.tie}"
        if len(choice.options) > _MOST_OPTIONS:
            raise SpaceError(
                f"{name}: {len(choice.options):,} options; expected at most {_MOST_OPTIONS:,} by this sampler.",
                "Give the number larger steps: integer(low, high, step).",
            )
        if name not in self._column:
            self._column[name] = len(self.paths)
            self.paths.append(name)
            self.choices.append(choice)
            self._asked_at.append([])
        self._asked_at[self._column[name]].append(place)
        return self._column[name]

    def _chain(self, place: int) -> list[tuple[int, NDArray[np.bool_]]]:
        """The columns above a place, and which of their labels lead to it; false in the last place, for -1."""
        chain: list[tuple[int, NDArray[np.bool_]]] = []
        while place >= 0:
            place, column, labels = self._places[place]
            chain.append((column, np.append(labels, False)))
        return chain[::-1]

    def _below(self, place: int, column: int | None, labels: NDArray[np.bool_]) -> int:
        """The place that is reached from another with one of some labels."""
        if column is None or labels.all():
            return place
        self._places.append((place, column, labels))
        return len(self._places) - 1


def apart(row: Rows, rows: Rows) -> NDArray[np.int64]:
    """In how many decisions that both reach each of `(n, d)` rows differs from a row `(d,)`."""
    return ((rows != row) & (rows >= 0) & (row >= 0)).sum(axis=1)


def _steps(choices: Sequence[Choice]) -> Rows:
    """`(d, k, 2)` the options next to each of at most `k`, one of them twice at an end; -1 where there is none."""
    most = max((len(choice.options) for choice in choices), default=0)
    steps = np.full((len(choices), most, 2), -1, np.int16)
    for column, choice in enumerate(choices):
        for option in range(len(choice.options)):
            if beside := choice.beside(option):
                steps[column, option] = beside[0], beside[-1]
    return steps


def _table(choice: Choice) -> NDArray[np.float32]:
    """What each label of a choice is in an encoding, and zeros in the last row for what is not reached."""
    numbers = label_ranks(choice.labels)
    values = np.array(list(numbers), np.float32)[:, None] if numbers else np.eye(len(choice.labels), dtype=np.float32)
    return np.concatenate([values, np.zeros((1, values.shape[1]), np.float32)])


def _width(choice: Choice) -> int:
    """How many coordinates `_point` gives."""
    return len(choice.labels) - bool(label_ranks(choice.labels))


def _point(choice: Choice) -> NDArray[np.float64]:
    """Where each label of a choice lies, and in the last row what is not reached."""
    size = len(choice.labels)
    numbers = label_ranks(choice.labels)
    if not numbers:
        return np.concatenate([np.eye(size), np.zeros((1, size))]) / np.sqrt(2)
    steps = (np.arange(size - 1) + 0.5) / (size - 1)
    passed = np.array(list(numbers))[:, None] > steps
    return np.concatenate([passed, np.full((1, size - 1), 0.5)]) / np.sqrt(size - 1)
