"""Run a bundle: this one file, numpy and onnxruntime are all that a device needs (and pyarrow for Parquet tables).

    python predict.py image=picture.npy audio=word.wav
    python predict.py sample.npz
    python predict.py rows.csv

It is copied into every bundle, and training prepares its data with the same functions. Whatever it is given, damaged or
made to harm, it answers or says in one sentence why not: sizes are bounded before memory is taken, and so is time.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import difflib
import hashlib
import io
import itertools
import json
import math
import os
import re
import struct
import sys
import threading
import tokenize
import unicodedata
import warnings
import wave
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")

LOAD_S = 120.0
"""How long ONNX Runtime may take to load a model."""

RUN_S = 60.0
"""How long a model may compute on one sample."""

MAX_MEMORY = 1 << 32
"""Bytes that a model may use for its weights and while it computes."""

MAX_BYTES = 1 << 28
"""Of an array, a sound or a picture, as it lies in memory."""

MAX_TABLE_BYTES = 1 << 30
"""Of a table's file, and of what a Parquet file says that it unpacks to."""

MAX_JSON_BYTES = 1 << 26
"""Of a table in JSON, whose values take twenty times as much when they are read."""

MAX_MEMBERS = 10_000
"""Of a `.npz` file."""

MAX_CELLS = 50_000_000
"""Of a table."""

MAX_ELEMENTS = 1 << 26
"""Of one sample that a bundle describes."""

TABLES = (".csv", ".tsv", ".txt", ".json", ".parquet")
"""Endings of the tables that can be read, in any case."""

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between a table's cells."""

