"""Models of a run: what was refined and compressed, one folder each, described by its `model.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from nas.compression import Pass, from_json, labels, to_json
from nas.errors import RunError
from nas.runs.files import check_types, file_hash, write_json
from nas.space.choices import Label

STAGES_FOLDER = "stages"
"""In the folder of a candidate with passes: what each pass was applied to, by number."""

Stage = Literal["search", "refined", "compressed"]


@dataclass(frozen=True)
class Model:
    """A trained network with its files: a refined member of the front, or a compressed sibling of one.

    Attributes:
        name: `<trial>-refined`, or that with the labels of the passes: `12-refined-prune50-int8`. Never read back: what
            a model is stands in its fields.
        trial: The trial whose architecture it has.
        stage: How it came to be.
        passes: The compression passes that it went through, in order; a refined model has those of its candidate.
        parent: Name of the model that the last pass was applied to; None of a refined one.
        decisions: The architecture, path → label.
        metrics: All that was measured.
        folder: Where `model.onnx` and `weights.safetensors` lie.
    """

    name: str
    trial: int
    stage: Stage
    passes: tuple[Pass, ...]
    parent: str | None
    decisions: Mapping[str, Label]
    metrics: Mapping[str, Any]
    folder: Path


def write_model(folder: Path, model: Model) -> Model:
    """Write `model.json` last and at once, so that a model that is listed is complete.

    Returns:
        The model as it was written: its metrics have the `sha256` of its file, taken when it was written first.
    """
    metrics = {"sha256": file_hash(folder / "model.onnx"), **model.metrics}
    values = {f.name: getattr(model, f.name) for f in fields(model) if f.name != "folder"}
    passes = [to_json(step) for step in model.passes]
    write_json(folder / "model.json", {**values, "passes": passes, "metrics": metrics})
    return replace(model, metrics=metrics)


def read_model(folder: Path) -> Model:
    """Read the model in a folder.

    Raises:
        RunError: If its `model.json` is damaged.
        CompressionError: If it names a pass or a field of one that is unknown.
    """
    file = folder / "model.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        passes = tuple([from_json(step, str(file)) for step in values["passes"]])
        known: dict[str, Any] = {**values, "passes": passes, "folder": folder}
        model = Model(**known)
        check_types(model)
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{file}: is damaged: {type(error).__name__}: {error}.", f"Remove {folder} and make the model again."
        ) from None
    if folder.name not in (model.name, f"{model.name}.part"):
        raise RunError(f"{file}: is of model {model.name!r}; expected {folder.name!r}, as its folder is called.")
    return model


def lineage(model: Model) -> list[Model]:
    """The models that a model was made of, by what they record: the refined one first, itself last.

    Raises:
        RunError: If one is not there any more, or is not what this model says it was made of.
    """
    if model.parent is None:
        return [model]
    folder = model.folder.with_name(model.parent)
    if not (folder / "model.json").exists():
        raise RunError(f"{model.name}: was made of {model.parent}, which is not there any more.", _AGAIN)
    parent = read_model(folder)
    if parent.passes != model.passes[:-1]:
        raise RunError(
            f"{model.name}: was made of {model.parent} with passes ({labels(model.passes[:-1])}), which has passes "
            f"({labels(parent.passes)}).",
            _AGAIN,
        )
    return [*lineage(parent), model]


def stages(model: Model) -> list[Model]:
    """The way from the trained network to a model: what the passes of its candidate were applied to, then its lineage.

    A stage of a candidate has files and `metrics.json`, but no name of its own in the run.

    Raises:
        RunError: As `lineage`, or if a stage of the candidate is not there any more.
    """
    first, *others = lineage(model)
    own = [_stage(first, number) for number in range(len(first.passes))]
    return [*own, first, *others]


def _stage(model: Model, number: int) -> Model:
    folder = model.folder / STAGES_FOLDER / str(number)
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / 'metrics.json'}: cannot be read: {error}.", _AGAIN) from None
    name = f"{model.name} before {model.passes[number].label}"
    return replace(model, name=name, passes=model.passes[:number], metrics=metrics, folder=folder)


_AGAIN = "Refine or compress the run again: its files were changed since they were made."
