"""Encoders of vectors: standardised numbers and coded categories."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nas.errors import BlockError


@dataclass(frozen=True)
class Dense:
    """Fully connected layers with ReLU.

    Attributes:
        width: Features of each layer.
        depth: Layers.
        dropout: Share of features dropped after each layer while training.
    """

    width: int = 64
    depth: int = 2
    dropout: float = 0.0

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Build for vectors `(b, features)`; features are `(b, width)`.

        Raises:
            BlockError: If the input is not a vector, or there is no layer.
        """
        if len(shape) != 1 or self.depth < 1:
            raise BlockError(
                f"Dense: the input has shape {shape}, depth is {self.depth}; expected a vector and depth >= 1."
            )
        layers: list[nn.Module] = []
        features = shape[0]
        for _ in range(self.depth):
            layers += [nn.Linear(features, self.width), nn.ReLU()]
            layers += [nn.Dropout(self.dropout)] if self.dropout else []
            features = self.width
        return nn.Sequential(*layers)