MISSING = frozenset(
    ("#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "-nan", "1.#ind", "1.#qnan", "<na>", "n/a", "na", "null", "nan")
) | frozenset(("none", "?"))
"""What stands for no number in a column of numbers, in any case; elsewhere these are texts like any other."""

DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RecursionError,
    RuntimeError, SyntaxError, TypeError, ValueError, csv.Error, struct.error, tokenize.TokenError, wave.Error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What the readers of Python and numpy raise on files that are not what they seem."""


class PredictError(ValueError):
    """An input or a bundle that cannot be used, said so that it can be mended."""


class PredictWarning(UserWarning):
    """Something in an input that was read otherwise than it may be meant: a level never seen, a cut recording."""


class TimeLimitError(PredictError):
    """A model that computes longer than it may, and perhaps cannot be stopped."""


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


@dataclass(frozen=True)
class Table:
    """A table, every cell a text.

    Attributes:
        columns: Name → the text of each row, without spaces around it; None where the cell is empty.
        typed: Columns that the file itself says are numbers; they are written with a point.
        separator: What stands between cells; empty where nothing does.
        notes: What was recognised, named or left out while it was read, a sentence each.
    """

    columns: Mapping[str, Sequence[str | None]]
    typed: frozenset[str] = frozenset()
    separator: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@contextmanager
def _told(where: str) -> Generator[None, None, None]:
    """Say in one sentence that begins so what readers raise on damage; a `PredictError` says enough by itself."""
    try:
        yield
    except PredictError:
        raise
    except DAMAGE as error:
        raise PredictError(f"{where}: {_first_line(error)}") from None


# Bundles


def load_bundle(folder: Path) -> Bundle:
    """Load the bundle in a folder.

    Raises:
        PredictError: If a file of it is missing, damaged, not the one that was exported, or takes `LOAD_S` to load.
    """
    description = folder / "bundle.json"
    with _told(f"{folder}: cannot be read"):
        if not description.is_file():
            raise PredictError(f"{folder}: is not a bundle (bundle.json is missing).")
        if not (folder / "model.onnx").is_file():
            raise PredictError(f"{folder}: is incomplete (model.onnx is missing).")
    with _told(f"{description}: is damaged"):
        values = json.loads(_content(description, 1 << 24), object_pairs_hook=_unique, parse_constant=_no_number)
    _check_description(str(description), values)
    content = _content(folder / "model.onnx", 1 << 31)
    if hashlib.sha256(content).hexdigest() != values["sha256"]:
        raise PredictError(
            f"{folder / 'model.onnx'}: is not the file that was exported (its hash differs). Copy it again."
        )
    session = _session(content, str(folder / "model.onnx"))
    _check_session(str(folder / "model.onnx"), session, values)
    return Bundle(values["labels"], values["modalities"], session)


def predict(bundle: Bundle, inputs: Mapping[str, Array | Path]) -> Array:
    """Compute class probabilities.

    Args:
        bundle: From `load_bundle`.
        inputs: For each modality of the bundle an array `(*shape)` or `(n, *shape)`, or a file that holds one; those
            that the bundle calls optional may be missing, but not all.

    Returns:
        `(n, classes)`.

    Raises:
        PredictError: If a modality is missing, unknown, or does not have its shape, or the model cannot compute.

    Warns:
        PredictWarning: As `prepare` does.
    """
    optional = {name for name, modality in bundle.modalities.items() if modality.get("optional")}
    if not inputs or not set(bundle.modalities) - optional <= set(inputs) <= set(bundle.modalities):
        may = f", at least one; {sorted(optional)} may be missing" if optional else ""
        raise PredictError(f"got inputs {sorted(inputs)}; expected {sorted(bundle.modalities)}{may}.")
    feeds = {name: prepare(inputs[name], bundle.modalities[name], name) for name in bundle.modalities if name in inputs}
    if len({len(array) for array in feeds.values()}) > 1:
        raise PredictError(f"the inputs differ in number: { {n: len(a) for n, a in feeds.items()} }.")
    return softmax(_logits(bundle, feeds))


def softmax(logits: Array) -> Array:
    """Turn logits `(n, classes)` into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _logits(bundle: Bundle, feeds: Mapping[str, Array]) -> Array:
    """The logits of all samples, `(n, classes)`, computed one by one, as latency was measured."""
    options = _runtime().RunOptions()
    options.log_severity_level = 4
    absent: dict[str, Array] = {}
    for name in set(bundle.modalities) - set(feeds):
        modality = bundle.modalities[name]
        absent[name] = np.full((1, *modality["shape"]), 0 if modality.get("tokens") else np.nan, np.float32)
    count = len(next(iter(feeds.values())))
    samples = ({**absent, **{name: array[i : i + 1] for name, array in feeds.items()}} for i in range(count))
    logits = _within(
        RUN_S,
        (np.asarray(bundle.session.run(None, sample, options)[0]) for sample in samples),
        lambda i: f"sample {i}: cannot be computed",
        lambda: setattr(options, "terminate", True),
    )
    for i, each in enumerate(logits):
        if each.shape != (1, len(bundle.labels)) or each.dtype.kind != "f" or not np.isfinite(each).all():
            raise PredictError(f"sample {i}: the model gives no {len(bundle.labels)} finite numbers, one a label.")
    return np.concatenate(logits)


def _session(content: bytes, where: str) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.add_session_config_entry("session.use_env_allocators", "1")  # the one that is bounded
    options.add_free_dimension_override_by_name("batch", 1)  # as it was measured: shapes known, so less to compute
    loading = (
        runtime.InferenceSession(each, options, providers=["CPUExecutionProvider"], enable_fallback=0)  # it prints
        for each in [content]
    )
    return _within(LOAD_S, loading, lambda _: f"{where}: cannot be loaded")[0]


@cache
def _runtime() -> Any:
    """ONNX Runtime, its memory bounded, and its telemetry off, which keeps a device identifier in the user's cache."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded; its function comes too late
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    arena = {"max_mem": MAX_MEMORY, "arena_extend_strategy": -1, "initial_chunk_size_bytes": -1}
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with suppress(RuntimeError):  # old versions take the first that a process registers, which may not be ours
        onnxruntime.create_and_register_allocator(
            memory, onnxruntime.OrtArenaCfg({**arena, "max_dead_bytes_per_chunk": -1})
        )
    return onnxruntime


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises, of whatever version; its exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]

    return tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))


def _within(
    seconds: float, steps: Iterable[T], fault: Callable[[int], str], stop: Callable[[], None] = lambda: None
) -> list[T]:
    """Do native work, which no signal reaches, in another thread, and give up where so long nothing is done.

    Args:
        seconds: After which time without a step done it is given up.
        steps: The work; each element is a step done.
        fault: What to say if a step fails, given how many were done.
        stop: What ends the work.
    """
    done: list[T] = []
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            for step in steps:
                done.append(step)  # noqa: PERF402 - who waits counts them
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    before = -1
    while thread.is_alive():
        if before == len(done):
            stop()
            raise TimeLimitError(f"{fault(before)} within {seconds:g} s.")
        before = len(done)
        thread.join(seconds)
    if not errors:
        return done
    if isinstance(errors[0], (*_failures(), *DAMAGE)):
        raise PredictError(f"{fault(len(done))}: {_first_line(errors[0])}")
    raise errors[0]


# What a bundle says of itself


def _check_description(where: str, values: Any) -> None:
    _expect(isinstance(values, dict), where, "is no object")
    labels, modalities, digest = values.get("labels"), values.get("modalities"), values.get("sha256")
    _expect(_is_texts(labels) and len(labels) > 1, where, "labels are not two texts or more")
    _expect(len(set(labels)) == len(labels), where, "a label is there twice")
    is_digest = isinstance(digest, str) and len(digest) == 64
    _expect(is_digest, where, "the hash of model.onnx (sha256) is missing; export it again")
    _expect(isinstance(modalities, dict) and bool(modalities), where, "modalities are missing")
    for name, modality in modalities.items():
        _check_modality(f"{where}: {name}", modality)


def _check_modality(where: str, modality: Any) -> None:
    _expect(isinstance(modality, dict), where, "is no object")
    _expect(isinstance(modality.get("kind"), str), where, "has no kind")
    shape, steps = modality.get("shape"), modality.get("preprocessing")
    _expect(isinstance(shape, list) and 0 < len(shape) <= 8, where, "shape is no list of 1 to 8 sizes")
    _expect(all(_is_whole(size, 1, MAX_ELEMENTS) for size in shape), where, f"shape {shape} is no list of sizes")
    _expect(math.prod(shape) <= MAX_ELEMENTS, where, f"shape {shape} has more than {MAX_ELEMENTS} elements")
    _expect(isinstance(steps, dict), where, "preprocessing is no object")
    _expect(_is_texts(steps.get("files")), where, "preprocessing names no files")
    _expect(_is_whole(modality.get("vocabulary", 0), 0, 1 << 31), where, "vocabulary is no number of tokens")
    if "columns" in steps:
        _check_columns(where, steps["columns"], shape)
    if "n_fft" in steps:
        _check_sound(where, steps, shape)
    if "range" in steps:
        bounds = steps["range"]
        _expect(isinstance(bounds, list) and len(bounds) == 2, where, "range is not two numbers")
        _expect(all(map(_is_number, bounds)) and bounds[0] < bounds[1], where, "range is not two rising numbers")


def _check_columns(where: str, columns: Any, shape: Sequence[int]) -> None:
    _expect(isinstance(columns, list) and bool(columns), where, "columns are no list")
    for column in columns:
        _expect(isinstance(column, dict) and isinstance(column.get("name"), str), where, "a column has no name")
        at = f"{where}: column {column['name']!r}"
        if "levels" in column:
            levels = column["levels"]
            _expect(_is_texts(levels) and len(set(levels)) == len(levels), at, "levels are not different texts")
            continue
        marks = (column.get("decimal", "."), column.get("thousands", ""))
        _expect(_is_number(column.get("fill")), at, "has neither levels nor a finite fill")
        _expect(marks[0] in (".", ",") and marks[1] in ("", ".", ",", " ", "'"), at, f"has no such marks: {marks}")
        _expect(marks[0] != marks[1], at, f"has one mark for two things: {marks[0]!r}")
    names = [column["name"] for column in columns]
    _expect(len(set(names)) == len(names), where, "a column is there twice")
    width = sum(len(column.get("levels", " ")) for column in columns)
    _expect(shape == [width], where, f"columns make {width} numbers, but its shape is {shape}")


def _check_sound(where: str, steps: Mapping[str, Any], shape: Sequence[int]) -> None:
    bounds = {
        "rate": (1000, 768_000),
        "n_fft": (2, 1 << 16),
        "hop": (1, 1 << 16),
        "mels": (1, 4096),
        "frames": (1, 1 << 16),
    }
    for key, (least, most) in bounds.items():
        _expect(_is_whole(steps.get(key), least, most), where, f"{key} is not between {least} and {most}")
    _expect(_is_number(steps.get("db_floor")), where, "db_floor is no number")
    _expect(_is_number(steps.get("db_range")) and steps["db_range"] > 0, where, "db_range is no positive number")
    _expect(
        steps["n_fft"] * max(steps["frames"], steps["mels"]) <= 1 << 24, where, "n_fft, frames or mels are too many"
    )
    _expect(list(shape[-2:]) == [steps["mels"], steps["frames"]], where, f"shape {shape} is not (mels, frames)")


def _check_session(where: str, session: Any, values: Mapping[str, Any]) -> None:
    given, outputs = {each.name for each in session.get_inputs()}, session.get_outputs()
    if given != set(values["modalities"]) or len(outputs) != 1:
        raise PredictError(
            f"{where}: takes {sorted(given)} and gives {len(outputs)} outputs; expected "
            f"{sorted(values['modalities'])} as bundle.json says, and one output."
        )


def _expect(holds: bool, where: str, fault: str) -> None:
    if not holds:
        raise PredictError(f"{where}: is damaged: {fault}.")


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


# Inputs


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
    if is_text and not (np.equal(array, np.rint(array)) & (array >= 0)).all():
        raise PredictError(f"{name}: holds {array.min():g} to {array.max():g}; expected token ids, whole and from 0.")
    if is_text and array.max() >= modality.get("vocabulary", np.inf):
        raise PredictError(f"{name}: holds token {array.max():g}; expected ids below {modality['vocabulary']}.")
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
    with _told(f"{name}: {path} cannot be read"):
        if not path.exists():
            raise PredictError(f"{name}: {path} does not exist.")
    if ending in TABLES and "columns" in steps:
        return _read_rows(path, steps["columns"])
    if ending == ".wav" and "n_fft" in steps:
        return _read_recording(path, steps)
    if ending == ".npy":
        return _array(_content(path, MAX_BYTES), str(path)), ()
    if ending == ".pgm":
        return _read_pgm(path), ()
    raise PredictError(f"{name}: {path} cannot be read; expected {', '.join(steps['files'])}.")


def _content(path: Path, most: int) -> bytes:
    """The bytes of a file that is one."""
    try:
        if not path.is_file():
            raise PredictError(f"{path}: is {'not a file' if path.exists() else 'not there'}; expected a file.")
        if path.stat().st_size > most:
            raise PredictError(f"{path}: has {path.stat().st_size} bytes; expected at most {most}. Give it in parts.")
        return path.read_bytes()
    except OSError as error:
        raise PredictError(f"{path}: cannot be read: {error.strerror or error}.") from None


def _array(content: bytes, where: str) -> Array:
    """The array of a `.npy` file, whose header is believed only as far as there are bytes."""
    stream = io.BytesIO(content)
    with _told(f"{where}: is not a .npy file of numbers"):
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise PredictError(f"{where}: is a .npy file of version {version}; expected 1.0 or 2.0.")
        if version == (1, 0):
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        if dtype.kind not in "biuf" or min(shape, default=1) < 0:
            raise PredictError(f"{where}: holds {dtype} of shape {shape}; expected numbers.")
        count, left = math.prod(shape), len(content) - stream.tell()
        if count * dtype.itemsize != left:
            raise PredictError(f"{where}: says that {count * dtype.itemsize} bytes follow, but {left} do.")
        return np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if is_fortran else "C")


def _archive(path: Path, wanted: Iterable[str]) -> dict[str, Array | Path]:
    """The wanted arrays of a `.npz` file; what else it holds, such as labels, is not unpacked."""
    content = _content(path, MAX_BYTES)
    if content.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise PredictError(f"{path}: holds more than {MAX_MEMBERS} files; expected one for each input.")
    with _told(f"{path}: cannot be read"), zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: f"{name}.npy" for name in wanted if f"{name}.npy" in archive.namelist()}
        unpacked = sum(archive.getinfo(member).file_size for member in members.values())
        if unpacked > MAX_BYTES:
            raise PredictError(f"{path}: unpacks to {unpacked} bytes; expected at most {MAX_BYTES}.")
        return {name: _array(archive.read(member), f"{path}: {name}") for name, member in members.items()}


def _read_pgm(path: Path) -> NDArray[np.uint8]:
    content = _content(path, MAX_BYTES)
    gap = rb"(?:\s|#[^\n]*\n)+"
    header = re.match(rb"P5" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"255\s", content[: 1 << 16])
    if header is None:
        raise PredictError(f"{path}: is not a binary PGM picture of 8 bits.")
    width, height, pixels = int(header[1]), int(header[2]), content[header.end() :]
    if len(pixels) != width * height:
        raise PredictError(f"{path}: has {len(pixels)} pixels; expected {width} x {height} as it says.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width)


# Tables


def read_table(path: Path) -> Table:
    """Read a table as texts; training and prediction both do it here, and nothing else does.

    Delimited files (`.csv`, `.tsv`, `.txt`) are UTF-8, UTF-16 with its mark, or else Windows-1252, and have a header.
    What separates cells is recognised; a row with more or fewer cells than the header is an error. Names that are blank
    or there twice are made `unnamed 1` and `name (2)`; cells before the first column of the header are row names and no
    column. JSON holds one object or a list of objects, all with the same keys. Parquet needs pyarrow.

    Args:
        path: The file.

    Raises:
        PredictError: If it cannot be read, is not regular, holds no rows, or holds something else than texts, numbers,
            truths and dates.
    """
    ending = path.suffix.lower()
    if ending not in TABLES:
        raise PredictError(f"{path}: cannot be read as a table; expected a file that ends in {', '.join(TABLES)}.")
    read = {".json": _read_json, ".parquet": _read_parquet}.get(ending, _read_delimited)
    with _told(f"{path}: cannot be read"):
        table = read(path)
    if not len(table):
        raise PredictError(f"{path}: holds no rows; expected a header and rows, or JSON objects of column and value.")
    return table


def encode_table(table: Table, columns: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32], list[str]]:
    """Turn a table's rows into the model's vectors.

    In a column of numbers, empty cells, the texts of `MISSING` and what is no number become the `fill`. In a column of
    levels an empty cell has none of them, and `NA`, `None` and the like are texts as any other.

    Args:
        table: From `read_table`; columns that are not described are not looked at.
        columns: For each column `name` and either `levels` (a list of texts) or `fill` (a number), `decimal` and
            `thousands` (the marks of its numbers).

    Returns:
        Vectors `(n, width)`, and a sentence for each column that held values which are no number or no level.

    Raises:
        PredictError: If a column is missing, or holds a number that is not finite in 32 bits.
    """
    _check_names(table, [column["name"] for column in columns])
    width = sum(len(column.get("levels", " ")) for column in columns)
    if 4 * width * len(table) > MAX_TABLE_BYTES:
        raise PredictError(f"{len(table)} rows of {width} numbers take more than {MAX_TABLE_BYTES} bytes.")
    parts: list[NDArray[np.float32]] = []
    notes: list[str] = []
    for column in columns:
        if "levels" in column:
            part, odd = _one_hot(table, column)
            told = "no level that training saw, so it has none"
        else:
            part, odd = _numbers(table, column)
            told = f"no number, so {column['fill']:g}, the median of training, stands for it"
        parts.append(part)
        if odd:
            notes.append(f"column {column['name']!r}: {_counted(odd, len(table))} is {told}.")
    return np.concatenate(parts, axis=1), notes


def canonical(text: str) -> str:
    """One text for one value, however it was written: `1.0` is `1`, `true` is `True`, midnight is no time."""
    if text.lower() in ("true", "false"):
        return text.capitalize()
    for pattern in (r"([+-]?\d+)\.0*", r"(\d{4}-\d\d-\d\d)[ T]00:00:00(?:\.0*)?"):
        if found := re.fullmatch(pattern, text):
            return found[1]
    return text


def parse_number(text: str, decimal: str = ".", thousands: str = "") -> float | None:
    """The number that a text writes with these marks, or None; what ends in `%` is divided by 100."""
    plain = text if text.isascii() else re.sub(r"[\u00a0\u202f]", " ", text)
    digits = plain.removesuffix("%").rstrip()
    if not _number_pattern(decimal, thousands).fullmatch(digits):
        return None
    number = float((digits.replace(thousands, "") if thousands else digits).replace(decimal, "."))
    return number / 100 if plain.endswith("%") else number


def is_missing(text: str | None) -> bool:
    """Whether a cell in a column of numbers says that there is none."""
    return text is None or text.lower() in MISSING


@cache
def _number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, grouped = re.escape(decimal), rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    number = rf"(?:(?:{grouped}\d+)(?:{point}\d*)?|{point}\d+)(?:e[+-]?\d+)?"
    return re.compile(rf"[+-]?(?:{number}|inf(?:inity)?)", re.ASCII | re.IGNORECASE)


def _read_rows(path: Path, columns: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32], Sequence[str]]:
    table = read_table(path)
    try:
        vectors, notes = encode_table(table, columns)
    except PredictError as error:
        raise PredictError(f"{path}: {error}") from None
    return vectors, [*table.notes, *notes]


def _check_names(table: Table, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table.columns]
    if not absent:
        return
    near = {name: difflib.get_close_matches(name, set(table.columns) - set(names), n=1) for name in absent[:20]}
    lacking = ", ".join(f"{name!r}" + (f" (is it {found[0]!r}?)" if found else "") for name, found in near.items())
    is_one = table.separator and len(table.columns) == 1
    alone = f" Cells are separated by {_listed(SEPARATORS)}." if is_one else ""
    raise PredictError(
        f"lacks {len(absent)} of {len(names)} columns: {lacking}. It has {_listed(table.columns)}; "
        f"expected {_listed(names)}.{alone}"
    )


def _one_hot(table: Table, column: Mapping[str, Any]) -> tuple[NDArray[np.float32], Counter[str]]:
    cells = table.columns[column["name"]]
    places = {level: place for place, level in enumerate(column["levels"])}
    found = {text: places.get(canonical(text), -1) for text in set(cells) if text is not None}
    chosen = np.array([-1 if text is None else found[text] for text in cells])
    odd = Counter(text for text in cells if text is not None and found[text] < 0)
    return (chosen[:, None] == np.arange(len(places))).astype(np.float32), odd


def _numbers(table: Table, column: Mapping[str, Any]) -> tuple[NDArray[np.float32], Counter[str]]:
    name, cells = column["name"], table.columns[column["name"]]
    marks = (".", "") if name in table.typed else (column.get("decimal", "."), column.get("thousands", ""))
    found = {text: None if is_missing(text) else parse_number(text, *marks) for text in set(cells) if text is not None}
    odd = Counter(text for text in cells if text is not None and found[text] is None and not is_missing(text))
    numbers = [column["fill"] if text is None or found[text] is None else found[text] for text in cells]
    with np.errstate(over="ignore"):
        values = np.array(numbers, dtype=np.float32)
    if not np.isfinite(values).all():
        text = cells[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise PredictError(f"column {name!r} holds an infinite number ({text}); expected finite numbers.")
    return values[:, None], odd


def _read_delimited(path: Path) -> Table:
    text, encoding = _decoded(path, _content(path, MAX_TABLE_BYTES))
    separator = _separator(text)
    names, rows, blank = _delimited_rows(path, text, separator)
    said = [f"is {encoding}."] if encoding else []
    if separator != ",":
        said.append(f"its cells are separated by {separator!r}.")
    if blank:
        said.append(f"{blank} blank lines between rows are no rows.")
    first = 0
    if rows and len(rows[0]) > len(names) and not any(row[-1] for row in rows):
        said.append("every row ends with a separator, and the header does not; nothing comes after it.")
    elif rows and len(rows[0]) > len(names):
        said.append("the first cell of each row has no name in the header: it is the row's name and no column.")
        first = 1
    unique, renamed = _named_once(names)
    columns = {name: [row[place] or None for row in rows] for place, name in enumerate(unique, first)}
    return Table(columns, separator=separator, notes=(*said, *renamed))


def _delimited_rows(path: Path, text: str, separator: str) -> tuple[list[str], list[tuple[str, ...]], int]:
    """The header, the rows, all equally long, and how many blank lines came between them."""
    if text.count(separator) + text.count("\n") + text.count("\r") > MAX_CELLS:
        raise PredictError(f"{path}: has more than {MAX_CELLS} cells. Give it in parts.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[tuple[str, ...]] = []
    blank = waiting = 0
    try:
        names = next((row for row in reader if row), [])
        for row in reader:
            if not row:
                waiting += 1
                continue
            blank, waiting = blank + waiting, 0
            rows.append(tuple(map(sys.intern, map(str.strip, row))))
            most = len(rows[0]) if len(rows[0]) == len(names) + 1 else len(names)
            if len(row) != most:
                raise PredictError(f"{path}: line {reader.line_num} has {len(row)} cells; expected {most}.")
    except csv.Error as error:
        raise PredictError(f"{path}: cannot be read: line {reader.line_num}: {error}.") from None
    return [name.strip() for name in names], rows, blank


def _separator(text: str) -> str:
    """What stands between cells: what makes rows as wide as the header; else what the header has most of."""
    return max(SEPARATORS, key=lambda separator: _fit(text, separator))


def _fit(text: str, separator: str) -> tuple[int, int]:
    reader = csv.reader(io.StringIO(text[: 1 << 20], newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = [*itertools.islice(reader, 100)]
    except csv.Error:
        return 0, 0
    is_whole = len(text) <= 1 << 20 or len(rows) in (1, 100)
    widths = [len(row) for row in (rows if is_whole else rows[:-1]) if row]
    header, rest = widths[0] if widths else 0, set(widths[1:])
    return (2 if header > 1 and rest <= {header} else 1 if rest == {header + 1} else 0), header


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    """The text in a file, and its encoding if that is not UTF-8."""
    encoding = ""
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text, encoding = content.decode("utf-16"), "UTF-16"
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding or re.search(rb"[\x00-\x08\x0e-\x1f]", content) or content.startswith(codecs.BOM_UTF16_LE):
            raise PredictError(f"{path}: cannot be read: is no text ({error.reason} at byte {error.start}).") from None
        text, encoding = _single_bytes(content)
    if "\0" in text:
        raise PredictError(f"{path}: cannot be read: holds NUL characters. Save it as UTF-8.")
    return text, encoding


def _single_bytes(content: bytes) -> tuple[str, str]:
    try:
        return content.decode("cp1252"), "not UTF-8 and read as Windows-1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "not UTF-8 and read as Latin-1"


def _named_once(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that are neither blank nor there twice, and what had to be named."""
    taken, unique = Counter(name for name in names if name), list[str]()
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        new = name if name and seen[name] == 1 else f"{name} ({seen[name]})" if name else f"unnamed {seen[name]}"
        while new != name and taken[new]:
            new += "'"
        taken[new] += 1
        unique.append(new)
    renamed = [new for name, new in zip(names, unique, strict=True) if name != new]
    note = f"blank column names, and those that are there twice, are called {_listed(renamed)}."
    return unique, [note] if renamed else []


def _read_json(path: Path) -> Table:
    text, _ = _decoded(path, _content(path, MAX_JSON_BYTES))
    values = json.loads(
        text, object_pairs_hook=_unique, parse_constant=lambda word: None if word == "NaN" else float(word)
    )
    rows: list[Mapping[str, Any]] = values if isinstance(values, list) else [values]
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        raise PredictError(f"{path}: holds no rows; expected JSON objects of column and value.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) * len(rows) > MAX_CELLS:
        raise PredictError(f"{path}: has more than {MAX_CELLS} cells. Give it in parts.")
    for place, row in enumerate(rows):
        if absent := [name for name in names if name not in row]:
            raise PredictError(f"{path}: object {place} lacks {_listed(absent)}; expected all keys (null: missing).")
    unique, notes = _named_once([name.strip() for name in names])
    kinds = {new: {type(row[name]) for row in rows} - {type(None)} for name, new in zip(names, unique, strict=True)}
    columns = {
        new: [_json_text(row[name], f"{path}: object {place}: {name!r}") for place, row in enumerate(rows)]
        for name, new in zip(names, unique, strict=True)
    }
    return Table(columns, frozenset(name for name, found in kinds.items() if found <= {int, float}), notes=tuple(notes))


def _json_text(value: Any, where: str) -> str | None:
    if isinstance(value, dict | list):
        raise PredictError(f"{where} holds {'an object' if isinstance(value, dict) else 'a list'}; expected one value.")
    return None if value is None else (value if isinstance(value, str) else str(value)).strip() or None


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise PredictError(f"{path}: Parquet needs pyarrow: pip install pyarrow. Or give the table as CSV.") from None
    content = _content(path, MAX_TABLE_BYTES)
    try:
        schema = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).schema_arrow
        named = [field.name for field in schema if pyarrow.types.is_string(field.type)]
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content), read_dictionary=named)
        said = file.metadata
        unpacked = sum(said.row_group(i).total_byte_size for i in range(said.num_row_groups))
        if said.num_rows * said.num_columns > MAX_CELLS or unpacked > MAX_TABLE_BYTES:
            raise PredictError(f"{path}: says that it has {said.num_rows} rows, {unpacked} bytes. Give it in parts.")
        given = file.read()
        cells = [_parquet_texts(column, f"{path}: column {name!r}") for name, column in _parquet_columns(given)]
    except pyarrow.ArrowException as error:
        raise PredictError(f"{path}: cannot be read: {_first_line(error)}") from None
    names, notes = _named_once([name.strip() for name, _ in _parquet_columns(given)])
    typed = [new for new, (_, column) in zip(names, _parquet_columns(given), strict=True) if _is_typed(column.type)]
    if len(names) < given.num_columns:
        notes.append("the index that pandas stored is no column.")
    return Table(dict(zip(names, cells, strict=True)), frozenset(typed), notes=tuple(notes))


