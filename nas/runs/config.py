"""What a run is to do, as one value: from the command or the call that begins it to `run.json`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.objectives.objective import Limit, Objective, parse_limit, parse_objective


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The terms of a run, all of them in the form that JSON keeps.

    A field that came later has the default that runs of before had; the other defaults of a new run are
    `nas.pipeline.run_config.DEFAULTS`.

    Attributes:
        task: Name of the task.
        data: Where the data folder or table was; may be empty.
        label: The table's columns to predict; none for a built-in task.
        objectives: Metrics, each with its own direction.
        limits: For example `latency_ms<=2`.
        target: The fields of the target, and its kind.
        sampler: Name of the sampler.
        seed: Seed of everything random.
        training: The fields of `Training`.
        screen: Name of the proxy that chooses among proposals; empty for none.
        proposals: How many it chooses from.
    """

    task: str
    data: str
    label: tuple[str, ...]
    objectives: tuple[str, ...]
    limits: tuple[str, ...]
    target: Mapping[str, Any]
    sampler: str
    seed: int
    training: Mapping[str, Any]
    screen: str = ""
    proposals: int = 8

    @property
    def target_text(self) -> str:
        """What the target is called, and how many threads it has where that is not one."""
        threads = self.target.get("threads", 1)
        return f"{self.target.get('name', '')}{f', {threads} threads' if threads != 1 else ''}"

    @property
    def parsed_objectives(self) -> tuple[Objective, ...]:
        """The objectives as values."""
        return tuple(parse_objective(text) for text in self.objectives)

    @property
    def parsed_limits(self) -> tuple[Limit, ...]:
        """The limits as values."""
        return tuple(parse_limit(text) for text in self.limits)
