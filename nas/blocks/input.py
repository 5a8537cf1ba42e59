"""What a network is told of one modality, and the layer that standardises it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from nas.errors import BlockError


@dataclass(frozen=True)
class Input:
    """The raw input of one modality, and the statistics that standardise it.

    All inputs travel as float32, token ids and codes of categories included. NaN means "not there": the end of a
    series that is shorter than its neighbours in a batch (never its beginning or middle), or, where a whole sample is
    NaN, a missing modality. Token ids end with 0 likewise, and a sample of which all are 0 is missing.

    Attributes:
        shape: Without the batch axis: `(c, h, w)` pictures, `(samples,)` sound, `(t,)` token ids, `(c, t)` series,
            `(n,)` tables.
        mean: One number, or one for each index of the first axis.
        std: Likewise; positive.
        vocabulary: How many token ids there are, 0 of them padding; 0 for an input that is not text.
        categories: Column of a table → how many codes 0, 1, … it has; these columns are not standardised.
        free: Whether the last axis may have another length in the deployed model.

    Raises:
        BlockError: If statistics or categories do not fit the shape, or a deviation is not positive.
    """

    shape: tuple[int, ...]
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    vocabulary: int = 0
    categories: Mapping[int, int] = field(default_factory=dict[int, int])
    free: bool = False

    def __post_init__(self) -> None:
        for values in (self.mean, self.std):
            if isinstance(values, tuple) and len(values) != self.shape[0]:
                raise BlockError(f"Input: {len(values)} statistics for shape {self.shape}; expected {self.shape[0]}.")
        if not np.all(np.greater(self.std, 0)):
            raise BlockError(f"Input.std: {self.std}; expected positive numbers.")
        for column, codes in self.categories.items():
            if len(self.shape) != 1 or not 0 <= column < self.shape[0] or codes < 1:
                raise BlockError(
                    f"Input.categories: column {column} of shape {self.shape} with {codes} codes; expected columns of "
                    "a table and at least one code."
                )


class Standardise(nn.Module):
    """Subtracts the mean and divides by the standard deviation, as buffers that travel with the weights."""

    scale: Tensor
    shift: Tensor

    def __init__(self, given: Input) -> None:
        super().__init__()
        trailing = (1,) * (len(given.shape) - 1)
        mean, std = (np.atleast_1d(np.asarray(v, np.float32)) for v in (given.mean, given.std))
        if given.categories:
            mean, std = (np.broadcast_to(values, given.shape).copy() for values in (mean, std))
            columns = list(given.categories)
            mean[columns], std[columns] = 0, 1
        self.is_needed = not given.vocabulary
        self.register_buffer("scale", torch.from_numpy(1 / std).reshape(-1, *trailing))
        self.register_buffer("shift", torch.from_numpy(-mean / std).reshape(-1, *trailing))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, *shape)` to the same shape; token ids stay as they are."""
        return x * self.scale + self.shift if self.is_needed else x
