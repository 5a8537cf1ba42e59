"""Encoders of token ids: embedded and read, counted as a bag of words, or read by a pretrained model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.depths import depth_count, until
from nas.blocks.features import Features, masked
from nas.blocks.input import Input
from nas.blocks.series import Pointwise
from nas.blocks.steps import Pooling, SequenceEncoder, Trunk
from nas.errors import BlockError, unknown

WEIGHTINGS = ("count", "mean", "idf")


@dataclass(frozen=True)
class Text:
    """Token ids, embedded and read.

    Attributes:
        embed: Features of each token.
        trunk: What reads the tokens: `Pointwise`, `TCN`, `GRU`, `LSTM`, `Transformer`.
        pool: `none` hands tokens to the fusion; `mean`, `max` and `attention` pool them.
        dropout: Share of embedded features dropped while training.
    """

    embed: int = 32
    trunk: Trunk = Pointwise()
    pool: Pooling = "mean"
    dropout: float = 0.0

    @property
    def depth_count(self) -> int:
        """Each layer of the trunk."""
        return depth_count(self.trunk)

    def until(self, count: int) -> Text:
        """Leave out what lies beyond the first `count` depths."""
        if count >= self.depth_count:
            return self
        return replace(self, trunk=until(self.trunk, count), pool="none")

    def build(self, given: Input) -> nn.Module:
        """Build for token ids `(b, t)`, 0 being padding; an id beyond the vocabulary counts as the last one.

        Raises:
            BlockError: If the input is not text.
        """
        front = TextFront(vocabulary_of("Text", given), self.embed, self.dropout)
        return SequenceEncoder(front, self.embed, self.trunk, self.pool)


@dataclass(frozen=True)
class Words:
    """A bag of words and a linear layer, the cheap end of text: a sum of one row of weights a word.

    Attributes:
        width: Features.
        weighting: `count`; `mean` over the words; `idf`: each word has a learned weight, as in TF-IDF.
    """

    width: int = 32
    weighting: Literal["count", "mean", "idf"] = "idf"

    def build(self, given: Input) -> nn.Module:
        """Build for token ids `(b, t)`; gives `(b, width)`.

        Raises:
            BlockError: If the input is not text, or the weighting is unknown.
        """
        if self.weighting not in WEIGHTINGS:
            raise BlockError(f"Words.weighting: {unknown('weighting', self.weighting, WEIGHTINGS)}")
        return Bag(vocabulary_of("Words", given), self.width, self.weighting)


class TextFront(nn.Module):
    """Embeds token ids and tells which are words."""

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.last = vocabulary - 1
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Features:
        """Map `(b, t)` to `(b, width, t)`."""
        ids, mask = token_ids(F.pad(x, (0, 1)), self.last)  # so that there is a token in a text of none
        return masked(self.dropout(self.embedding(ids)).transpose(1, 2), mask)


class Bag(nn.Module):
    """The module of `Words`."""

    def __init__(self, vocabulary: int, width: int, weighting: str) -> None:
        super().__init__()
        self.last, self.weighting = vocabulary - 1, weighting
        self.rows = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.rows.weight, std=0.1)
        self.weights = nn.Embedding(vocabulary, 1) if weighting == "idf" else None
        if self.weights is not None:
            nn.init.ones_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, t)` to `(b, width)`."""
        ids, mask = token_ids(x, self.last)
        share = mask.unsqueeze(2).to(self.bias.dtype)
        if self.weights is not None:
            share = share * self.weights(ids)
        summed = (self.rows(ids) * share).sum(1)
        if self.weighting == "mean":
            summed = summed / share.sum(1).clamp(min=1)
        return torch.relu(summed + self.bias)


def token_ids(x: Tensor, last: int) -> tuple[Tensor, Tensor]:
    """Token ids `(b, t)` within the vocabulary, and which of them are words; NaN is padding."""
    ids = torch.where(torch.isnan(x), torch.zeros_like(x), x).clamp(0, last).to(torch.long)
    return ids, ids != 0


def vocabulary_of(name: str, given: Input) -> int:
    """How many token ids an input has.

    Raises:
        BlockError: If it is not text.
    """
    if len(given.shape) != 1 or given.vocabulary < 2:
        raise BlockError(
            f"{name}: the input has shape {given.shape} and {given.vocabulary} token ids; expected text.",
            "Describe it as Input((tokens,), vocabulary=...).",
        )
    return given.vocabulary
