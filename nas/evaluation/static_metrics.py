"""What a search knows of a candidate before it is trained: its parameters and multiply-accumulate operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.blocks import count_params
from nas.blocks.counting import Counter
from nas.blocks.module import unnoticed
from nas.blocks.network import network_of
from nas.errors import BlockError, NasError
from nas.objectives.metrics import STATIC
from nas.runs.ledger import Ledger
from nas.samplers import StaticMetrics
from nas.space.space import Architecture, Space
from nas.tasks import Task

CANDIDATES = 100
"""Candidates that are counted for each proposal; each takes some milliseconds, and less the longer a search lasts."""


def counted(ledger: Ledger, space: Space, task: Task) -> StaticMetrics:
    """Count without drawing weights, each architecture once; those of the ledger's trials were counted then.

    Samplers take what is not counted to be what cannot be built, and leave it out. So where no objective and no limit
    is on MACs, those of a network that cannot be counted are taken to be as many as its parameters, each of which is
    used at least once.

    Args:
        ledger: Of the run.
        space: Of the run.
        task: Whose inputs and outputs the networks have.

    Returns:
        Of an architecture, `params` and `macs`; it raises BlockError where the network cannot be built, or its MACs are
        needed and cannot be counted.
    """
    counter = Counter(task.inputs, task.output.size)
    record = ledger.record
    are_needed = "macs" in (*record.objectives, *(limit.metric for limit in record.parsed_limits))
    known: dict[str, Mapping[str, float]] = {}
    for trial in ledger.trials():
        if all(name in trial.metrics for name in STATIC):
            known[space.architecture(trial.decisions).key] = _numbers(trial.metrics)

    def metrics(architecture: Architecture) -> Mapping[str, float]:
        if architecture.key not in known:
            known[architecture.key] = _count(architecture.network, counter, None if are_needed else task)
        return known[architecture.key]

    return metrics


def _count(described: Any, counter: Counter, task: Task | None) -> Mapping[str, float]:
    """The metrics of a network; with a task its parameters alone where its MACs cannot be counted."""
    network = network_of(described)
    try:
        return _numbers(counter.count(network))
    except NasError:
        raise
    except Exception as error:  # whatever a user's own module raises is the candidate's, not the search's
        if task is None:
            raise BlockError(f"the network cannot be counted: {type(error).__name__}: {error}") from error
    parts = [dict(network.encoders), network.fusion, network.head]
    params = unnoticed(parts, lambda: count_params(network.build(task.inputs, task.output.size)))
    return {"params": float(params), "macs": float(params)}


def _numbers(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    return {name: float(metrics[name]) for name in STATIC}
