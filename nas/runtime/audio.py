"""Sound: recordings, and the spectrograms that a model sees of them."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import PredictError, told
from .files import read_bytes


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
        PredictError: If it is no PCM WAV file of 8 or 16 bits, holds no samples, or too many.
    """
    samples, given = _pcm(path)
    most = limits.MAX_ELEMENTS
    if len(samples) * rate / given > most:
        raise PredictError(f"{path}: lasts {len(samples) / given:.0f} s; expected at most {most / rate:.0f} s.")
    return resample(samples, given, rate)


def read_recording(path: Path, steps: Mapping[str, Any]) -> tuple[NDArray[np.uint8], Sequence[str]]:
    """The spectrogram of a file, as `log_mel` makes it, and what must be said of it: that it was cut."""
    samples, given = _pcm(path)
    window_s = ((steps["frames"] - 1) * steps["hop"] + steps["n_fft"]) / steps["rate"]
    lasts_s = len(samples) / given
    enough = math.ceil((window_s + 1) * given)  # more than smoothing looks at
    coded = log_mel(resample(samples[:enough], given, steps["rate"]), steps)
    is_cut = lasts_s > window_s + 0.5 / given
    return coded, [f"{path} lasts {lasts_s:.2f} s: the first {window_s:.2f} s are used."] if is_cut else []


def _pcm(path: Path) -> tuple[NDArray[np.float32], int]:
    """Mono samples between -1 and 1 as they are in a file, and their rate."""
    content = read_bytes(path, limits.MAX_BYTES // 4)
    with told(f"{path}: is not a PCM WAV file"), wave.open(io.BytesIO(content), "rb") as file:
        width, channels, given = file.getsampwidth(), file.getnchannels(), file.getframerate()
        expected, content = file.getnframes(), file.readframes(file.getnframes())
    frames = len(content) // (width * channels)
    if not frames:
        raise PredictError(f"{path}: holds no samples.")
    if frames < expected:
        raise PredictError(f"{path}: says that it holds {expected} samples, but ends after {frames}.")
    if not 100 <= given <= 768_000:
        raise PredictError(f"{path}: has {given} samples a second; expected 100 to 768000.")
    if width == 2:
        samples = np.frombuffer(content, dtype="<i2").astype(np.float32) / 32768
    elif width == 1:
        samples = (np.frombuffer(content, dtype=np.uint8).astype(np.float32) - 128) / 128
    else:
        raise PredictError(f"{path}: has {8 * width} bits a sample; expected 8 or 16.")
    return samples.reshape(-1, channels).mean(1), given


def resample(samples: NDArray[np.float32], given: int, rate: int) -> NDArray[np.float32]:
    """Bring samples from one rate to another by linear interpolation, averaged first where the rate falls."""
    if given == rate:
        return samples
    smooth = max(1, round(given / rate))
    if smooth > 1:
        samples = np.convolve(samples, np.full(smooth, 1 / smooth), mode="same").astype(np.float32)
    times = np.arange(int(len(samples) * rate / given)) * (given / rate)
    return np.interp(times, np.arange(len(samples)), samples).astype(np.float32)


def _mel_filters(rate: int, n_fft: int, mels: int) -> NDArray[np.float64]:
    """Triangles evenly spaced on the mel scale (HTK), `(mels, n_fft / 2 + 1)`."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))
