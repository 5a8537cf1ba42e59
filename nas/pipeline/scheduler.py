"""Who decides after an epoch whether a trial goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol


class Scheduler(Protocol):
    """Decides in the driver, from what trials tell while they train."""

    @property
    def rungs(self) -> Collection[int] | None:
        """Epochs, counted from 0, after which it is asked; None for all. At the others no trial waits for it."""
        ...

    def reason_to_stop(self, number: int, epoch: int, metrics: Mapping[str, float]) -> str:
        """Decide whether a trial goes on.

        Args:
            number: Of the trial.
            epoch: That it has finished, counted from 0.
            metrics: What it told of it.

        Returns:
            Why it is stopped; empty where it goes on.
        """
        ...


class GoOn:
    """Stops nothing and is never asked."""

    rungs: Collection[int] | None = ()

    def reason_to_stop(self, number: int, epoch: int, metrics: Mapping[str, float]) -> str:
        """Let it go on."""
        return ""
