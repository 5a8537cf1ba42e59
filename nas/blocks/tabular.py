"""Encoders of tables: standardised numbers, and categories as numbers or as codes to embed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.blocks.attention import TransformerLayer
from nas.blocks.conv import Stages
from nas.blocks.features import Features
from nas.blocks.input import Input
from nas.blocks.layers import Activation, activation
from nas.errors import BlockError


@dataclass(frozen=True)
class Dense:
    """Fully connected layers; each is a depth.

    Attributes:
        width: Features of each layer.
        depth: Layers.
        dropout: Share of features dropped after each layer while training.
        residual: Whether layers after the first add to what they get (Gorishniy et al., 2021).
        activation: `relu`, `hardswish`, `silu` or `gelu`.
        embed: Features of each category of the input.
    """

    width: int = 64
    depth: int = 2
    dropout: float = 0.0
    residual: bool = False
    activation: Activation = "relu"
    embed: int = 8

    def canonical(self) -> Dense:
        """The first layer has nothing to add to."""
        return replace(self, residual=self.residual and self.depth > 1)

    @property
    def depth_count(self) -> int:
        """Each layer."""
        return self.depth

    def until(self, count: int) -> Dense:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, depth=min(count, self.depth))

    def build(self, given: Input) -> nn.Module:
        """Build for vectors `(b, features)`; features are `(b, width)`.

        Raises:
            BlockError: If the input is not a vector, or there is no layer.
        """
        if len(given.shape) != 1 or given.free or given.vocabulary or self.depth < 1:
            raise BlockError(
                f"Dense: the input has shape {given.shape}, depth is {self.depth}; expected a vector of fixed length "
                "and depth >= 1."
            )
        embedding = [Embedded(given, self.embed)] if given.categories else []
        features = embedding[0].features if embedding else given.shape[0]
        parts: list[nn.Module] = []
        for position in range(self.depth):
            body = nn.Sequential(nn.Linear(features, self.width), activation(self.activation))
            if self.dropout:
                body.append(nn.Dropout(self.dropout))
            parts.append(Added(body) if self.residual and position else body)
            features = self.width
        parts[0] = nn.Sequential(*embedding, parts[0])
        return Stages(parts, None)


@dataclass(frozen=True)
class FTTransformer:
    """Every column is a token of a transformer (Gorishniy et al., FT-Transformer, 2021).

    Attributes:
        dim: Features of each token.
        heads: They divide `dim`.
        layers: At least one.
        dropout: Share of features dropped while training.
    """

    dim: int = 16
    heads: int = 2
    layers: int = 1
    dropout: float = 0.0

    @property
    def depth_count(self) -> int:
        """Each layer."""
        return self.layers

    def until(self, count: int) -> FTTransformer:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, layers=min(count, self.layers))

    def build(self, given: Input) -> nn.Module:
        """Build for vectors `(b, columns)`; gives `(b, dim, columns)`.

        Raises:
            BlockError: If the input is not a vector, or there is no layer.
        """
        if len(given.shape) != 1 or given.free or given.vocabulary or self.layers < 1:
            raise BlockError(
                f"FTTransformer: the input has shape {given.shape}, layers are {self.layers}; expected a vector and at "
                "least one layer."
            )
        return ColumnTransformer(given, self)


class Added(nn.Module):
    """Adds its input to what a body makes of it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, width)` to the same shape."""
        return x + self.body(x)


class Columns(nn.Module):
    """Tells numbers from codes of categories, and embeds the latter; an unknown code counts as the last one.

    Args:
        given: The table.
        width: Features of each embedded category.
    """

    def __init__(self, given: Input, width: int) -> None:
        super().__init__()
        self.numbers = [i for i in range(given.shape[0]) if i not in given.categories]
        self.levels = dict(given.categories)
        self.tables = nn.ModuleList(nn.Embedding(levels, width) for levels in self.levels.values())

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map `(b, columns)` to the numbers `(b, n)` and a vector `(b, width)` for each category."""
        vectors = [
            table(torch.nan_to_num(x[:, column]).clamp(0, levels - 1).to(torch.long))
            for table, (column, levels) in zip(self.tables, self.levels.items(), strict=True)
        ]
        return x[:, self.numbers], vectors


class Embedded(nn.Module):
    """Replaces codes of categories by learned vectors.

    Attributes:
        features: Of the result.
    """

    def __init__(self, given: Input, width: int) -> None:
        super().__init__()
        self.columns = Columns(given, width)
        self.features = len(self.columns.numbers) + width * len(given.categories)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, columns)` to `(b, features)`."""
        numbers, vectors = self.columns(x)
        return torch.cat([numbers, *vectors], 1)


class ColumnTransformer(nn.Module):
    """The module of `FTTransformer`."""

    def __init__(self, given: Input, block: FTTransformer) -> None:
        super().__init__()
        self.columns = Columns(given, block.dim)
        numbers = len(self.columns.numbers)
        self.scales, self.shifts = (
            nn.Parameter(nn.init.normal_(torch.empty(1, numbers, block.dim), std=0.2)) for _ in range(2)
        )
        self.layers = nn.ModuleList(
            TransformerLayer(block.dim, block.heads, dropout=block.dropout) for _ in range(block.layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, columns)` to `(b, dim, columns)`."""
        return self.depths(x)[-1].values

    def depths(self, x: Tensor) -> list[Features]:
        """Map `(b, columns)` to the features of each layer."""
        numbers, vectors = self.columns(x)
        steps = torch.cat([numbers.unsqueeze(2) * self.scales + self.shifts, *(v.unsqueeze(1) for v in vectors)], 1)
        found: list[Features] = []
        for layer in self.layers:
            steps = layer(steps)
            found.append(Features(steps.transpose(1, 2)))
        return found
