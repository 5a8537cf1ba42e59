"""Attention and the transformer layer, in plain matrix products that export at any length."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nas.blocks.features import FAR
from nas.blocks.widths import projections
from nas.errors import BlockError


class Attention(nn.Module):
    """Scaled dot-product attention (Vaswani et al., 2017) over any number of tokens.

    Where batch and length are pinned when the exported file is loaded, its graph computes no shapes.

    Args:
        dim: Features of each token.
        heads: They divide `dim`.

    Raises:
        BlockError: If they do not.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise BlockError(f"{heads} heads do not divide dim {dim}; expected a divisor.")
        self.heads, self.scale = heads, 1 / math.sqrt(dim // heads)
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map `(b, l, dim)` attending to `(b, k, dim)` to `(b, l, dim)`; of the context only what the mask lets."""
        query, key, value = (self._split(t) for t in (self.query(x), self.key(context), self.value(context)))
        scores = query @ key.transpose(2, 3) * self.scale
        if mask is not None:
            scores = torch.where(mask.reshape(-1, 1, 1, mask.shape[1]), scores, FAR)
        return self.out((torch.softmax(scores, 3) @ value).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """Map `(b, l, dim)` to `(b, heads, l, dim / heads)`."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Attention and a feed-forward net, each after a normalisation and beside a residual (Xiong et al., 2020).

    Args:
        dim: Features of each token.
        heads: They divide `dim`.
        expand: Hidden features of the feed-forward net as a multiple of `dim`.
        dropout: Share of features dropped while training.
    """

    def __init__(self, dim: int, heads: int, expand: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.feed = nn.Sequential(nn.Linear(dim, dim * expand), nn.ReLU(), nn.Linear(dim * expand, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens `(b, l, dim)` to the same shape; the mask is `(b, l)`."""
        normal = self.before(x)
        x = x + self.dropout(self.attention(normal, normal, mask))
        return x + self.dropout(self.feed(self.between(x)))

    def unprunable(self) -> list[nn.Module]:
        """All of it: heads divide its width, and residuals add it up."""
        return projections(self)


class Positions(nn.Module):
    """Tells tokens of any number where they stand by a depthwise convolution (Mohamed et al., 2019)."""

    def __init__(self, dim: int, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, t)` to the same shape."""
        return x + self.conv(x)
