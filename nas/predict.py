"""Run a bundle: this one file, numpy and onnxruntime are all that a device needs.

    python predict.py image=picture.npy audio=word.wav
    python predict.py sample.npz

It is copied into every bundle, and training prepares its data with the same functions.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import wave
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>")
) | frozenset(("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
"""What pandas takes for a missing value in a CSV file, and so what training took for one."""


class PredictError(ValueError):
    """An input or a bundle that cannot be used, said so that it can be mended."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        labels: What each output means.
        modalities: Input name → its kind, shape and preprocessing.
        session: The ONNX Runtime session.
    """

    labels: Sequence[str]
    modalities: Mapping[str, Mapping[str, Any]]
    session: Any


def load_bundle(folder: Path) -> Bundle:
    """Load the bundle in a folder.

    Raises:
        PredictError: If a file of it is missing or damaged.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as raised  # pyright: ignore[reportAttributeAccessIssue]

    try:
        values = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        labels, modalities = values["labels"], values["modalities"]
    except FileNotFoundError:
        raise PredictError(f"{folder}: is not a bundle (bundle.json is missing).") from None
    except (ValueError, KeyError, TypeError) as error:
        raise PredictError(f"{folder / 'bundle.json'}: is damaged: {error}") from None
    if not (folder / "model.onnx").exists():
        raise PredictError(f"{folder}: is incomplete (model.onnx is missing).")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_free_dimension_override_by_name("batch", 1)  # as it was measured: shapes known, so less to compute
    try:
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    except (raised.Fail, raised.InvalidGraph, raised.InvalidProtobuf, raised.NotImplemented) as error:
        raise PredictError(f"{folder / 'model.onnx'}: cannot be loaded: {error}") from None
    return Bundle(labels, modalities, session)


def predict(bundle: Bundle, inputs: Mapping[str, Array | Path]) -> Array:
    """Compute class probabilities.

    Args:
        bundle: From `load_bundle`.
        inputs: For each modality of the bundle an array `(*shape)` or `(n, *shape)`, or a file that holds one; those
            that the bundle calls optional may be missing, but not all.

    Returns:
        `(n, classes)`.

    Raises:
        PredictError: If a modality is missing, unknown, or does not have its shape.
    """
    optional = {name for name, modality in bundle.modalities.items() if modality.get("optional")}
    if not inputs or not set(bundle.modalities) - optional <= set(inputs) <= set(bundle.modalities):
        may = f", at least one; {sorted(optional)} may be missing" if optional else ""
        raise PredictError(f"got inputs {sorted(inputs)}; expected {sorted(bundle.modalities)}{may}.")
    feeds = {name: prepare(inputs[name], bundle.modalities[name], name) for name in bundle.modalities if name in inputs}
    if len({len(array) for array in feeds.values()}) > 1:
        raise PredictError(f"the inputs differ in number: { {n: len(a) for n, a in feeds.items()} }.")
    count = len(next(iter(feeds.values())))
    for name in set(bundle.modalities) - set(feeds):
        modality = bundle.modalities[name]
        feeds[name] = np.full((count, *modality["shape"]), 0 if modality["tokens"] else np.nan, np.float32)
    logits = [bundle.session.run(None, {n: v[i : i + 1] for n, v in feeds.items()})[0] for i in range(count)]
    return softmax(np.concatenate(logits))


def prepare(value: Array | str | Path, modality: Mapping[str, Any], name: str = "input") -> NDArray[np.float32]:
    """Bring an array or a file to the model's input `(n, *shape)`.

    Raises:
        PredictError: If it cannot be read, has another shape, is empty, or is not made of finite numbers; where the
            length is free, NaN may stand for steps that are not there.
    """
    shape, steps, is_free = tuple(modality["shape"]), modality["preprocessing"], bool(modality.get("free"))
    array = _read(Path(value), steps, name) if isinstance(value, str | Path) else value
    if array.dtype.kind not in "biuf":
        raise PredictError(f"{name}: holds {array.dtype}; expected numbers.")
    if is_free and array.ndim:
        shape = (*shape[:-1], array.shape[-1])
    if array.shape == shape[1:] and shape[0] == 1:
        array = array[None]
    if array.shape == shape or (array.shape[1:] == shape[1:] and array.ndim == len(shape) > 1 and shape[0] == 1):
        array = array[None] if array.shape == shape else array[:, None]
    if array.shape[1:] != shape:
        raise PredictError(f"{name}: has shape {array.shape}; expected {shape}, or a batch of such.")
    if not array.size:
        raise PredictError(f"{name}: is empty; expected at least one sample of shape {shape}.")
    if is_free and _has_gap(array, bool(modality.get("tokens"))):
        raise PredictError(f"{name}: steps that are not there come before others; expected them at the end.")
    if not np.isfinite(np.where(np.isnan(array), 0, array) if is_free else array).all():
        raise PredictError(f"{name}: holds NaN or infinite values; expected finite numbers.")
    return np.ascontiguousarray(array, dtype=np.float32)


