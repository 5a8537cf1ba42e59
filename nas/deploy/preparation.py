"""What preparing a sample costs beside inference: reading its file and bringing it to the model's input."""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.runtime import prepare

REPEATS = 30
"""Times that the preparation of one sample is timed, after once that is not."""


def time_preparation(modalities: Mapping[str, Mapping[str, Any]], files: Mapping[str, Path]) -> float:
    """Time how long the files of one sample take to become the model's inputs, with the bundle's own `prepare`.

    Args:
        modalities: As `bundle.json` describes them.
        files: Modality → the file of one sample.

    Returns:
        The median of some repetitions, in milliseconds; the files are in the system's cache by then.

    Raises:
        PredictError: If a file cannot be prepared.
    """
    times: list[float] = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        for name, file in files.items():
            prepare(file, modalities[name], name)
        times.append(time.perf_counter() - begun)
    return float(np.median(times[1:])) * 1e3


def sample_file(modality: Mapping[str, Any], sample: NDArray[Any], stem: Path) -> Path:
    """Write one sample as a user would bring it: a row of a table as JSON, sound that is transformed as WAV.

    Values are those that take as long as any: a column's own fill or first level, silence. What else there is lies in
    `.npy`.

    Args:
        modality: As `bundle.json` describes it.
        sample: `(*shape)`; what is written of modalities that are neither.
        stem: The file without its ending.
    """
    steps = modality["preprocessing"]
    if "columns" in steps:
        row = {each["name"]: each["levels"][0] if "levels" in each else each["fill"] for each in steps["columns"]}
        file = stem.with_name(f"{stem.name}.json")
        file.write_text(json.dumps(row), encoding="utf-8")
        return file
    if "n_fft" in steps and ".wav" in steps["files"]:
        return _write_silence(steps["rate"], (steps["frames"] - 1) * steps["hop"] + steps["n_fft"], stem)
    file = stem.with_name(f"{stem.name}.npy")
    np.save(file, sample)
    return file


def _write_silence(rate: int, length: int, stem: Path) -> Path:
    file = stem.with_name(f"{stem.name}.wav")
    with wave.open(str(file), "wb") as handle:
        handle.setnchannels(1)
        handle.setsampwidth(2)
        handle.setframerate(rate)
        handle.writeframes(bytes(2 * length))
    return file
