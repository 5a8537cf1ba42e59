"""Convolutional networks from stages of blocks, for pictures and for spectrograms alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.features import Features, Pool, as_features
from nas.blocks.input import Input
from nas.blocks.stage_blocks import Plain, Residual, StageBlock, conv
from nas.errors import BlockError


@dataclass(frozen=True)
class Stage:
    """A few equal blocks; the first one strides.

    Attributes:
        block: What is repeated.
        width: Channels.
        depth: Blocks; a stage of none is left out.
        stride: Of the first block, along both axes.
    """

    block: StageBlock = Plain()
    width: int = 16
    depth: int = 1
    stride: int = 2

    def build(self, given: Input) -> nn.Module:
        """Build for features `(b, *given.shape)` of a network's middle."""
        layers: list[nn.Module] = []
        channels = given.shape[0]
        for repetition in range(self.depth):
            layers.append(self.block.build_layer(channels, self.width, self.stride if repetition == 0 else 1))
            channels = self.width
        return nn.Sequential(*layers)


@dataclass(frozen=True)
class Stem:
    """What a convolutional network begins with.

    Attributes:
        width: Channels.
        stride: Along both axes.
        resolution: Pictures are resized to so many rows and columns first; 0 leaves them as they are.
    """

    width: int
    stride: int
    resolution: int = 0

    def build(self, given: Input) -> nn.Module:
        """Build for inputs `(b, *given.shape)`."""
        first: list[nn.Module] = [Filled()] if given.free else []
        first += [Resize(self.resolution)] if self.resolution else []
        return nn.Sequential(*first, conv(given.shape[0], self.width, 3, self.stride))


@dataclass(frozen=True)
class End:
    """What makes features of a convolutional network's last depth.

    Attributes:
        pool: `flatten`, `mean`, `max` or `attention`.
    """

    pool: str

    def build(self, given: Input) -> nn.Module:
        """Build for features `(b, *given.shape)`."""
        return Flat() if self.pool == "flatten" else Pool(self.pool, given.shape[0])


@dataclass(frozen=True)
class ConvNet:
    """A strided stem and a list of stages, from `(c, h, w)` to features; each stage is a depth.

    Attributes:
        stem: Channels of the stem.
        stages: What follows, lists of stages among them being read as one list and None left out; none is a stem alone.
        stem_stride: Stride of the stem.
        flatten: Whether features keep their positions, as one vector `(c * h * w,)`, instead of being pooled later.
        resolution: Pictures are resized to so many rows and columns first; 0 leaves them as they are.
        pool: `none` leaves positions to the fusion; `mean`, `max` and `attention` pool them here.
    """

    stem: int = 16
    stages: Sequence[Stage | Sequence[Stage] | None] = (Stage(width=32), Stage(width=64))
    stem_stride: int = 1
    flatten: bool = False
    resolution: int = 0
    pool: Literal["none", "mean", "max", "attention"] = "none"

    def canonical(self) -> ConvNet:
        """Stages of no block build nothing, and what is flattened is not pooled."""
        return replace(self, stages=self._built(), pool="none" if self.flatten else self.pool)

    @property
    def depth_count(self) -> int:
        """The stem and each stage."""
        return 1 + len(self._built())

    def until(self, count: int) -> ConvNet:
        """Leave out what lies beyond the first `count` depths."""
        if count >= self.depth_count:
            return self
        return replace(self, stages=self._built()[: count - 1], pool="none", flatten=False)

    def build(self, given: Input) -> nn.Module:
        """Build for inputs `(b, *given.shape)`, with the errors of `links`."""
        parts: list[nn.Module] = []
        end = None
        for link in self.links(given):
            if isinstance(link, End):
                end = link.build(given)
            else:
                parts.append(link.build(given))
                given = replace(given, shape=(link.width, *given.shape[1:]), mean=0.0, std=1.0)
        return Stages(parts, end)

    def links(self, given: Input) -> Sequence[Stem | Stage | End]:
        """What it consists of for an input, one after another; each but the end is a depth.

        Raises:
            BlockError: If the input is not a picture or spectrogram `(c, h, w)`, or a stage has no width.
        """
        shape = given.shape
        if len(shape) != 3:
            raise BlockError(f"ConvNet: the input has shape {shape}; expected (channels, height, width).")
        if given.free and (self.flatten or self.resolution):
            raise BlockError("ConvNet: an input of free length can be neither flattened nor resized.")
        for position, stage in enumerate(_flat(self.stages)):
            if stage.depth < 0 or stage.width < 1:
                raise BlockError(
                    f"ConvNet.stages.{position}: depth {stage.depth}, width {stage.width}; expected at least 0 and 1."
                )
        pool = "flatten" if self.flatten else self.pool
        stem = Stem(self.stem, self.stem_stride, self.resolution)
        return [stem, *self._built(), *([] if pool == "none" else [End(pool)])]

    def _built(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in _flat(self.stages) if stage.depth)


def _flat(stages: Sequence[Stage | Sequence[Stage] | None]) -> Iterator[Stage]:
    """Stages one after another, those of lists included and without those that are left out."""
    for stage in stages:
        if isinstance(stage, list | tuple):
            yield from _flat(stage)
        elif stage is not None:
            yield stage  # pyright: ignore[reportReturnType]


class Stages(nn.Module):
    """Parts one after another, each a depth, and what makes features of the last one.

    Args:
        parts: The depths.
        end: Pools or flattens the last features.
    """

    def __init__(self, parts: Sequence[nn.Module], end: nn.Module | None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, *shape)` to the last features."""
        for part in self.parts:
            x = part(x)
        return x if self.end is None else self.end(Features(x))

    def depths(self, x: Tensor) -> list[Features]:
        """Map `(b, *shape)` to the features of each part, the last ones as `forward` gives them."""
        found: list[Features] = []
        for part in self.parts:
            x = part(x)
            found.append(Features(x))
        return found if self.end is None else [*found[:-1], as_features(self.end(found[-1]))]

    def unprunable(self) -> list[nn.Module]:
        """The convolutions whose channels are flattened: the last one, and through residuals any before it.

        One channel of these is many features of the next layer, and tracing those through a concatenation takes
        torch-pruning minutes and gigabytes.
        """
        if not isinstance(self.end, Flat):
            return []
        convolutions: list[nn.Module] = [m for m in self.modules() if isinstance(m, nn.Conv2d)]
        return convolutions if any(isinstance(m, Residual) for m in self.modules()) else convolutions[-1:]


class Flat(nn.Module):
    """Features as one vector."""

    def forward(self, features: Features) -> Tensor:
        """Map `(b, c, *)` to `(b, c * …)`."""
        return features.values.flatten(1)


class Filled(nn.Module):
    """Puts 0, the mean, where nothing is."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return torch.where(torch.isnan(x), torch.zeros_like(x), x)


class Resize(nn.Module):
    """Resizes pictures to a square."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to `(b, c, size, size)`."""
        return F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
