"""What a search is asked, before anything is evaluated; the whole of it is in `test_pipeline.py`."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from nas.errors import SamplerError, TrainingError
from nas.search import search


def test_a_screen_needs_a_sampler_that_can_be_asked_more_than_once(tmp_path: Path, space_file: Path) -> None:
    with pytest.raises(SamplerError, match="screen synflow: cannot be put before a RandomSampler; expected a sampler"):
        search(space_file, tmp_path / "run", sampler=optuna.samplers.RandomSampler(), screen="synflow")
    with pytest.raises(TrainingError, match="unknown proxy 'sinflow'.*Did you mean 'synflow'"):
        search(space_file, tmp_path / "run", screen="sinflow")
    assert not (tmp_path / "run" / "run.json").exists()
