"""Work that pauses: where, what it is told, and what becomes of what it raises."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from nas.evaluation.context import Report
from nas.pipeline.executors.stepwise import Heard, Stepwise


def train(report: Report) -> str:
    for epoch in range(4):
        if not report(epoch, {"loss": 1.0 / (epoch + 1)}):
            return f"stopped after {epoch}"
    return "done"


@pytest.mark.parametrize(("rungs", "heard"), [(None, [0, 1, 2, 3]), ((1, 3, 9), [1, 3]), ((), [])])
def test_it_pauses_at_the_rungs_alone(rungs: Collection[int] | None, heard: list[int]) -> None:
    work, told = Stepwise(train, rungs), []
    while isinstance(step := work.advance(), Heard):
        told.append(step)
    assert told == [Heard(epoch, {"loss": 1.0 / (epoch + 1)}) for epoch in heard]
    assert step == "done"


def test_work_that_waits_is_ended_in_order() -> None:
    ended: list[str] = []
    work = Stepwise(lambda report: ended.append(train(report)), None)
    work.advance()
    work.advance()
    work.end()
    assert ended == ["stopped after 1"]


def test_what_it_raises_is_raised_in_the_step() -> None:
    def broken(report: Report) -> None:
        report(0, {})
        raise ValueError("it broke")

    work = Stepwise(broken, None)
    assert work.advance() == Heard(0, {})
    with pytest.raises(ValueError, match="it broke"):
        work.advance()
