"""What is known of architectures before they are trained, and how far it breaks limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError, SamplerError
from nas.objectives.objective import Limit, excess
from nas.samplers.base import StaticMetrics
from nas.space.space import Architecture


class Known:
    """Cheap metrics of architectures, each asked for once.

    Args:
        static_metrics: Tells them; what raises a `NasError`, or has one that is no finite number, cannot be counted, so
            it is taken to be one that cannot be built either. None knows nothing.
        limits: On them.
    """

    def __init__(self, static_metrics: StaticMetrics | None, limits: Sequence[Limit]) -> None:
        self._cheap = static_metrics
        self._limits = tuple(limits)
        self._metrics: dict[str, Mapping[str, float] | None] = {}

    def metrics(self, architecture: Architecture) -> Mapping[str, float] | None:
        """Its metrics; None where they cannot be counted."""
        if self._cheap is None:
            return {}
        if architecture.key not in self._metrics:
            try:
                metrics = {name: float(value) for name, value in self._cheap(architecture).items()}
            except NasError:
                metrics = {"": math.nan}
            self._metrics[architecture.key] = metrics if all(map(math.isfinite, metrics.values())) else None
        return self._metrics[architecture.key]

    def violation(self, architecture: Architecture) -> float:
        """By how much it breaks the limits, each as a share of its bound; infinite where it cannot be counted."""
        metrics = self.metrics(architecture)
        return math.inf if metrics is None else excess(self._limits, metrics)

    def table(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """The metrics of those names as `(n, q)`, of architectures that can be counted.

        Raises:
            SamplerError: If an architecture has others.
        """
        rows: list[list[float]] = []
        for architecture in architectures:
            metrics = self.metrics(architecture) or {}
            if sorted(metrics) != list(names):
                raise SamplerError(
                    f"static_metrics: {', '.join(sorted(metrics)) or 'nothing'} of {dict(architecture.decisions)}, and "
                    f"{', '.join(names)} of another architecture; expected the same metrics of all.",
                    "Raise a NasError for what cannot be counted.",
                )
            rows.append([float(metrics[name]) for name in names])
        return np.array(rows).reshape(len(rows), len(names))
