"""Convolutional networks from stages of blocks, for pictures and for log-mel spectrograms alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from nas.errors import BlockError


class StageBlock(Protocol):
    """What a stage repeats."""

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, ceil(h / stride), ceil(w / stride))`."""
        ...


@dataclass(frozen=True)
class Plain:
    """Convolution, batch norm, ReLU."""

    kernel: int = 3

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        return _conv(channels, width, self.kernel, stride)


@dataclass(frozen=True)
class Separable:
    """Depthwise convolution, then pointwise (Howard et al., MobileNets, 2017)."""

    kernel: int = 3

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        depthwise = _conv(channels, channels, self.kernel, stride, groups=channels)
        return nn.Sequential(depthwise, _conv(channels, width, 1, 1))


@dataclass(frozen=True)
class MBConv:
    """Inverted residual with optional squeeze-excite (Sandler et al., MobileNetV2, 2018; Howard et al., 2019).

    Attributes:
        expand: Hidden channels as a multiple of the input's.
        kernel: Of the depthwise convolution.
        squeeze: Whether channels are gated by squeeze-excite.
    """

    expand: int = 2
    kernel: int = 3
    squeeze: bool = False

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Map `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`."""
        if self.expand < 1:
            raise BlockError(f"MBConv.expand: {self.expand}; expected at least 1.")
        hidden = channels * self.expand
        layers = [
            _conv(channels, hidden, 1, 1),
            _conv(hidden, hidden, self.kernel, stride, groups=hidden),
            *([SqueezeExcite(hidden)] if self.squeeze else []),
            _conv(hidden, width, 1, 1, activation=False),
        ]
        body = nn.Sequential(*layers)
        return Residual(body) if stride == 1 and channels == width else body


@dataclass(frozen=True)
class Stage:
    """A few equal blocks; the first one strides.

    Attributes:
        block: What is repeated.
        width: Channels.
        depth: Blocks.
        stride: Of the first block, along both axes.
    """

    block: StageBlock = Plain()
    width: int = 16
    depth: int = 1
    stride: int = 2


@dataclass(frozen=True)
class ConvNet:
    """A strided stem and a list of stages, from `(c, h, w)` to features.

    Attributes:
        stem: Channels of the stem.
        stages: What follows; none is a stem alone.
        stem_stride: Stride of the stem.
        flatten: Whether features keep their positions, as one vector `(c * h * w,)`, instead of being pooled later.
    """

    stem: int = 16
    stages: Sequence[Stage] = (Stage(width=32), Stage(width=64))
    stem_stride: int = 1
    flatten: bool = False

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Build for inputs `(b, *shape)`.

        Raises:
            BlockError: If the input is not a picture or spectrogram `(c, h, w)`, or a stage has no block.
        """
        if len(shape) != 3:
            raise BlockError(f"ConvNet: the input has shape {shape}; expected (channels, height, width).")
        layers: list[nn.Module] = [_conv(shape[0], self.stem, 3, self.stem_stride)]
        channels = self.stem
        for position, stage in enumerate(self.stages):
            if stage.depth < 1 or stage.width < 1:
                raise BlockError(
                    f"ConvNet.stages.{position}: depth {stage.depth}, width {stage.width}; expected at least 1 of each."
                )
            for repetition in range(stage.depth):
                stride = stage.stride if repetition == 0 else 1
                layers.append(stage.block.build_layer(channels, stage.width, stride))
                channels = stage.width
        return nn.Sequential(*layers, *([nn.Flatten()] if self.flatten else []))


class Residual(nn.Module):
    """Adds its input to what a body makes of it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c, h, w)` to the same shape."""
        return x + self.body(x)


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


def _conv(
    channels: int, width: int, kernel: int, stride: int, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    if kernel % 2 == 0:
        raise BlockError(f"kernel {kernel} is even; expected an odd one, which keeps positions centred.")
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if activation else []))