def _parquet_columns(table: Any) -> Iterator[tuple[str, Any]]:
    pairs = zip(table.column_names, table.columns, strict=True)
    return ((name, column) for name, column in pairs if not re.fullmatch(r"__index_level_\d+__", name))


def _is_typed(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _parquet_texts(column: Any, where: str) -> list[str | None]:
    """The texts of a column: as CSV would have them, but that NaN is missing."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):  # as texts are packed: one that many rows share is unpacked once
        known = [_parquet_texts(pyarrow.chunked_array([chunk.dictionary]), where) for chunk in column.chunks]
        places = [chunk.indices.to_pylist() for chunk in column.chunks]
        return [
            None if place is None else texts[place]
            for texts, chunk in zip(known, places, strict=True)
            for place in chunk
        ]
    kind = column.type
    if (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    ):
        raise PredictError(f"{where} holds {kind}; expected one text, number, truth or date in each cell.")
    if types.is_float16(kind):
        column = column.cast(pyarrow.float32())
    texts = [None if text is None else text.strip() or None for text in column.cast(pyarrow.string()).to_pylist()]
    if types.is_timestamp(kind):
        return [text and re.sub(r"\.0+(?!\d)", "", text) for text in texts]
    return [None if text == "nan" else text for text in texts] if types.is_floating(kind) else texts


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that is there twice would hide a value."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"{twice[0]!r} is there twice in an object")
    return values


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _counted(odd: Counter[str], rows: int) -> str:
    """How many of how many values, and the commonest of them."""
    return f"{odd.total()} of {rows} values ({_listed(text for text, _ in odd.most_common(4))})"


def _listed(texts: Iterable[str], most: int = 20) -> str:
    """Texts for a sentence, each cut, and only so many."""
    shown = [*itertools.islice((repr(text if len(text) <= 40 else text[:37] + "...") for text in texts), most + 1)]
    return ", ".join(shown[:most] + (["..."] if len(shown) > most else [])) or "none"


# Sound


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
    if len(samples) * rate / given > MAX_ELEMENTS:
        raise PredictError(f"{path}: lasts {len(samples) / given:.0f} s; expected at most {MAX_ELEMENTS / rate:.0f} s.")
    return resample(samples, given, rate)


def _read_recording(path: Path, steps: Mapping[str, Any]) -> tuple[Array, Sequence[str]]:
    samples, given = _pcm(path)
    window_s = ((steps["frames"] - 1) * steps["hop"] + steps["n_fft"]) / steps["rate"]
    lasts_s = len(samples) / given
    enough = math.ceil((window_s + 1) * given)  # more than smoothing looks at
    coded = log_mel(resample(samples[:enough], given, steps["rate"]), steps)
    is_cut = lasts_s > window_s + 0.5 / given
    return coded, [f"{path} lasts {lasts_s:.2f} s: the first {window_s:.2f} s are used."] if is_cut else []


def _pcm(path: Path) -> tuple[NDArray[np.float32], int]:
    """Mono samples between -1 and 1 as they are in a file, and their rate."""
    content = _content(path, MAX_BYTES // 4)
    with _told(f"{path}: is not a PCM WAV file"), wave.open(io.BytesIO(content), "rb") as file:
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


# Command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict from the command line: labels to the output, what must be said of the inputs to the error output.

    Returns:
        The exit code: 0, or 2 for an input that cannot be used. A model that does not stop ends the process with 2,
        Ctrl-C with 130.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", PredictWarning)
        try:
            bundle = load_bundle(options.bundle)
            probabilities = predict(bundle, _named(options.inputs, list(bundle.modalities)))
        except (PredictError, OSError, MemoryError) as error:
            _print(sys.stderr, f"error: {str(error) or 'there is too little memory'}")
            if isinstance(error, TimeLimitError):
                os._exit(2)  # its native thread still runs, and would fall over what an orderly exit takes away
            return 2
        except KeyboardInterrupt:
            os._exit(130)  # for the same reason
    for warning in said:
        _print(sys.stderr, f"note: {warning.message}")
    try:
        for row in probabilities:
            ranked = sorted(zip(bundle.labels, map(float, row), strict=True), key=lambda pair: -pair[1])
            best = "  ".join(f"{name} {share:.1%}" for name, share in ranked[: options.top])
            _print(sys.stdout, json.dumps(dict(ranked)) if options.json else best)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Predict with the model in this folder.")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NAME=FILE for each input; or one file: .npz of all inputs, or that of the only input",
    )
    parser.add_argument("--bundle", type=Path, default=Path(__file__).resolve().parent, help="the bundle's folder")
    parser.add_argument("--top", type=_positive, default=3, help="labels to print")
    parser.add_argument("--json", action="store_true", help="print all probabilities as JSON")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text[:9])


def _named(texts: Sequence[str], modalities: Sequence[str]) -> dict[str, Array | Path]:
    if len(texts) == 1 and texts[0].lower().endswith(".npz") and "=" not in texts[0]:
        return _archive(Path(texts[0]), modalities)
    if len(texts) == 1 and len(modalities) == 1 and "=" not in texts[0]:
        return {modalities[0]: Path(texts[0])}
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise PredictError(f"input {name!r}: expected NAME=FILE with NAME one of {', '.join(modalities)}.")
    named = {name: Path(file) for name, _, file in pairs}
    if len(named) < len(pairs):
        raise PredictError(f"inputs {', '.join(texts)}: a name is there twice; expected one file for each.")
    return dict(named)


def _print(stream: TextIO, text: str) -> None:
    """Write a line that any terminal can show: what it cannot, and what would steer it, is written as escapes."""
    encoding = stream.encoding or "utf-8"
    shown = "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in text)
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _first_line(error: BaseException) -> str:
    empty = "it ends too early" if isinstance(error, EOFError) else type(error).__name__
    return (str(error).strip() or empty).splitlines()[0][:300]


if __name__ == "__main__":
    sys.exit(main())
