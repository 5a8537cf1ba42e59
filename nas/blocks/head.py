"""Heads: from fused features to outputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class MLP:
    """A linear layer, or two with ReLU between.

    Attributes:
        hidden: Features between the layers; 0 for a single layer.
        dropout: Share of features dropped before the last layer while training.
    """

    hidden: int = 0
    dropout: float = 0.0

    def build(self, features: int, outputs: int) -> nn.Module:
        """Build a module from `(b, features)` to `(b, outputs)`."""
        layers: list[nn.Module] = [nn.Linear(features, self.hidden), nn.ReLU()] if self.hidden else []
        layers += [nn.Dropout(self.dropout)] if self.dropout else []
        return nn.Sequential(*layers, nn.Linear(self.hidden or features, outputs))
