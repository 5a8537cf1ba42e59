"""Features on their way from encoders to fusion: values, and which positions of them count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nas.errors import BlockError, unknown

POOLINGS = ("none", "mean", "max", "attention")
"""How features can be pooled; with `none` the fusion gets all positions."""

FAR = -1e4
"""What a position that does not count gets before a softmax or a maximum; finite, so nothing becomes NaN."""


class Features(NamedTuple):
    """What an encoder gives for one modality.

    Attributes:
        values: `(b, c)`, `(b, c, t)` or `(b, c, h, w)`; 0 where the mask is false.
        mask: `(b, t)`, true where a position counts; None where all do.
    """

    values: Tensor
    mask: Tensor | None = None


def as_features(given: Tensor | Features) -> Features:
    """Take what a module gave, which may be a tensor alone, as features."""
    return given if isinstance(given, Features) else Features(given)


def depths_of(encoder: nn.Module, x: Tensor) -> list[Features]:
    """The features of all depths that an encoder hands out, the last one last."""
    if hasattr(encoder, "depths"):
        return [as_features(found) for found in encoder.depths(x)]  # pyright: ignore
    return [as_features(encoder(x))]


def pooled(features: Features) -> Tensor:
    """The mean over all positions that count: `(b, c)`; zeros where none does."""
    values, mask = features
    if mask is not None:
        return masked_mean(values, mask)
    if values.ndim == 4:
        return values.mean((2, 3))
    return values if values.ndim == 2 else values.mean(2)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `(b, c, t)` over the positions that count."""
    weight = mask.unsqueeze(1).to(values.dtype)
    return (values * weight).sum(2) / weight.sum(2).clamp(min=1)


def masked(values: Tensor, mask: Tensor | None) -> Features:
    """Features of `(b, c, t)` that are 0 where the mask is false."""
    return Features(values if mask is None else values * mask.unsqueeze(1).to(values.dtype), mask)


def tokens(features: Features) -> tuple[Tensor, Tensor | None]:
    """Turn features into tokens `(b, l, c)` and their mask `(b, l)`."""
    values, mask = features
    if values.ndim == 2:
        return values.unsqueeze(1), mask
    return values.flatten(2).transpose(1, 2) if values.ndim == 4 else values.transpose(1, 2), mask


def joined_masks(parts: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor | None:
    """The mask of several modalities' tokens one after another; None where all count."""
    if all(mask is None for _, mask in parts):
        return None
    return torch.cat([torch.ones_like(x[..., 0], dtype=torch.bool) if m is None else m for x, m in parts], 1)


class Pool(nn.Module):
    """How the positions of features become one vector.

    Args:
        kind: `mean`, `max` or `attention` (a learned weight for each position; Lin et al., 2017).
        channels: Of the features.

    Raises:
        BlockError: If there is no such pooling.
    """

    def __init__(self, kind: str, channels: int) -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise BlockError(f"pool: {unknown('pooling', kind, POOLINGS)}")
        self.kind = kind
        self.score = nn.Linear(channels, 1, bias=False) if kind == "attention" else None

    def forward(self, features: Features) -> Tensor:
        """Map features `(b, c, *)` to `(b, c)`."""
        values, mask = features
        if self.kind == "mean" or values.ndim == 2:
            return pooled(features)
        values = values.flatten(2)
        if self.score is None:
            if mask is None:
                return values.amax(2)
            best = torch.where(mask.unsqueeze(1), values, torch.full_like(values, FAR)).amax(2)
            return torch.where(mask.any(1, keepdim=True), best, torch.zeros_like(best))
        scores = self.score(values.transpose(1, 2))
        if mask is not None:
            scores = torch.where(mask.unsqueeze(2), scores, torch.full_like(scores, FAR))
        return (values @ torch.softmax(scores, 1)).squeeze(2)
