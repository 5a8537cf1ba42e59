"""The gate: a damaged file, weights or record stays out of a bundle, each with its own sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nas.compression import Pass, Quantize
from nas.deploy.proof import FLIPPED, Proof, prove
from nas.errors import ExportError, NasError, RunError
from nas.pipeline.run import open_run
from nas.runs.files import file_hash, write_json
from nas.runs.ledger import Ledger, open_ledger
from nas.runs.models import Model, write_model

EIGHT = Quantize()


def of_stage(ledger: Ledger, *passes: Pass) -> Model:
    return next(model for model in ledger.models() if model.passes == passes)


def change_weights(file: Path, kind: int, change: Callable[[np.ndarray], np.ndarray], tensors: int = 1) -> None:
    """Change the values of the first matrices of a type."""
    model = onnx.load(file)
    found = [t for t in model.graph.initializer if len(t.dims) == 2 and t.data_type == kind]
    for tensor in found[:tensors]:
        tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), tensor.name))
    onnx.save(model, file)


def zeroed(share: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[np.random.default_rng(0).random(values.shape) < share] = 0
        return values

    return change


def record(model: Model, **metrics: object) -> Model:
    """The model with other recorded metrics."""
    changed = replace(model, metrics={**model.metrics, **metrics})
    write_model(model.folder, changed)
    return changed


def proven(run: Path, name: str) -> Proof:
    ledger, context = open_run(run)
    return prove(context, next(model for model in ledger.models() if model.name == name))


def forget_hash(model: Model) -> Model:
    """The model as an older run recorded it."""
    values = json.loads((model.folder / "model.json").read_text())
    del values["metrics"]["sha256"]
    write_json(model.folder / "model.json", values)
    return replace(model, metrics=values["metrics"])


def refused(run: Path, model: Model, error: type[NasError], message: str) -> None:
    with pytest.raises(error, match=message):
        proven(run, model.name)


def test_every_model_is_what_was_recorded(finished_run: Path) -> None:
    ledger, context = open_run(finished_run)
    for model in ledger.models():
        assert model.metrics["sha256"] == file_hash(model.folder / "model.onnx")
        proof = prove(context, model)
        assert proof.scores["accuracy"] == model.metrics["accuracy"]
        assert proof.scores["test_accuracy"] == model.metrics["test_accuracy"]
        assert proof.agreement == model.metrics.get("agreement", 1.0)


def test_a_file_that_differs_from_its_network_is_refused(finished_run: Path) -> None:
    model = forget_hash(of_stage(open_ledger(finished_run)))
    change_weights(model.folder / "model.onnx", onnx.TensorProto.FLOAT, lambda values: values * np.float32(1.01))
    refused(finished_run, model, ExportError, "differs from torch by .* Nothing was exported")


def test_a_quantized_file_whose_accuracy_fell_is_refused(finished_run: Path) -> None:
    model = forget_hash(of_stage(open_ledger(finished_run), EIGHT))
    change_weights(model.folder / "model.onnx", onnx.TensorProto.INT8, zeroed(0.7), tensors=9)
    message = r"validation accuracy is 0\.\d+; expected 0\.\d+ as recorded .*\nRefine or compress the run again"
    refused(finished_run, model, ExportError, message)


@pytest.mark.parametrize("passes", [(), (EIGHT,)])
def test_a_file_of_which_one_weight_changed_is_told_by_its_hash(finished_run: Path, passes: tuple[Pass, ...]) -> None:
    model = of_stage(open_ledger(finished_run), *passes)
    file = model.folder / "model.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(finished_run, model, ExportError, "is not the file that was made: its SHA-256 is ")


def test_the_twin_is_held_against_its_hash_too(finished_run: Path) -> None:
    ledger = open_ledger(finished_run)
    twin = of_stage(ledger)
    record(twin, sha256="0" * 64)
    model = next(m for m in ledger.models() if (m.parent, m.passes) == (twin.name, (EIGHT,)))
    refused(finished_run, model, ExportError, "expected 000000000000…")


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ("accuracy", "validation accuracy"),
        ("test_accuracy", "test accuracy"),
        ("agreement", "agreement with its twin in 32 bits"),
    ],
)
def test_every_recorded_score_is_held(finished_run: Path, metric: str, what: str) -> None:
    model = of_stage(open_ledger(finished_run), EIGHT)
    record(model, **{metric: model.metrics[metric] - 0.1})
    refused(finished_run, model, ExportError, f"{what} is ")
    record(model, **{metric: float("nan")})
    refused(finished_run, model, RunError, f"model.json: records no {what}")
    record(model, **{metric: model.metrics[metric] - 1 / 60})  # one of sixty samples: another processor may do that
    assert FLIPPED < 1 / 60
    proven(finished_run, model.name)


def test_an_intact_file_that_computes_otherwise_is_not_called_changed(finished_run: Path) -> None:
    model = of_stage(open_ledger(finished_run))
    record(model, accuracy=0.1)
    refused(finished_run, model, ExportError, "\nThe file has its recorded hash: this processor")


@pytest.mark.parametrize("passes", [(), (EIGHT,)])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "model.onnx: cannot be run: "),
        (lambda _: b"garbage" * 99, "model.onnx: cannot be run: "),
        (lambda _: b"", "model.onnx: cannot be run: "),
    ],
    ids=["cut", "garbage", "empty"],
)
def test_a_file_that_is_none_is_one_sentence(
    finished_run: Path, passes: tuple[Pass, ...], content: Callable[[bytes], bytes], message: str
) -> None:
    model = of_stage(open_ledger(finished_run), *passes)
    file = model.folder / "model.onnx"
    file.write_bytes(content(file.read_bytes()))
    refused(finished_run, model, ExportError, "is not the file that was made")
    refused(finished_run, forget_hash(model), ExportError, message)


def test_a_file_of_other_inputs_is_one_sentence(finished_run: Path) -> None:
    model = forget_hash(of_stage(open_ledger(finished_run)))
    other = onnx.load(model.folder / "model.onnx")
    for node in other.graph.node:
        node.input[:] = ["other" if name == "table" else name for name in node.input]
    other.graph.input[0].name = "other"
    onnx.save(other, model.folder / "model.onnx")
    refused(finished_run, model, ExportError, "model.onnx: cannot be run: .*other")


@pytest.mark.parametrize("content", [b"", b"garbage" * 99, None], ids=["empty", "garbage", "missing"])
def test_damaged_weights_are_one_sentence(finished_run: Path, content: bytes | None) -> None:
    model = of_stage(open_ledger(finished_run))
    file = model.folder / "weights.safetensors"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    refused(finished_run, model, RunError, "weights.safetensors: cannot be loaded: ")


def test_missing_files_are_one_sentence(finished_run: Path) -> None:
    ledger = open_ledger(finished_run)
    model = of_stage(ledger, EIGHT)
    (model.folder / "model.onnx").unlink()
    refused(finished_run, model, RunError, "model.onnx: cannot be read: No such file")
    pruned = next(m for m in ledger.models() if m.passes[-1:] == (EIGHT,) and len(m.passes) == 2)
    (ledger.folder / "models" / str(pruned.parent) / "model.json").unlink()
    refused(finished_run, pruned, RunError, "was made of .*, which is not there any more")