def log_mel(samples: NDArray[np.floating[Any]], steps: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Turn a waveform into a coded log-mel spectrogram: decibels, 8 bits.

    Args:
        samples: `(t,)` at `steps["rate"]`, between -1 and 1; cut or padded with zeros to the window.
        steps: `rate`, `n_fft`, `hop`, `mels`, `frames`, `db_floor`, `db_range`.

    Returns:
        `(mels, frames)`; dB = value / 255 * db_range + db_floor.
    """
    n_fft, hop, frames = steps["n_fft"], steps["hop"], steps["frames"]
    length = (frames - 1) * hop + n_fft
    padded = np.zeros(length, dtype=np.float32)
    padded[: min(length, len(samples))] = samples[:length]
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = np.abs(np.fft.rfft(windows * np.hanning(n_fft + 1)[:-1], axis=1)) ** 2
    mel = _mel_filters(steps["rate"], n_fft, steps["mels"]) @ power.T
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    coded = (decibels - steps["db_floor"]) / steps["db_range"] * 255
    return np.clip(np.rint(coded), 0, 255).astype(np.uint8)


def read_wav(path: Path, rate: int) -> NDArray[np.float32]:
    """Read a PCM file as mono samples between -1 and 1 at a sampling rate.

    Raises:
        PredictError: If it is no PCM WAV file of 8 or 16 bits, or holds no samples.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, given = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise PredictError(f"{path}: is not a PCM WAV file: {str(error) or 'it ends too early'}") from None
    if len(content) < width * channels:
        raise PredictError(f"{path}: holds no samples.")
    if width == 2:
        samples = np.frombuffer(content, dtype="<i2").astype(np.float32) / 32768
    elif width == 1:
        samples = (np.frombuffer(content, dtype=np.uint8).astype(np.float32) - 128) / 128
    else:
        raise PredictError(f"{path}: has {8 * width} bits a sample; expected 8 or 16.")
    return resample(samples.reshape(-1, channels).mean(1), given, rate)


def resample(samples: NDArray[np.float32], given: int, rate: int) -> NDArray[np.float32]:
    """Bring samples from one rate to another by linear interpolation, averaged first where the rate falls."""
    if given == rate:
        return samples
    smooth = max(1, round(given / rate))
    if smooth > 1:
        samples = np.convolve(samples, np.full(smooth, 1 / smooth), mode="same").astype(np.float32)
    times = np.arange(int(len(samples) * rate / given)) * (given / rate)
    return np.interp(times, np.arange(len(samples)), samples).astype(np.float32)


def encode_row(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Turn a table's row into the model's vector.

    Args:
        row: Column → value; empty or missing values count as unknown.
        columns: For each column `name` and either `fill` (a number) or `levels` (a list of texts).

    Raises:
        PredictError: If a number cannot be read, or no column is there at all.
    """
    if not any(column["name"] in row for column in columns):
        expected = ", ".join(column["name"] for column in columns)
        raise PredictError(f"a row has columns {', '.join(map(str, row)) or 'none'}; expected {expected}.")
    vector: list[float] = []
    for column in columns:
        value = row.get(column["name"], "")
        empty = value is None or value != value or value in MISSING
        if "levels" in column:
            vector += [float(not empty and str(value) == level) for level in column["levels"]]
            continue
        try:
            vector.append(column["fill"] if empty else float(str(value)))
        except (TypeError, ValueError):
            raise PredictError(f"column {column['name']!r}: {value!r} is not a number.") from None
    return np.array(vector, dtype=np.float32)


def softmax(logits: Array) -> Array:
    """Turn logits `(n, classes)` into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict from the command line.

    Returns:
        The exit code: 0, or 2 for an input that cannot be used.
    """
    parser = argparse.ArgumentParser(description="Predict with the model in this folder.")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="NAME=FILE for each input, or one .npz file")
    parser.add_argument("--bundle", type=Path, default=Path(__file__).resolve().parent, help="the bundle's folder")
    parser.add_argument("--top", type=int, default=3, help="labels to print")
    parser.add_argument("--json", action="store_true", help="print all probabilities as JSON")
    options = parser.parse_args(arguments)
    try:
        bundle = load_bundle(options.bundle)
        probabilities = predict(bundle, _named(options.inputs, list(bundle.modalities)))
    except (PredictError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for row in probabilities:
        ranked = sorted(zip(bundle.labels, map(float, row), strict=True), key=lambda pair: -pair[1])
        shown = (
            json.dumps(dict(ranked)) if options.json else "  ".join(f"{n} {p:.1%}" for n, p in ranked[: options.top])
        )
        sys.stdout.write(shown + "\n")
    return 0


def _named(texts: Sequence[str], modalities: Sequence[str]) -> dict[str, Array | Path]:
    if len(texts) == 1 and texts[0].endswith(".npz"):
        try:
            with Path(texts[0]).open("rb") as content, np.load(content, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files if name in modalities}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise PredictError(f"{texts[0]}: cannot be read: {error}") from None
    if len(texts) == 1 and len(modalities) == 1 and "=" not in texts[0]:
        return {modalities[0]: Path(texts[0])}
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise PredictError(f"input {name!r}: expected NAME=FILE with NAME one of {', '.join(modalities)}.")
    return {name: Path(file) for name, _, file in pairs}


def _has_gap(array: Array, is_text: bool) -> bool:
    """Whether a step that is not there comes before one that is: `(n, ..., t)`."""
    absent = np.equal(array, 0) if is_text else np.isnan(array)
    missing = np.logical_and.reduce(absent.reshape(len(array), -1, array.shape[-1]), axis=1)
    return bool((missing[:, :-1] & ~missing[:, 1:]).any())


def _read(path: Path, steps: Mapping[str, Any], name: str) -> Array:
    if not path.exists():
        raise PredictError(f"{name}: {path} does not exist.")
    if path.suffix == ".npy":
        return _read_npy(path)
    if path.suffix == ".wav" and "n_fft" in steps:
        return log_mel(read_wav(path, steps["rate"]), steps)
    if path.suffix == ".pgm":
        return _read_pgm(path)
    if path.suffix in (".csv", ".json") and "columns" in steps:
        return np.stack([encode_row(row, steps["columns"]) for row in _rows(path)])
    raise PredictError(f"{name}: {path.name} cannot be read; expected {', '.join(steps['files'])}.")


def _read_npy(path: Path) -> Array:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise PredictError(f"{path}: is not a .npy file of numbers: {error}") from None


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.suffix == ".json":
            values = json.loads(path.read_text(encoding="utf-8"))
            rows: list[Mapping[str, Any]] = values if isinstance(values, list) else [values]
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = [*csv.DictReader(file)]
    except (ValueError, csv.Error) as error:
        raise PredictError(f"{path}: cannot be read: {error}") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise PredictError(f"{path}: holds no rows; expected a header and rows, or JSON objects of column and value.")
    return rows


def _read_pgm(path: Path) -> NDArray[np.uint8]:
    content = path.read_bytes()
    gap = rb"(?:\s|#[^\n]*\n)+"
    header = re.match(rb"P5" + gap + rb"(\d+)" + gap + rb"(\d+)" + gap + rb"255\s", content)
    if header is None:
        raise PredictError(f"{path}: is not a binary PGM picture of 8 bits.")
    width, height, pixels = int(header[1]), int(header[2]), content[header.end() :]
    if len(pixels) != width * height:
        raise PredictError(f"{path}: has {len(pixels)} pixels; expected {width} x {height} as it says.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width)


def _mel_filters(rate: int, n_fft: int, mels: int) -> NDArray[np.float64]:
    """Triangles evenly spaced on the mel scale (HTK), `(mels, n_fft / 2 + 1)`."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


if __name__ == "__main__":
    sys.exit(main())
