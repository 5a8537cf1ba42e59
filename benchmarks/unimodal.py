"""Train the encoders of a found architecture alone, as the baseline that fusion has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas.blocks import Network
from nas.evaluation.build import build
from nas.pipeline.context import WorkerContext
from nas.runs.models import Model
from nas.training import Training, score, train


def unimodal_accuracy(context: WorkerContext, model: Model, training: Training) -> Mapping[str, float]:
    """Test accuracy of each encoder of a model on its own, with the same fusion's projection, head and training."""
    network = context.space().architecture(model.decisions).network
    scores: dict[str, float] = {}
    for name, encoder in network.encoders.items():
        alone: Network = replace(network, encoders={name: encoder})
        module = build(alone, context.task, training.seed)
        train(module, context.task.output, context.task.train, context.task.valid, training)
        scores[name] = score(module, context.task.output, context.task.test)[context.task.output.main]
    return scores
