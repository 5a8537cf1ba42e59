"""A candidate: a network, the passes that its trained model goes through, and what it says about its training.

All three are descriptions and may hold open choices, so that one space has them all. A `Network` alone is a candidate
without passes that is trained as the run says.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.blocks import Network
from nas.blocks.network import MultimodalNet, network_of
from nas.compression import Pass, TrainedModel, check_chain, to_json
from nas.errors import CompressionError, TrainingError
from nas.evaluation.applied import apply_pass, trained_model
from nas.evaluation.assess import assess
from nas.formats.weights import WEIGHTS_FILE, save_weights
from nas.objectives.metrics import STATIC
from nas.runs.files import file_hash, write_json
from nas.runs.models import STAGES_FOLDER
from nas.tasks import Task
from nas.training import Recipe, Training

UNTRAINED_FOLDER = "untrained"
"""Where passes write what they make of an untrained network."""


@dataclass(frozen=True)
class Candidate:
    """What a space may resolve to instead of a network.

    What is counted before training (`params`, `macs`) is of the network as described, whatever the passes make of it;
    scores, size and latency are of the file that the last pass leaves.

    Attributes:
        network: The network.
        passes: Applied to the trained model, in order; None and lists among them are read as one list without None, so
            that `passes=(maybe(Prune(0.5)), maybe(Quantize()))` are four candidates. Options that are tuples of passes
            need names: `choose(none=(), int8=(Quantize(),))`.
        training: What it overrides of the run's training; None is the run's own.
    """

    network: Network
    passes: Sequence[Pass | Sequence[Pass] | None] = ()
    training: Recipe | None = None

    def canonical(self) -> Candidate | Network:
        """Without passes that are left out; the network alone where nothing else is said."""
        chain, recipe = tuple(_flat(self.passes)), None if self.training == Recipe() else self.training
        return replace(self, passes=chain, training=recipe) if chain or recipe else self.network.canonical()

    @property
    def chain(self) -> tuple[Pass, ...]:
        """The passes one after another, without those that are left out."""
        return tuple(_flat(self.passes))

    def cost(self, name: str) -> int:
        """What the network costs before any pass; see `Network.cost`."""
        return self.network.cost(name)

    def trained_by(self, run: Training) -> Training:
        """How it is trained in a run."""
        return run if self.training is None else self.training.over(run)


def candidate_of(described: Any) -> Candidate:
    """The candidate that a space resolves to.

    Raises:
        TrainingError: If it is neither a candidate nor a network, or its training is no recipe.
        CompressionError: If its passes cannot follow each other, or are none.
    """
    network = network_of(described)
    if not isinstance(described, Candidate):
        return Candidate(network)
    recipe: Any = described.training
    if recipe is not None and not isinstance(recipe, Recipe):
        raise TrainingError(
            f"Candidate.training: is a {type(recipe).__name__}; expected a Recipe, which overrides only what it names.",
            "For example Recipe(lr=choose(1e-3, 4e-3)).",
        )
    for step in described.chain:
        if not isinstance(step, Pass):  # pyright: ignore[reportUnnecessaryIsInstance] - a space may hold anything
            raise CompressionError(f"Candidate.passes: {step!r:.60}; expected passes, such as Prune(0.5).")
        to_json(step)
    check_chain(described.chain)
    return described


def compress_trained(
    passes: Sequence[Pass], module: MultimodalNet, folder: Path, task: Task, training: Training
) -> dict[str, Any]:
    """Apply a candidate's passes to its trained model, whose files they take the place of.

    What each pass was applied to stays in `stages/<number>/`: its file, weights and `metrics.json`. With them the
    network is built again, and a file in 8 bits is held against its twin in 32.

    Args:
        passes: One at least.
        module: The trained network.
        folder: Where its `model.onnx` and weights lie.
        task: What is learnt.
        training: How it was trained, and is fine-tuned.

    Returns:
        What `apply_pass` tells of the last pass of each kind, the counts of the compressed network as
        `compressed_params` and `compressed_macs`, and how the last file scores.

    Raises:
        CompressionError: If a pass cannot be applied.
        ExportError: If a pruned network cannot be exported again.
    """
    metrics: dict[str, Any] = {}
    model = _moved(module, folder)
    for number, step in enumerate(passes, 1):
        _describe_stage(folder / STAGES_FOLDER / str(number - 1), task)
        to = folder if number == len(passes) else folder / STAGES_FOLDER / str(number)
        to.mkdir(exist_ok=True)
        model, found = apply_pass(step, model, task, training, to)
        metrics |= {f"compressed_{name}" if name in STATIC else name: value for name, value in found.items()}
    return metrics | assess(folder / "model.onnx", task.output, {"": task.valid})


def compressed_untrained(
    passes: Sequence[Pass], module: MultimodalNet, folder: Path, task: Task, training: Training
) -> Path:
    """The file that passes make of an untrained network: as large and as fast as it will be, nearly.

    Args:
        passes: One at least.
        module: The network, which is left as it is.
        folder: Where its `model.onnx` lies; the passes write to a folder in it.
        task: Gives samples for calibration.
        training: Of the candidate.
    """
    model, to = trained_model(module, folder / "model.onnx"), folder
    save_weights(module, folder / WEIGHTS_FILE)
    shutil.rmtree(folder / UNTRAINED_FOLDER, ignore_errors=True)
    for number, step in enumerate(passes):
        to = folder / UNTRAINED_FOLDER / str(number)
        to.mkdir(parents=True)
        model, _ = apply_pass(step, model, task, replace(training, epochs=0), to)
    return to / "model.onnx"


def _flat(passes: Any) -> Iterator[Pass]:
    for step in passes if isinstance(passes, list | tuple) else [passes]:
        if isinstance(step, list | tuple):
            yield from _flat(step)
        elif step is not None:
            yield step


def _moved(module: MultimodalNet, folder: Path) -> TrainedModel:
    """Put a trained model's files where its first stage is."""
    shutil.rmtree(folder / STAGES_FOLDER, ignore_errors=True)  # of a worker that was killed
    first = folder / STAGES_FOLDER / "0"
    first.mkdir(parents=True)
    for name in ("model.onnx", WEIGHTS_FILE):
        (folder / name).replace(first / name)
    return trained_model(module, first / "model.onnx")


def _describe_stage(folder: Path, task: Task) -> None:
    file = folder / "model.onnx"
    write_json(folder / "metrics.json", {**assess(file, task.output, {"": task.valid}), "sha256": file_hash(file)})
