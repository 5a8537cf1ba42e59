"""What is known of architectures before they are trained, and how far it breaks limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.objective import Limit, excess
from nas.samplers.base import Cheap
from nas.space import Architecture


class Known:
    """Cheap metrics of architectures, each asked for once.

    Args:
        cheap: Tells them; what raises a `NasError` cannot be counted, so it cannot be built either. None knows nothing.
        limits: On them.
    """

    def __init__(self, cheap: Cheap | None, limits: Sequence[Limit]) -> None:
        self._cheap = cheap
        self._limits = tuple(limits)
        self._metrics: dict[str, Mapping[str, float] | None] = {}

    def metrics(self, architecture: Architecture) -> Mapping[str, float] | None:
        """Its metrics; None where they cannot be counted."""
        if self._cheap is None:
            return {}
        if architecture.key not in self._metrics:
            try:
                self._metrics[architecture.key] = dict(self._cheap(architecture))
            except NasError:
                self._metrics[architecture.key] = None
        return self._metrics[architecture.key]

    def violation(self, architecture: Architecture) -> float:
        """By how much it breaks the limits, each as a share of its bound; infinite where it cannot be counted."""
        metrics = self.metrics(architecture)
        return math.inf if metrics is None else excess(self._limits, metrics)

    def table(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """The metrics of those names as `(n, q)`; NaN where they cannot be counted."""
        found = [self.metrics(architecture) for architecture in architectures]
        rows = [[math.nan if metrics is None else float(metrics[name]) for name in names] for metrics in found]
        return np.array(rows).reshape(len(rows), len(names))
