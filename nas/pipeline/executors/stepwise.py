"""Work that pauses after epochs: Ray Tune takes it step by step, and between two steps somebody may end it.

The work runs on a thread of its own and waits inside its report for the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from nas.evaluation.context import Report


@dataclass(frozen=True)
class Heard:
    """What a candidate told of an epoch, counted from 0, while it goes on."""

    epoch: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class _Ended:
    result: Any = None
    error: BaseException | None = None


class Stepwise:
    """A candidate's work in steps.

    Args:
        work: Given a report; its result is the last step's.
        rungs: Epochs after which it pauses; None for all.
    """

    def __init__(self, work: Callable[[Report], Any], rungs: Collection[int] | None) -> None:
        self._work, self._rungs = work, rungs
        self._told: SimpleQueue[Heard | _Ended] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def advance(self) -> Any:
        """Begin, or go on, until the next rung or the end.

        Returns:
            `Heard` at a rung, the work's result at the end.

        Raises:
            BaseException: What the work raised.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._answers.put(True)
        told = self._told.get()
        if isinstance(told, Heard):
            return told
        if told.error is not None:
            raise told.error
        return told.result

    def end(self) -> None:
        """Tell work that waits at a rung to end, and wait until it has; a result that it still gives is dropped."""
        if self._thread is not None:
            self._answers.put(False)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._told.put(_Ended(self._work(self._report)))
        except BaseException as error:  # noqa: BLE001 - raised again where the step was asked for
            self._told.put(_Ended(error=error))

    def _report(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        if self._rungs is not None and epoch not in self._rungs:
            return True
        self._told.put(Heard(epoch, metrics))
        return self._answers.get()
