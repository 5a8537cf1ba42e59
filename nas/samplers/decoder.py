"""From rows that a model draws to the architecture that is proposed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from heapq import merge

import numpy as np

from nas.errors import SpaceError
from nas.samplers.base import unseen
from nas.samplers.history import History, Point
from nas.space.indexed import Indexed, Rows
from nas.space.space import Architecture, Space

_TRIES = 4
_KEPT = 20_000


class Closed:
    """Architectures of rows, remembered: a model that has learned draws the same rows again and again.

    Args:
        space: The space.
        codes: Its decisions as columns.
    """

    def __init__(self, space: Space, codes: Indexed) -> None:
        self._space = space
        self._codes = codes
        self._known: dict[bytes, Architecture | None] = {}

    def of(self, row: Rows) -> Architecture | None:
        """The architecture of a row `(d,)`; None where a constraint refuses it."""
        name = row.tobytes()
        if name not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            try:
                self._known[name] = self._space.architecture(self._codes.decisions(row))
            except SpaceError:
                self._known[name] = None
        return self._known[name]

    def proposed(
        self, draw: Callable[[np.random.Generator], Rows], history: History, rng: random.Random
    ) -> Architecture:
        """The first unseen of some draws; else of their mutants; else of the whole space.

        Args:
            draw: Gives `(n, d)` rows, the preferred first.
            history: Of the study.
            rng: Seeds the draws.

        Raises:
            ExhaustedError: If no architecture is left.
        """
        generator = np.random.default_rng(rng.getrandbits(64))
        rows = np.zeros((0, len(self._codes.sizes)), np.int16)
        for attempt in range(2 * _TRIES):
            rows = draw(generator) if attempt < _TRIES else self._codes.mutate(rows, generator)
            for row in rows:
                architecture = self.of(row)
                if architecture is not None and architecture.key not in history.seen:
                    return architecture
        return unseen(self._space, history.seen, rng)


def by_number(told: Sequence[Point], failed: Sequence[Point]) -> Sequence[Point]:
    """All finished trials in the order of their numbers."""
    return list(merge(told, failed, key=lambda point: point.number)) if failed else told
