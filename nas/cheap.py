"""What a search knows of a candidate before it is trained: its parameters and multiply-accumulate operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.blocks import Network
from nas.blocks.counting import Counter
from nas.errors import BlockError, NasError, TrainingError
from nas.ledger import Ledger
from nas.samplers import Cheap
from nas.space import Architecture, Space
from nas.tasks import Task

WEIGHED = 100
"""Candidates that are counted for each proposal; each takes some milliseconds, and less the longer a search lasts."""

COUNTABLE = ("params", "macs")
"""What can be counted."""


def counted(ledger: Ledger, space: Space, task: Task) -> Cheap:
    """Count without drawing weights, each architecture once; those of the ledger's trials were counted then.

    Args:
        ledger: Of the run.
        space: Of the run.
        task: Whose inputs and outputs the networks have.

    Returns:
        Of an architecture, `params` and `macs`; it raises BlockError where the network cannot be built.
    """
    counter = Counter(task.inputs, len(task.labels))
    known: dict[str, Mapping[str, float]] = {}
    for trial in ledger.trials():
        if all(name in trial.metrics for name in COUNTABLE):
            known[space.architecture(trial.decisions).key] = _numbers(trial.metrics)

    def metrics(architecture: Architecture) -> Mapping[str, float]:
        if architecture.key not in known:
            known[architecture.key] = _count(architecture.network, counter)
        return known[architecture.key]

    return metrics


def _count(network: Any, counter: Counter) -> Mapping[str, float]:
    if not isinstance(network, Network):
        raise TrainingError(f"the space resolves to {type(network).__name__}; expected a Network.")
    try:
        return _numbers(counter.count(network))
    except NasError:
        raise
    except Exception as error:  # whatever a user's own module raises is the candidate's, not the search's
        raise BlockError(f"the network cannot be counted: {type(error).__name__}: {error}") from error


def _numbers(metrics: Mapping[str, Any]) -> Mapping[str, float]:
    return {name: float(metrics[name]) for name in COUNTABLE}
