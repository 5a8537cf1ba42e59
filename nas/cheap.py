"""What a search knows of a candidate before it is trained: its parameters and multiply-accumulate operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.blocks import count_macs, count_params
from nas.errors import BlockError, NasError
from nas.evaluate import build, input_shapes
from nas.ledger import Ledger
from nas.samplers import Cheap
from nas.space import Architecture, Space
from nas.tasks import Task

WEIGHED = 8
"""Candidates that are counted for each proposal: a network is built for each, which takes tens of milliseconds."""

_COUNTED = ("params", "macs")


def counted(ledger: Ledger, space: Space, task: Task) -> Cheap:
    """Count by building the network, once for each architecture; those of the ledger's trials were counted then.

    Args:
        ledger: Of the run.
        space: Of the run.
        task: Whose inputs and outputs the networks have.

    Returns:
        Of an architecture, `params` and `macs`; it raises BlockError where the network cannot be built.
    """
    known: dict[str, Mapping[str, float]] = {}
    for trial in ledger.trials():
        if all(name in trial.metrics for name in _COUNTED):
            known[space.architecture(trial.decisions).key] = _numbers(trial.metrics)

    def metrics(architecture: Architecture) -> Mapping[str, float]:
        if architecture.key not in known:
            known[architecture.key] = _count(architecture.network, task)
        return known[architecture.key]

    return metrics


def _count(network: Any, task: Task) -> Mapping[str, float]:
    try:
        module = build(network, task, seed=0)
        return _numbers({"params": count_params(module), "macs": count_macs(module, input_shapes(module))})
    except NasError:
        raise
    except Exception as error:  # whatever a user's own module raises is the candidate's, not the search's
        raise BlockError(f"the network cannot be counted: {type(error).__name__}: {error}") from error


def _numbers(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    return {name: float(metrics[name]) for name in _COUNTED}
