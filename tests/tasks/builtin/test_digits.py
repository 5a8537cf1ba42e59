from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from nas.errors import TaskError
from nas.runtime import PredictError, prepare
from nas.tasks import Classification, Task
from nas.tasks.builtin.digits import VARIANTS, Difficulty, load_digits, make_digits

SMALL = Difficulty(train=100, valid=50, test=50)
CLEAN = Difficulty(train=300, valid=150, test=150, hidden=0, grain=0)


def test_sizes_shapes_and_types(digits: Task) -> None:
    assert [len(split) for split in (digits.train, digits.valid, digits.test)] == [3500, 750, 750]
    for split in (digits.train, digits.valid, digits.test):
        assert split.inputs["image"].shape == (len(split), 1, 28, 28)
        assert split.inputs["audio"].shape == (len(split), 1, 40, 62)
        assert {array.dtype for array in split.inputs.values()} == {np.dtype(np.uint8)}
        assert split.targets.dtype == np.int64
        assert (np.bincount(split.targets) == len(split) // 10).all()
    assert digits.output == Classification(tuple("0123456789"))
    assert "MNIST" in digits.attribution


def test_statistics_are_those_of_the_training_split(digits: Task) -> None:
    for name, modality in digits.modalities.items():
        values = digits.train.inputs[name]
        assert modality.mean == pytest.approx(values.mean())
        assert modality.std == pytest.approx(values.std())


def test_log_mel_fills_its_scale_without_clipping_much(digits: Task) -> None:
    audio = digits.train.inputs["audio"]
    assert ((audio == 0) | (audio == 255)).mean() < 0.01
    assert np.ptp(audio) > 150


@pytest.mark.parametrize("name", ["image", "audio"])
def test_its_samples_are_prepared_as_they_are_and_other_ranges_are_refused(digits: Task, name: str) -> None:
    modality, values = digits.modalities[name], digits.valid.inputs[name]
    described = {"kind": modality.kind, "shape": modality.shape, "preprocessing": modality.preprocessing}
    np.testing.assert_array_equal(prepare(values, described), values)
    with pytest.raises(PredictError, match="expected 0 to 255"):
        prepare(values / 255 * 80 - 60.0 if name == "audio" else values + 1.0, described)
    if name == "image":
        with pytest.raises(PredictError, match="multiply it by 255"):
            prepare(values / 255, described)


def test_making_twice_in_a_process_is_the_same() -> None:
    first, second = make_digits(SMALL), make_digits(SMALL)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_another_process_makes_the_same(small: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nas.tasks.builtin.digits import *; "
        f"print(load_digits({SMALL!r}, Path(sys.argv[1])).fingerprint)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "other")], check=True, capture_output=True, text=True
    )
    assert other.stdout.strip() == load_digits(SMALL, small.parent).fingerprint


def test_another_seed_is_another_task() -> None:
    first, second = make_digits(SMALL), make_digits(Difficulty(train=100, valid=50, test=50, seed=1))
    assert (first["image_train"] != second["image_train"]).any()
    assert (first["audio_train"] != second["audio_train"]).any()


def test_no_picture_is_in_two_splits() -> None:
    arrays = make_digits(CLEAN)
    seen = {split: {picture.tobytes() for picture in arrays[f"image_{split}"]} for split in VARIANTS}
    for one, other in combinations(VARIANTS, 2):
        assert not seen[one] & seen[other], f"{one} and {other} share a picture"


def test_no_voice_is_in_two_splits() -> None:
    for one, other in combinations(VARIANTS, 2):
        assert not set(VARIANTS[one]) & set(VARIANTS[other])


def test_cache_answers_without_making_again(small: Path) -> None:
    before = small.stat().st_mtime_ns
    load_digits(SMALL, small.parent)
    assert small.stat().st_mtime_ns == before
    assert [file.name for file in small.parent.iterdir()] == [small.name], "a temporary file is left"


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "flipped"])
def test_damaged_cache_is_made_again(small: Path, damage: str) -> None:
    content, fingerprint = small.read_bytes(), load_digits(SMALL, small.parent).fingerprint
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    damaged = {"empty": b"", "garbage": b"no archive", "cut": content[: len(content) // 2], "flipped": bytes(flipped)}
    small.write_bytes(damaged[damage])
    assert load_digits(SMALL, small.parent).fingerprint == fingerprint
    with np.load(small, allow_pickle=False) as arrays:
        assert len(arrays.files) == 9


@pytest.mark.parametrize("package", ["mlxtend", "espeakng_loader"])
def test_a_missing_package_is_named_with_what_installs_it_and_a_cached_task_needs_none(
    package: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        TaskError, match=rf"package {package.replace('_', '-')} is missing.\npip install 'nas\[digits\]'"
    ):
        load_digits(SMALL, tmp_path / "new")
    assert len(load_digits(SMALL, small.parent).train) == 100


def test_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "there"))
    load_digits(SMALL)
    assert len(list((tmp_path / "there").glob("digits-*.npz"))) == 1


def test_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TaskError, match=r"task digits: cannot be kept in .*\n.*NAS_CACHE"):
        load_digits(SMALL, tmp_path / "file")
