"""The journal waits for the disk when a trial is told, and is a journal of Optuna's."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.runs.journal import JournalFile


def test_the_disk_is_waited_for_when_a_trial_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    study = optuna.create_study(storage=JournalStorage(JournalFile(tmp_path / "journal")), directions=["minimize"])
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    trial = study.ask()
    trial.suggest_int("width", 1, 4)
    trial.set_user_attr("metrics", {"size": 1})
    assert synced == []
    study.tell(trial, 1.0)
    assert synced == [(tmp_path / "journal").stat().st_size]
    study.set_user_attr("again", 1)
    assert len(synced) == 2


def test_optuna_reads_what_was_written_and_the_other_way_round(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    ours = optuna.create_study(storage=JournalStorage(JournalFile(file)), study_name="s")
    theirs = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(file))), study_name="s")
    for study in (ours, theirs):
        study.tell(study.ask({"x": optuna.distributions.IntDistribution(1, 9)}), 1.0)
    assert [t.params for t in ours.trials] == [t.params for t in theirs.trials]
    assert len(ours.trials) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
