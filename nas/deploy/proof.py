"""The gate before the bundle: a file that is not the one that was made, or does not do what was recorded, stays out.

A file is held against everything that is known of it: its hash, its network (in torch, on real samples), its scores
on both splits, and, if it is quantized, how often it says the same as its twin in 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nas.compression import is_exact
from nas.errors import ExportError, RunError
from nas.evaluation.assess import assess
from nas.formats.onnx_export import compare
from nas.formats.onnx_file import run_onnx
from nas.objectives.metrics import metric, on_test
from nas.pipeline.compress import load_stages
from nas.pipeline.context import WorkerContext
from nas.runs.files import file_hash
from nas.runs.front import number_of
from nas.runs.models import Model, stages
from nas.targets import ONNX_ERRORS

PROOF_SAMPLES = 128
"""Real samples of the validation split that torch and ONNX Runtime are compared on."""

MIN_AGREEMENT = 0.9
"""Least share of validation samples of which a quantized file and its twin in 32 bits say the same."""

FLIPPED = 0.005
"""Share of samples, at least one sample, by which a score may differ from the recorded one; of an error its share.

The same file on the same machine gives the same labels, so nothing at all would do there. Another processor adds in
another order and flips a sample that lies on a border: some of a thousand. A damaged file flips many more; what is
damaged so little that it does not is found by its hash.
"""

AGAIN = "Refine or compress the run again: its files were changed since they were made."
OTHERWISE = "The file has its recorded hash: this processor computes otherwise. Compress, or export, where it was made."


@dataclass(frozen=True)
class Proof:
    """What was checked on the file before it was put into the bundle.

    Attributes:
        max_rel: Largest difference of ONNX Runtime from torch, relative to the largest output; of a quantized model's
            twin in 32 bits.
        samples: Real samples compared.
        tolerance: Bound on it.
        agreement: Share of validation samples of which the file says the same as its twin in 32 bits; 1 if it is not
            quantized.
        scores: The output's metrics of the file: on the validation split, and with `test_` before them on the test
            split.
    """

    max_rel: float
    samples: int
    tolerance: float
    agreement: float
    scores: Mapping[str, float]


def prove(context: WorkerContext, model: Model) -> Proof:
    """Check a model's file against its network and its record.

    A quantized file cannot equal its network; its twin in 32 bits must, and the two must say the same.

    Raises:
        ExportError: If a check fails, or a file cannot be run.
        RunError: If a file or a recorded number is missing, or the weights cannot be loaded.
    """
    quantized = not is_exact(model.passes)
    way = [each for each in stages(model) if is_exact(each.passes)]
    twin = way[-1]
    for each in (model, twin):
        _check_hash(each)
    file, twins = model.folder / "model.onnx", twin.folder / "model.onnx"
    module, valid, test = load_stages(context, way), context.task.valid, context.task.test
    output = context.task.output
    with _running(twins):
        parity = compare(module, twins, {name: valid.inputs[name][:PROOF_SAMPLES] for name in module.modalities})
        expected = run_onnx(twins, valid.inputs)
    if not parity.max_rel <= parity.tolerance:
        raise ExportError(
            f"{twin.name}: ONNX Runtime differs from torch by {parity.max_rel:.1e} of the largest output; expected at "
            f"most {parity.tolerance:.0e}. Nothing was exported.",
            AGAIN,
        )
    with _running(file):
        agreement = output.agreement(run_onnx(file, valid.inputs), expected)
        assessed = assess(file, output, {"": valid, "test_": test})
    scores: dict[str, float] = {}
    for name in output.scores:
        for field, split, which in ((name, valid, "validation"), (on_test(name), test, "test")):
            scores[field] = assessed[field]
            is_error = metric(name).direction == "minimize"
            _hold(model, field, scores[field], len(split), f"{which} {metric(name).title}", is_error)
    if quantized:
        _hold(model, "agreement", agreement, len(valid), "agreement with its twin in 32 bits")
    if agreement < MIN_AGREEMENT:
        raise ExportError(
            f"{model.name}: the quantized file says of only {agreement:.1%} of the validation split what its twin in "
            f"32 bits says; expected at least {MIN_AGREEMENT:.0%}. Nothing was exported.",
            "Export the twin, or compress with other passes.",
        )
    return Proof(parity.max_rel, parity.samples, parity.tolerance, agreement, scores)


def twin_of(model: Model) -> Model:
    """The last stage on the way to a model whose file is in 32 bits: itself, unless a pass of it is not exact.

    Raises:
        RunError: If it is not in the run any more.
    """
    return next(each for each in reversed(stages(model)) if is_exact(each.passes))


def _check_hash(model: Model) -> None:
    """Hold a file against the hash that was recorded when it was made; older runs recorded none."""
    file = model.folder / "model.onnx"
    try:
        found = file_hash(file)
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}.", AGAIN) from None
    recorded = model.metrics.get("sha256", found)
    if found != recorded:
        raise ExportError(
            f"{file}: is not the file that was made: its SHA-256 is {found[:12]}…; expected {str(recorded)[:12]}…. "
            "Nothing was exported.",
            AGAIN,
        )


@contextmanager
def _running(file: Path) -> Generator[None]:
    """Turn what ONNX Runtime and numpy raise for a file that is cut, garbage, or of another task into one sentence."""
    try:
        yield
    except (*ONNX_ERRORS, LookupError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{file}: cannot be run: {said}. Nothing was exported.", AGAIN) from None


def _hold(model: Model, field: str, found: float, samples: int, what: str, is_error: bool = False) -> None:
    """Hold a score against the recorded one; an error, which is in the unit of the data, by its share."""
    recorded = number_of(model.metrics, field)
    if math.isnan(recorded):
        raise RunError(f"{model.folder / 'model.json'}: records no {what} ({field}).", AGAIN)
    unit = abs(recorded) if is_error else 1.0
    if not abs(found - recorded) <= unit * max(FLIPPED, 1 / samples) + 1e-9:
        raise ExportError(
            f"{model.name}: {what} is {found:.4f}; expected {recorded:.4f} as recorded (differences up to "
            f"{FLIPPED:.1%} of the samples are taken for those of processors). Nothing was exported.",
            OTHERWISE if "sha256" in model.metrics else AGAIN,
        )
