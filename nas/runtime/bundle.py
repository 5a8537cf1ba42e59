"""A bundle: loaded after it was checked, and run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import limits
from .arrays import Array
from .description import check_description, check_session
from .errors import PredictError, told
from .files import read_bytes, unique_keys
from .inputs import prepare
from .outputs import decoded, joined
from .session import onnx_runtime, open_session, within


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        output: What the model's outputs mean.
        modalities: Input name → its kind, shape and preprocessing.
        session: The ONNX Runtime session.
    """

    output: Mapping[str, Any]
    modalities: Mapping[str, Mapping[str, Any]]
    session: Any


def load_bundle(folder: Path) -> Bundle:
    """Load the bundle in a folder.

    Raises:
        PredictError: If a file of it is missing, damaged, not the one that was exported, or takes `LOAD_S` to load.
    """
    description = folder / "bundle.json"
    with told(f"{folder}: cannot be read"):
        if not description.is_file():
            raise PredictError(f"{folder}: is not a bundle (bundle.json is missing).")
        if not (folder / "model.onnx").is_file():
            raise PredictError(f"{folder}: is incomplete (model.onnx is missing).")
    with told(f"{description}: is damaged"):
        values = json.loads(read_bytes(description, 1 << 24), object_pairs_hook=unique_keys, parse_constant=_no_number)
    check_description(str(description), values)
    content = read_bytes(folder / "model.onnx", 1 << 31)
    if hashlib.sha256(content).hexdigest() != values["sha256"]:
        raise PredictError(
            f"{folder / 'model.onnx'}: is not the file that was exported (its hash differs). Copy it again."
        )
    session = open_session(content, str(folder / "model.onnx"))
    check_session(str(folder / "model.onnx"), session, values)
    return Bundle(values["output"], values["modalities"], session)


def predict(bundle: Bundle, inputs: Mapping[str, Array | Path]) -> Array:
    """Compute what the model says of samples.

    Args:
        bundle: From `load_bundle`.
        inputs: For each modality of the bundle an array `(*shape)` or `(n, *shape)`, or a file that holds one; those
            that the bundle calls optional may be missing, but not all.

    Returns:
        `(n, k)`: a probability for each label, or the number that is predicted; what several outputs say side by side.

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
    return decoded(bundle.output, joined(bundle.output, _outputs(bundle, feeds)))


def _outputs(bundle: Bundle, feeds: Mapping[str, Array]) -> list[Array]:
    """What the model gives for each sample, computed one by one, as latency was measured."""
    options = onnx_runtime().RunOptions()
    options.log_severity_level = 4
    absent: dict[str, Array] = {}
    for name in set(bundle.modalities) - set(feeds):
        modality = bundle.modalities[name]
        absent[name] = np.full((1, *modality["shape"]), 0 if modality.get("tokens") else np.nan, np.float32)
    count = len(next(iter(feeds.values())))
    samples = ({**absent, **{name: array[i : i + 1] for name, array in feeds.items()}} for i in range(count))
    return within(
        limits.RUN_S,
        (np.asarray(bundle.session.run(None, sample, options)[0]) for sample in samples),
        lambda i: f"sample {i}: cannot be computed",
        lambda: setattr(options, "terminate", True),
    )


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")
