"""Convolutional networks from stages of blocks, for pictures and for spectrograms alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.features import Features, Pool, as_features
from nas.blocks.input import Input
from nas.blocks.layers import Activation, Norm, activation, norm2d, odd
from nas.errors import BlockError


class StageBlock(Protocol):
    """What a stage repeats."""

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, ceil(h / stride), ceil(w / stride))`."""
        ...


@dataclass(frozen=True)
class Plain:
    """Convolution, normalisation, activation.

    Attributes:
        kernel: Odd.
        norm: `batch`, `group` or `none`.
        activation: `relu`, `hardswish`, `silu` or `gelu`.
    """

    kernel: int = 3
    norm: Norm = "batch"
    activation: Activation = "relu"

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        return conv(channels, width, self.kernel, stride, act=self.activation, norm=self.norm)


@dataclass(frozen=True)
class Residue:
    """Two convolutions beside a shortcut (He et al., ResNet, 2016).

    Attributes:
        kernel: Odd.
        activation: `relu`, `hardswish`, `silu` or `gelu`.
    """

    kernel: int = 3
    activation: Activation = "relu"

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        body = nn.Sequential(
            conv(channels, width, self.kernel, stride, act=self.activation),
            conv(width, width, self.kernel, 1, act=None),
        )
        same = stride == 1 and channels == width
        shortcut = nn.Identity() if same else conv(channels, width, 1, stride, act=None)
        return nn.Sequential(Residual(body, shortcut), activation(self.activation))


@dataclass(frozen=True)
class Separable:
    """Depthwise convolution, then pointwise (Howard et al., MobileNets, 2017)."""

    kernel: int = 3

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        depthwise = conv(channels, channels, self.kernel, stride, groups=channels)
        return nn.Sequential(depthwise, conv(channels, width, 1, 1))


@dataclass(frozen=True)
class MBConv:
    """Inverted residual with optional squeeze-excite (Sandler et al., MobileNetV2, 2018; Howard et al., 2019).

    Attributes:
        expand: Hidden channels as a multiple of the input's.
        kernel: Of the depthwise convolution.
        squeeze: Whether channels are gated by squeeze-excite.
        activation: `relu`, `hardswish`, `silu` or `gelu`.
    """

    expand: int = 2
    kernel: int = 3
    squeeze: bool = False
    activation: Activation = "relu"

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        if self.expand < 1:
            raise BlockError(f"MBConv.expand: {self.expand}; expected at least 1.")
        hidden = channels * self.expand
        layers = [
            conv(channels, hidden, 1, 1, act=self.activation),
            conv(hidden, hidden, self.kernel, stride, groups=hidden, act=self.activation),
            *([SqueezeExcite(hidden)] if self.squeeze else []),
            conv(hidden, width, 1, 1, act=None),
        ]
        body = nn.Sequential(*layers)
        return Residual(body) if stride == 1 and channels == width else body


@dataclass(frozen=True)
class Mixer:
    """Depthwise convolution beside a residual, then pointwise (Trockman & Kolter, ConvMixer, 2022).

    Attributes:
        kernel: Of the depthwise convolution; large ones mix far positions.
    """

    kernel: int = 7

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        layers: list[nn.Module] = [] if stride == 1 and channels == width else [conv(channels, width, stride, stride)]
        depthwise = Residual(conv(width, width, self.kernel, 1, groups=width))
        return nn.Sequential(*layers, depthwise, conv(width, width, 1, 1))


