"""What a bundle says of itself, believed only after it was checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from . import limits
from .errors import PredictError
from .outputs import TYPES


def check_description(where: str, values: Any) -> None:
    """Refuse a `bundle.json` of wrong types, of sizes that nobody can mean, or that contradicts itself."""
    _expect(isinstance(values, dict), where, "is no object")
    modalities, digest = values.get("modalities"), values.get("sha256")
    _check_output(where, values.get("output"))
    is_digest = isinstance(digest, str) and len(digest) == 64
    _expect(is_digest, where, "the hash of model.onnx (sha256) is missing; export it again")
    _expect(isinstance(modalities, dict) and bool(modalities), where, "modalities are missing")
    for name, modality in modalities.items():
        _check_modality(f"{where}: {name}", modality)


def _check_output(where: str, output: Any, is_part: bool = False) -> None:
    _expect(isinstance(output, dict), where, "output is no object; export it again")
    kind = output.get("type")
    _expect(kind in TYPES and not (is_part and kind == "MultiTask"), where, f"there is no output of type {kind!r:.50}")
    if kind in ("Classification", "Binary", "MultiLabel"):
        labels = output.get("labels")
        _expect(_is_texts(labels) and len(labels) > 1, where, "labels are not two texts or more")
        _expect(len(set(labels)) == len(labels), where, "a label is there twice")
        _expect(kind != "Binary" or len(labels) == 2, where, "labels are not two")
    elif kind == "Regression":
        mean, std = output.get("mean"), output.get("std")
        _expect(
            _is_number(mean) and _is_number(std) and std > 0, where, "mean and std are no number and a positive one"
        )
    elif kind == "Embedding":
        _expect(_is_whole(output.get("size"), 1, 1 << 20), where, "size is no number of outputs")
    else:
        parts = output.get("parts")
        _expect(isinstance(parts, dict) and bool(parts), where, "parts are no object")
        for name, part in parts.items():
            _check_output(f"{where}: {name}", part, is_part=True)


def _check_modality(where: str, modality: Any) -> None:
    _expect(isinstance(modality, dict), where, "is no object")
    _expect(isinstance(modality.get("kind"), str), where, "has no kind")
    shape, steps, most = modality.get("shape"), modality.get("preprocessing"), limits.MAX_ELEMENTS
    _expect(isinstance(shape, list) and 0 < len(shape) <= 8, where, "shape is no list of 1 to 8 sizes")
    _expect(all(_is_whole(size, 1, most) for size in shape), where, f"shape {shape} is no list of sizes")
    _expect(math.prod(shape) <= most, where, f"shape {shape} has more than {most} elements")
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


def check_session(where: str, session: Any, values: Mapping[str, Any]) -> None:
    """Refuse a model that takes or gives something else than its description says."""
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
