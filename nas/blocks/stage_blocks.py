"""The blocks that stages of convolutional networks are made of, for pictures and for spectrograms alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F

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
class ResidualBlock:
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
class ConvMixer:
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
class ConvNeXt:
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
            raise BlockError(f"ConvNeXt.expand: {self.expand}; expected at least 1.")
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

    A kernel as wide as its stride cuts the picture into patches, the last ones filled up with zeros; any other must be
    odd.
    """
    patches = kernel == stride and kernel % 2 == 0
    padding = 0 if patches else odd(kernel) // 2
    layers: list[nn.Module] = [
        *([nn.ZeroPad2d((0, stride - 1, 0, stride - 1))] if patches else []),
        nn.Conv2d(channels, width, kernel, stride, padding, groups=groups, bias=norm == "none"),
        norm2d(norm, width),
    ]
    return nn.Sequential(*layers, *([activation(act)] if act else []))