@dataclass(frozen=True)
class NeXt:
    """Large depthwise kernel, one normalisation, an inverted bottleneck (Liu et al., ConvNeXt, 2022).

    Attributes:
        kernel: Of the depthwise convolution.
        expand: Hidden channels as a multiple of the width.
        activation: `relu`, `hardswish`, `silu` or `gelu`.
    """

    kernel: int = 7
    expand: int = 4
    activation: Activation = "gelu"

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        if self.expand < 1:
            raise BlockError(f"NeXt.expand: {self.expand}; expected at least 1.")
        same = stride == 1 and channels == width
        layers: list[nn.Module] = [] if same else [conv(channels, width, stride, stride, act=None)]
        body = nn.Sequential(
            nn.Conv2d(width, width, odd(self.kernel), padding=self.kernel // 2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width * self.expand, 1),
            activation(self.activation),
            nn.Conv2d(width * self.expand, width, 1),
        )
        return nn.Sequential(*layers, Residual(body))


@dataclass(frozen=True)
class Broadcast:
    """Broadcasted residual (Kim et al., BC-ResNet, 2021).

    To 2-D features it adds what a 1-D convolution along time makes of their mean over frequency.

    Attributes:
        kernel: Of both depthwise convolutions.
    """

    kernel: int = 3

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map spectrograms `(b, channels, mels, frames)` to `(b, width, mels / stride, frames / stride)`."""
        return BroadcastedResidual(channels, width, odd(self.kernel), stride)


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


@dataclass(frozen=True)
class ConvNet:
    """A strided stem and a list of stages, from `(c, h, w)` to features; each stage is a depth.

    Attributes:
        stem: Channels of the stem.
        stages: What follows, lists of stages among them being read as one list; none is a stem alone.
        stem_stride: Stride of the stem.
        flatten: Whether features keep their positions, as one vector `(c * h * w,)`, instead of being pooled later.
        resolution: Pictures are resized to so many rows and columns first; 0 leaves them as they are.
        pool: `none` leaves positions to the fusion; `mean`, `max` and `attention` pool them here.
    """

    stem: int = 16
    stages: Sequence[Stage | Sequence[Stage]] = (Stage(width=32), Stage(width=64))
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
        """Build for inputs `(b, *given.shape)`.

        Raises:
            BlockError: If the input is not a picture or spectrogram `(c, h, w)`, or a stage has no width.
        """
        shape = given.shape
        if len(shape) != 3:
            raise BlockError(f"ConvNet: the input has shape {shape}; expected (channels, height, width).")
        if given.free and (self.flatten or self.resolution):
            raise BlockError("ConvNet: an input of free length can be neither flattened nor resized.")
        first: list[nn.Module] = [Filled()] if given.free else []
        first += [Resize(self.resolution)] if self.resolution else []
        parts: list[nn.Module] = [nn.Sequential(*first, conv(shape[0], self.stem, 3, self.stem_stride))]
        channels = self.stem
        for position, stage in enumerate(_flat(self.stages)):
            if stage.depth < 0 or stage.width < 1:
                raise BlockError(
                    f"ConvNet.stages.{position}: depth {stage.depth}, width {stage.width}; expected at least 0 and 1."
                )
            layers: list[nn.Module] = []
            for repetition in range(stage.depth):
                stride = stage.stride if repetition == 0 else 1
                layers.append(stage.block.build_layer(channels, stage.width, stride))
                channels = stage.width
            if layers:
                parts.append(nn.Sequential(*layers))
        if self.flatten:
            return Stages(parts, Flat())
        return Stages(parts, None if self.pool == "none" else Pool(self.pool, channels))

    def _built(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in _flat(self.stages) if stage.depth)


def _flat(stages: Sequence[Stage | Sequence[Stage]]) -> Iterator[Stage]:
    """Stages one after another, those of lists included."""
    for stage in stages:
        if isinstance(stage, list | tuple):
            yield from _flat(stage)
        else:
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


class Residual(nn.Module):
    """Adds its input, or a shortcut of it, to what a body makes of it."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to the shape that the body gives."""
        return self.shortcut(x) + self.body(x)


class BroadcastedResidual(nn.Module):
    """The module of `Broadcast`."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        same = channels == width and stride == 1
        self.enter = nn.Identity() if same else conv(channels, width, 1, 1)
        self.frequency = nn.Sequential(
            nn.Conv2d(width, width, (kernel, 1), stride, (kernel // 2, 0), groups=width, bias=False),
            nn.BatchNorm2d(width),
        )
        self.time = nn.Sequential(
            nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, mels, frames)` to `(b, width, mels / stride, frames / stride)`."""
        wide = self.frequency(self.enter(x))
        wide = wide + self.time(wide.mean(2, keepdim=True))
        return F.relu(wide + x if self.same else wide)


class SqueezeExcite(nn.Module):
    """Gates channels by their means (Hu et al., 2018), with a hard sigmoid, which quantizes well."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(4, channels // reduction)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to the same shape."""
        return x * self.gate(x)


def conv(
    channels: int,
    width: int,
    kernel: int,
    stride: int,
    groups: int = 1,
    act: str | None = "relu",
    norm: str = "batch",
) -> nn.Sequential:
    """Convolution, normalisation and, unless `act` is None, activation.

    A kernel as wide as its stride cuts the picture into patches; any other must be odd.
    """
    padding = 0 if kernel == stride and kernel % 2 == 0 else odd(kernel) // 2
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, kernel, stride, padding, groups=groups, bias=norm == "none"),
        norm2d(norm, width),
    ]
    return nn.Sequential(*layers, *([activation(act)] if act else []))
