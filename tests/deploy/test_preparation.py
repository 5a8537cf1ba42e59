"""What preparing one sample costs, with the files that a user would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.deploy.preparation import sample_file, time_preparation
from nas.runtime import prepare
from nas.tasks.builtin.digits import audio_preprocessing, image_preprocessing

COLUMNS = [{"name": "a, b", "fill": 0.25}, {"name": "c", "levels": ["x", "y\n"]}]
MODALITIES: dict[str, dict[str, Any]] = {
    "table": {"kind": "vector", "shape": [3], "preprocessing": {"files": [".npy", ".json"], "columns": COLUMNS}},
    "image": {"kind": "image", "shape": [1, 28, 28], "preprocessing": image_preprocessing()},
    "audio": {"kind": "audio", "shape": [1, 40, 62], "preprocessing": audio_preprocessing()},
}


@pytest.mark.parametrize(
    ("name", "ending", "least", "most"), [("table", ".json", 0, 1), ("image", ".npy", 7, 7), ("audio", ".wav", 0, 255)]
)
def test_a_sample_is_written_as_users_have_it_and_can_be_prepared(
    tmp_path: Path, name: str, ending: str, least: float, most: float
) -> None:
    shape = MODALITIES[name]["shape"]
    file = sample_file(MODALITIES[name], np.full(shape, 7, np.uint8), tmp_path / "a.b")
    assert file == tmp_path / f"a.b{ending}"
    prepared = prepare(file, MODALITIES[name])
    assert prepared.shape == (1, *shape)
    assert least <= prepared.min() <= prepared.max() <= most


def test_all_files_of_a_sample_are_timed_together(tmp_path: Path) -> None:
    files = {
        name: sample_file(modality, np.zeros(modality["shape"], np.uint8), tmp_path / name)
        for name, modality in MODALITIES.items()
    }
    alone = time_preparation(MODALITIES, {"image": files["image"]})
    assert 0 < alone < time_preparation(MODALITIES, files) < 1000
