"""Passes applied to a trained network: exported again, counted and held against what they were applied to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nas.blocks.network import MultimodalNet
from nas.compression import ApplyContext, Pass, TrainedModel
from nas.errors import CompressionError
from nas.evaluation.build import counts, input_shapes
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import run_onnx
from nas.formats.weights import WEIGHTS_FILE, load_weights, save_weights
from nas.tasks import Task
from nas.training import Training, find_device, train

CALIBRATION_SAMPLES = 256


def trained_model(module: MultimodalNet, file: Path | None = None) -> TrainedModel:
    """A network with its weights, and the file that it was exported to, as passes take it."""
    return TrainedModel(module, file, input_shapes(module))


def apply_pass(
    step: Pass, source: TrainedModel, task: Task, training: Training, to: Path
) -> tuple[TrainedModel, dict[str, Any]]:
    """Apply a pass and write what it makes: `model.onnx` and `weights.safetensors`.

    Calibration and fine-tuning use the training split; a network is fine-tuned for as many epochs as it is trained,
    two at least, at half the learning rate.

    Args:
        step: What is applied.
        source: What it is applied to, of which a pass on files needs the file alone; its weights lie beside it.
        task: What is learnt.
        training: How the network was trained; one of no epochs is not fine-tuned either.
        to: The folder to write to.

    Returns:
        The model, exported, and what was proved and counted: of a pass on the network `params`, `macs`,
        `parity_max_rel` and, where it trained, `fine_tune_epochs` and `trained_on`; of one that is not exact
        `agreement` with the file before it on the validation split.

    Raises:
        CompressionError: If the pass cannot be applied.
        ExportError: If the network cannot be exported again.
    """
    metrics: dict[str, Any] = {}
    longer = replace(training, epochs=max(2, training.epochs), lr=training.lr / 2)

    def fine_tune(module: nn.Module) -> None:
        if not training.epochs:
            return
        train(module, task.output, task.train, task.valid, longer)
        metrics.update(fine_tune_epochs=longer.epochs, trained_on=str(find_device()))

    file = to / "model.onnx"
    made = step.apply(source, ApplyContext(file, calibration(task, training.seed), fine_tune))
    if made.module is None:
        _keep_weights(step, source, to)
    else:
        metrics |= _exported(as_network(made.module, step), task, to)
    if not step.is_exact:
        metrics["agreement"] = _agreement(source.onnx(step.label), file, task)
    return replace(made, file=file), metrics


def rebuild(module: MultimodalNet, way: Sequence[tuple[Pass | None, Path]]) -> MultimodalNet:
    """Give a network the form and the weights that passes gave it.

    Args:
        module: Built from its description; its weights are lost.
        way: The folder of the trained network with None, then each pass with the folder that it wrote.

    Returns:
        The network of the last folder in evaluation mode; after a pass on files, that before it.

    Raises:
        RunError: If weights are missing or do not fit.
        CompressionError: If a pass cannot be applied any more.
    """
    for step, folder in way:
        if step is not None and step.works_on == "file":
            break
        if step is not None:
            made = step.apply(trained_model(module), ApplyContext())
            module = as_network(made.network(step.label), step)
        load_weights(module, folder / WEIGHTS_FILE)
    return module.eval()


def calibration(task: Task, seed: int) -> dict[str, NDArray[Any]]:
    """Samples of the training split, drawn by a seed: input name → `(n, *shape)`."""
    chosen = np.random.default_rng(seed).permutation(len(task.train))[:CALIBRATION_SAMPLES]
    return {name: values[chosen] for name, values in task.train.inputs.items()}


def as_network(module: nn.Module, step: Pass) -> MultimodalNet:
    """What a pass made, as the network that it still has to be."""
    if not isinstance(module, MultimodalNet):
        raise CompressionError(f"{step.label}: gives a {type(module).__name__}; expected a network like the given one.")
    return module


def _exported(module: MultimodalNet, task: Task, to: Path) -> dict[str, Any]:
    save_weights(module, to / WEIGHTS_FILE)
    samples = {name: task.valid.inputs[name][:64] for name in module.modalities}
    parity = export_onnx(module, input_shapes(module), to / "model.onnx", samples, module.free)
    return {"parity_max_rel": parity.max_rel, **counts(module)}


def _keep_weights(step: Pass, source: TrainedModel, to: Path) -> None:
    """A pass on files leaves the weights of its network, which its file was made of."""
    weights = source.onnx(step.label).with_name(WEIGHTS_FILE)
    (to / WEIGHTS_FILE).write_bytes(weights.read_bytes())


def _agreement(before: Path, after: Path, task: Task) -> float:
    """Share of the validation split of which two files say the same."""
    return task.output.agreement(*(run_onnx(file, task.valid.inputs) for file in (before, after)))
