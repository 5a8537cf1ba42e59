"""From a closed network description to a module, and what can be counted of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nas.blocks import count_macs, count_params
from nas.blocks.network import MultimodalNet, network_of
from nas.errors import BUILD_ERRORS
from nas.tasks import Task


def build(network: Any, task: Task, seed: int) -> MultimodalNet:
    """Build a closed network description for a task, its initial weights drawn by a seed.

    Raises:
        TrainingError: If the description is not a network.
        BlockError: If a block does not fit its input.
    """
    described = network_of(network)
    torch.manual_seed(seed)
    return described.build(task.inputs, task.output.size)


def counts(module: MultimodalNet) -> dict[str, int]:
    """The parameters of a module, and its MACs unless they cannot be counted.

    Counting calls the module without values or on zeros, which one of the user's own may not stand; a call that cannot
    be exported either says so there.
    """
    found = {"params": count_params(module)}
    try:
        return {**found, "macs": count_macs(module, input_shapes(module))}
    except BUILD_ERRORS:
        return found


def input_shapes(module: MultimodalNet) -> Mapping[str, tuple[int, ...]]:
    """The shape of each input without the batch axis, in the module's order."""
    return dict(zip(module.modalities, module.input_shapes, strict=True))
