"""What the module of every fusion of ours is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from nas.blocks.features import Features


class FusionModule(nn.Module, ABC):
    """The module of a fusion of ours.

    Attributes:
        deep: Whether it takes a list of the features of all depths for each modality instead of the last ones.
    """

    deep: ClassVar[bool] = False

    @abstractmethod
    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features of each modality to `(b, d)`; `present` tells for each which samples `(b,)` have it."""
