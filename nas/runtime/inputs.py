"""How an array or a file becomes a model's input; training prepares its data with the same functions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import limits
from .arrays import Array, read_array
from .audio import read_recording
from .encode import read_rows
from .errors import PredictError, PredictWarning, told
from .files import read_bytes
from .image import read_pgm
from .table_files import TABLES
from .text import check_tokens


def prepare(value: Array | str | Path, modality: Mapping[str, Any], name: str = "input") -> NDArray[np.float32]:
    """Bring an array or a file to the model's input `(n, *shape)`.

    Raises:
        PredictError: If it cannot be read, has another shape, is empty, lies in another range (pictures in 0–1 where
            grey levels from 0 to 255 are meant), or is not made of finite numbers; where the length is free, NaN may
            stand for steps that are not there. Of a table, if a column is missing.

    Warns:
        PredictWarning: Of what is read otherwise than it may have been meant: values of a table that are no number or
            no level of training, a recording that is longer than the window.
    """
    shape, steps, is_free = tuple(modality["shape"]), modality["preprocessing"], bool(modality.get("free"))
    if isinstance(value, str | Path):
        array, notes = _read(Path(value), steps, name)
        for note in notes:
            warnings.warn(f"{name}: {note}", PredictWarning, stacklevel=2)
    else:
        array = value
    if array.dtype.kind not in "biuf":
        raise PredictError(f"{name}: holds {array.dtype}; expected numbers.")
    if is_free and array.ndim:
        shape = (*shape[:-1], array.shape[-1])
    array = _with_batch_axis(array, shape)
    if array.shape[1:] != shape:
        raise PredictError(f"{name}: has shape {array.shape}; expected {shape}, or a batch of such.")
    if not array.size:
        raise PredictError(f"{name}: is empty; expected at least one sample of shape {shape}.")
    _check_values(array, modality, name)
    with np.errstate(over="ignore"):
        prepared = np.ascontiguousarray(array, dtype=np.float32)
    if np.isinf(prepared).any():
        raise PredictError(f"{name}: holds numbers too large for 32 bits; expected at most 3e38.")
    return prepared


def _with_batch_axis(array: Array, shape: tuple[int, ...]) -> Array:
    """The array with axes for batch and single channel, where they may have been left out."""
    if array.shape == shape[1:] and shape[0] == 1:
        array = array[None]
    if array.shape == shape:
        return array[None]
    is_batch = array.shape[1:] == shape[1:] and array.ndim == len(shape) > 1 and shape[0] == 1
    return array[:, None] if is_batch else array


def _check_values(array: Array, modality: Mapping[str, Any], name: str) -> None:
    is_free, is_text = bool(modality.get("free")), bool(modality.get("tokens"))
    if is_free and _has_gap(array, is_text):
        raise PredictError(f"{name}: steps that are not there come before others; expected them at the end.")
    if not np.isfinite(np.where(np.isnan(array), 0, array) if is_free else array).all():
        raise PredictError(f"{name}: holds NaN or infinite values; expected finite numbers.")
    if is_text:
        check_tokens(array, modality.get("vocabulary", np.inf), name)
    if "range" in modality["preprocessing"]:
        _check_range(array, modality, name)


def _check_range(array: Array, modality: Mapping[str, Any], name: str) -> None:
    least, most = modality["preprocessing"]["range"]
    low, high = float(array.min()), float(array.max())
    is_unit = modality.get("kind") == "image" and most > 1 and 0 < high <= 1
    if low < least or high > most or is_unit:
        mend = f" If 1 is its brightest, multiply it by {most:g}." if is_unit else ""
        raise PredictError(f"{name}: has values from {low:g} to {high:g}; expected {least:g} to {most:g}.{mend}")


def _has_gap(array: Array, is_text: bool) -> bool:
    """Whether a step that is not there comes before one that is: `(n, ..., t)`."""
    absent = np.equal(array, 0) if is_text else np.isnan(array)
    missing = np.logical_and.reduce(absent.reshape(len(array), -1, array.shape[-1]), axis=1)
    return bool((missing[:, :-1] & ~missing[:, 1:]).any())


def _read(path: Path, steps: Mapping[str, Any], name: str) -> tuple[Array, Sequence[str]]:
    """What a file holds, and what must be said of it."""
    ending = path.suffix.lower()
    with told(f"{name}: {path} cannot be read"):
        if not path.exists():
            raise PredictError(f"{name}: {path} does not exist.")
    if ending in TABLES and "columns" in steps:
        return read_rows(path, steps["columns"])
    if ending == ".wav" and "n_fft" in steps:
        return read_recording(path, steps)
    if ending == ".npy":
        return read_array(read_bytes(path, limits.MAX_BYTES), str(path)), ()
    if ending == ".pgm":
        return read_pgm(path), ()
    raise PredictError(f"{name}: {path} cannot be read; expected {', '.join(steps['files'])}.")
