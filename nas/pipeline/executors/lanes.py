"""How many trials run at a time, and what share of a GPU each of them holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

TRIALS_PER_GPU = 4
"""How many trials share a GPU unless workers are asked for: small networks leave most of one idle."""

_GRAIN = 10_000
"""Ray counts resources in parts of so many; shares are rounded down to them, or the last trial would not fit."""


@dataclass(frozen=True)
class Lanes:
    """What trials run in.

    Attributes:
        workers: Trials at a time.
        gpu: The share of a GPU that each holds; 0 where none trains.
    """

    workers: int
    gpu: float = 0.0


def lanes(cores: int, gpus: int, workers: int | None = None) -> Lanes:
    """Share cores and GPUs among trials: on CPUs one trial a core, on GPUs four each, at most one a core.

    Args:
        cores: That may train.
        gpus: That are to train; 0 trains on the CPUs.
        workers: Trials at a time, if so many are asked for; GPUs are shared evenly among them.
    """
    if not gpus:
        return Lanes(workers or cores)
    count = workers or min(cores, TRIALS_PER_GPU * gpus)
    return Lanes(count, _GRAIN // math.ceil(count / gpus) / _GRAIN)
