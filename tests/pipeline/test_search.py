"""What a search is asked, before anything is evaluated; the whole of it is in `test_pipeline.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from nas import sampler
from nas.blocks import count_params
from nas.errors import SamplerError, TrainingError
from nas.evaluation.build import build
from nas.pipeline.executors.simulated import memory_ledger
from nas.pipeline.search import _sampler, search
from nas.samplers import SAMPLERS
from nas.space.source import load_space
from nas.tasks import load_table

OBJECTIVES = ("accuracy", "latency_ms")


def test_a_screen_needs_a_sampler_that_can_be_asked_more_than_once(tmp_path: Path, space_file: Path) -> None:
    with pytest.raises(SamplerError, match="screen synflow: cannot be put before a RandomSampler; expected a sampler"):
        search(space_file, tmp_path / "run", sampler=optuna.samplers.RandomSampler(), screen="synflow")
    with pytest.raises(TrainingError, match="unknown proxy 'sinflow'.*Did you mean 'synflow'"):
        search(space_file, tmp_path / "run", screen="sinflow")
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("name", [*SAMPLERS, "tpe", "optuna:NSGAIISampler"])
@pytest.mark.parametrize("is_object", [False, True])
def test_what_breaks_a_limit_that_can_be_counted_is_proposed_by_no_sampler(
    space_file: Path, table: Path, name: str, is_object: bool
) -> None:
    space, task = load_space(space_file), load_table(table, "kind")
    limits = ("params<=2000", "latency_ms<=1e-9")
    run = memory_ledger(space, OBJECTIVES, sampler("random", space), limits)
    run.record = replace(run.record, sampler=name)
    given: Any = sampler(name, space) if is_object else name
    run.study.sampler = _sampler(given, space, run, task)
    for i in range(16):
        trial = run.study.ask()
        network = space.ask(trial).network
        assert count_params(build(network, task, 0)) <= 2000
        run.study.tell(trial, (i / 16, float(i)))


def test_where_no_limit_can_be_counted_nothing_is(space_file: Path, table: Path, monkeypatch: Any) -> None:
    space, task = load_space(space_file), load_table(table, "kind")
    monkeypatch.setattr("nas.pipeline.search.counted", lambda *_: pytest.fail("counted"))
    run = memory_ledger(space, OBJECTIVES, sampler("random", space), ("latency_ms<=1",))
    run.record = replace(run.record, sampler="nsga2")
    assert type(_sampler("nsga2", space, run, task)) is SAMPLERS["nsga2"]
    own = sampler("local", space)
    assert _sampler(own, space, run, task) is own
    theirs = optuna.samplers.RandomSampler()
    assert _sampler(theirs, space, run, task) is theirs
