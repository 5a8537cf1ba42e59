"""What is known of candidates before they are trained."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from nas import Space, choose
from nas.blocks import MLP, Network
from nas.errors import BlockError, TrainingError
from nas.evaluation.static_metrics import counted
from nas.runs.ledger import Ledger, open_ledger
from nas.space.source import load_space
from nas.tasks import load_table


@dataclass(frozen=True)
class Breaks:
    """An encoder of a user's whose code is wrong."""

    width: Any

    def build(self, given: Any) -> nn.Module:
        raise ZeroDivisionError("by the user's own code")


def test_macs_that_nobody_needs_and_nobody_can_count_keep_no_network_from_being_proposed(
    finished_run: Path, space_file: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, space = open_ledger(finished_run), load_space(space_file)
    architecture = space.sample(random.Random(0))
    run.trials = list  # type: ignore[method-assign]
    exact = counted(run, space, load_table(table, "kind"))(architecture)

    def uncounted(*_: Any) -> int:
        raise NotImplementedError("no such operator on meta")

    monkeypatch.setattr("nas.blocks.counting.Counter.count", uncounted)
    found = counted(run, space, load_table(table, "kind"))(architecture)
    assert found == {"params": exact["params"], "macs": exact["params"]}


def test_a_trial_of_the_ledger_is_not_built_again_and_others_are_counted_as_trials_are(
    finished_run: Path, space_file: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, run = load_space(space_file), open_ledger(finished_run)
    task = load_table(table, "kind")
    trials = [trial for trial in run.trials() if trial.state == "complete"]
    told = {space.architecture(trial.decisions).key: trial for trial in trials}
    static_metrics = counted(run, space, task)
    for trial in trials[:2]:
        with monkeypatch.context() as patched:
            patched.setattr("nas.blocks.counting.Counter.count", lambda *_: pytest.fail("counted again"))
            known = static_metrics(space.architecture(trial.decisions))
        assert known == {name: trial.metrics[name] for name in ("params", "macs")}
    run.trials = list  # type: ignore[method-assign]
    afresh = counted(run, space, task)
    for trial in told.values():
        assert afresh(space.architecture(trial.decisions)) == {n: trial.metrics[n] for n in ("params", "macs")}


def test_what_cannot_be_built_or_counted_is_refused_by_one_kind_of_error(
    finished_run: Path, space_file: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space(Network(encoders={"table": Breaks(choose(1, 2))}, head=MLP()))
    run, theirs = open_ledger(finished_run), load_space(space_file)
    static_metrics = counted(run, theirs, load_table(table, "kind"))
    with pytest.raises(BlockError, match="encoders.table: cannot be built: by the user's own code"):
        static_metrics(space.sample(random.Random(0)))

    def uncounted(*_: Any) -> int:
        raise NotImplementedError("no such operator on meta")

    monkeypatch.setattr("nas.blocks.counting.Counter.count", uncounted)
    run.trials = list  # type: ignore[method-assign]
    for change in ({"objectives": ("accuracy", "macs")}, {"limits": ("macs<=1000000",)}):
        needing = Ledger(run.folder, replace(run.record, **change), run.study)
        needing.trials = list  # type: ignore[method-assign]
        with pytest.raises(BlockError, match="cannot be counted: NotImplementedError: no such operator on meta"):
            counted(needing, theirs, load_table(table, "kind"))(theirs.sample(random.Random(0)))
    with pytest.raises(TrainingError, match="the space resolves to dict; expected a Network"):
        static_metrics(Space({"a": choose(1, 2)}).sample(random.Random(0)))
