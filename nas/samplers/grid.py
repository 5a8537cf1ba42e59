"""Exhaustive search: every architecture once, in the order of the description."""

from __future__ import annotations

import random
from collections.abc import Iterator

import optuna

from nas.errors import ExhaustedError, SamplerError
from nas.samplers.base import Sampler
from nas.samplers.history import History
from nas.space.space import Architecture, Space

_LARGEST = 100_000


class Grid(Sampler):
    """Proposes the architectures of a small space in turn, the last decision changing fastest.

    Args:
        space: The space that it proposes from; of at most 100,000 sets of decisions.
        seed: Makes no difference.

    Raises:
        SamplerError: If the space is too large to be searched exhaustively.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        if space.size > _LARGEST:
            raise SamplerError(
                f"grid: the space has {space.size:,} architectures; expected at most {_LARGEST:,}.",
                "Use random, or leave fewer choices open.",
            )
        super().__init__(space, seed)
        self._study: optuna.Study | None = None
        self._given: list[Architecture] = []
        self._left: Iterator[Architecture] = iter(())

    def propose(self, history: History, rng: random.Random) -> Architecture:
        """Give the first architecture that was not proposed yet.

        Raises:
            ExhaustedError: If none is left.
        """
        if self._study is not history.study:
            self._study, self._given, self._left = history.study, [], self.space.enumerate()
        for architecture in self._given:
            if architecture.key not in history.seen:
                return architecture
        for architecture in self._left:
            self._given.append(architecture)
            if architecture.key not in history.seen:
                return architecture
        raise ExhaustedError(f"the space is exhausted: all of its {len(history.seen)} architectures were proposed.")
