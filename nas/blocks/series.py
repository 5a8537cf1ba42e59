"""Encoders of series, and the trunks that read steps: temporal convolutions and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from nas.blocks.attention import Positions, TransformerLayer
from nas.blocks.depths import depth_count, until
from nas.blocks.features import Features, as_features, masked
from nas.blocks.input import Input
from nas.blocks.layers import Activation, activation, odd
from nas.blocks.recurrent import RecurrentBlock
from nas.blocks.steps import Pooling, SequenceEncoder, Stack, Trunk, check_stride, series_front
from nas.errors import BlockError


@dataclass(frozen=True)
class TCN:
    """Convolutions along time beside residuals (Bai et al., TCN, 2018).

    Attributes:
        width: Channels.
        depth: Layers.
        kernel: Odd.
        dilated: Whether each layer looks twice as far apart as the one before.
        separable: Whether convolutions are depthwise, then pointwise.
        activation: `relu`, `hardswish`, `silu` or `gelu`.
        dropout: Share of features dropped after each layer while training.
    """

    width: int = 32
    depth: int = 2
    kernel: int = 5
    dilated: bool = False
    separable: bool = False
    activation: Activation = "relu"
    dropout: float = 0.0

    def canonical(self) -> object:
        """The first layer is not dilated, so a single one never is."""
        return TCN(
            self.width, self.depth, self.kernel, self.dilated and self.depth > 1 and self.kernel > 1, self.separable,
            self.activation, self.dropout,
        )  # fmt: skip

    @property
    def depth_count(self) -> int:
        """Each layer."""
        return self.depth

    def until(self, count: int) -> TCN:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, depth=min(count, self.depth))

    def build_trunk(self, channels: int) -> nn.Module:
        """Build for sequences `(b, channels, t)`; gives `(b, width, t)`.

        Raises:
            BlockError: If there is no layer, or the kernel is even.
        """
        if self.depth < 1:
            raise BlockError(f"TCN.depth: {self.depth}; expected at least 1.")
        layers: list[nn.Module] = []
        for position in range(self.depth):
            dilation = 2**position if self.dilated else 1
            body = _conv1d(channels, self.width, self.kernel, 1, dilation, self.separable)
            shortcut = nn.Identity() if channels == self.width else nn.Conv1d(channels, self.width, 1)
            layers.append(Layer([body], shortcut, activation(self.activation), self.dropout))
            channels = self.width
        return Layers(layers)


@dataclass(frozen=True)
class TCResNet:
    """Residual blocks of temporal convolutions that halve time (Choi et al., TC-ResNet, 2019).

    Attributes:
        widths: Channels of each block.
        kernel: Odd.
    """

    widths: Sequence[int] = (16, 24, 32)
    kernel: int = 9

    @property
    def depth_count(self) -> int:
        """Each block."""
        return len(self.widths)

    def until(self, count: int) -> TCResNet:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, widths=tuple(self.widths)[:count])

    def build_trunk(self, channels: int) -> nn.Module:
        """Build for sequences `(b, channels, t)`; gives `(b, widths[-1], t / 2 ** blocks)`.

        Raises:
            BlockError: If there is no block, or the kernel is even.
        """
        if not self.widths:
            raise BlockError("TCResNet.widths: there is none; expected at least one block.")
        layers: list[nn.Module] = []
        for width in self.widths:
            first = nn.Sequential(_conv1d(channels, width, self.kernel, 2), nn.ReLU())
            second = _conv1d(width, width, self.kernel, 1)
            shortcut = nn.Sequential(nn.Conv1d(channels, width, 1, 2, bias=False), nn.BatchNorm1d(width))
            layers.append(Layer([first, second], shortcut, nn.ReLU(), stride=2))
            channels = width
        return Layers(layers)


@dataclass(frozen=True)
class Transformer:
    """Transformer layers over steps (Vaswani et al., 2017).

    Attributes:
        dim: Features of each step.
        heads: They divide `dim`.
        layers: At least one.
        expand: Hidden features of the feed-forward nets as a multiple of `dim`.
        dropout: Share of features dropped while training.
    """

    dim: int = 32
    heads: int = 2
    layers: int = 1
    expand: int = 2
    dropout: float = 0.0

    @property
    def depth_count(self) -> int:
        """Each layer."""
        return self.layers

    def until(self, count: int) -> Transformer:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, layers=min(count, self.layers))

    def build_trunk(self, channels: int) -> nn.Module:
        """Build for sequences `(b, channels, t)`; gives `(b, dim, t)`.

        Raises:
            BlockError: If there is no layer, or the heads do not divide the dimension.
        """
        if self.layers < 1:
            raise BlockError(f"Transformer.layers: {self.layers}; expected at least 1.")
        return TransformerTrunk(channels, self)


@dataclass(frozen=True)
class Pointwise:
    """Each step is projected by itself, and what follows pools them or attends to them.

    Attributes:
        width: Features of each step.
    """

    width: int = 32

    def build_trunk(self, channels: int) -> nn.Module:
        """Build for sequences `(b, channels, t)`; gives `(b, width, t)`."""
        return Layers([Layer([nn.Conv1d(channels, self.width, 1)], None, nn.ReLU())])


@dataclass(frozen=True)
class Series:
    """Several channels over time: sensors, features of video frames, or the frames of a spectrogram.

    Where the input's length is free, NaN ends a sample.

    Attributes:
        trunk: What reads the steps: `TCN`, `TCResNet`, `Transformer`, `GRU`, `LSTM`, `Pointwise`.
        pool: `none` hands steps to the fusion; `mean`, `max` and `attention` pool them.
        stride: Neighbouring steps stacked into one before the trunk reads them.
    """

    trunk: Trunk = TCN()
    pool: Pooling = "mean"
    stride: int = 1

    def canonical(self) -> Series:
        """Steps that a recurrent unit would stack are stacked before it."""
        if not isinstance(self.trunk, RecurrentBlock):
            return self
        return replace(self, trunk=replace(self.trunk, stride=1), stride=self.stride * self.trunk.stride)

    @property
    def depth_count(self) -> int:
        """Each layer of the trunk."""
        return depth_count(self.trunk)

    def until(self, count: int) -> Series:
        """Leave out what lies beyond the first `count` depths."""
        if count >= self.depth_count:
            return self
        return replace(self, trunk=until(self.trunk, count), pool="none")

    def build(self, given: Input) -> nn.Module:
        """Build for series `(b, c, t)` or spectrograms `(b, 1, mels, frames)`.

        Raises:
            BlockError: If the input is neither, or has less than `stride` steps.
        """
        front, channels = series_front("Series", given)
        check_stride("Series", self.stride, given)
        stacked = nn.Sequential(front, Stack(self.stride))
        return SequenceEncoder(stacked, channels * self.stride, self.trunk, self.pool)


class Layer(nn.Module):
    """A body beside a shortcut, then activation; steps that do not count become 0 again after each part.

    Args:
        body: Parts one after another; the first maps `(b, c, t)` to `(b, width, t / stride)`.
        shortcut: Does the same in one; None for none.
        act: The activation.
        dropout: Share of features dropped while training.
        stride: Of the first part.
    """

    def __init__(
        self, body: Sequence[nn.Module], shortcut: nn.Module | None, act: nn.Module, dropout: float = 0, stride: int = 1
    ) -> None:
        super().__init__()
        self.body = nn.ModuleList(body)
        self.shortcut, self.act = shortcut, act
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.stride = stride

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to `(b, width, t / stride)`."""
        values, mask = features
        if mask is not None and self.stride > 1:
            mask = mask[:, :: self.stride]
        found = values
        for part in self.body:
            found = masked(part(found), mask).values
        if self.shortcut is not None:
            found = found + self.shortcut(values)
        return masked(self.dropout(self.act(found)), mask)


class Layers(nn.Module):
    """A trunk of layers, each a depth."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to the features of the last layer."""
        return self.depths(features)[-1]

    def depths(self, features: Features) -> list[Features]:
        """Map `(b, c, t)` to the features of each layer."""
        found: list[Features] = []
        for layer in self.layers:
            features = as_features(layer(features))
            found.append(features)
        return found


class TransformerTrunk(nn.Module):
    """The trunk of `Transformer`."""

    def __init__(self, channels: int, block: Transformer) -> None:
        super().__init__()
        self.project = nn.Conv1d(channels, block.dim, 1)
        self.positions = Positions(block.dim)
        self.layers = nn.ModuleList(
            TransformerLayer(block.dim, block.heads, block.expand, block.dropout) for _ in range(block.layers)
        )

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to `(b, dim, t)`."""
        return self.depths(features)[-1]

    def depths(self, features: Features) -> list[Features]:
        """Map `(b, c, t)` to the features of each layer."""
        values, mask = features
        steps = self.positions(masked(self.project(values), mask).values).transpose(1, 2)
        found: list[Features] = []
        for layer in self.layers:
            steps = layer(steps, mask)
            found.append(masked(steps.transpose(1, 2), mask))
        return found


def _conv1d(
    channels: int, width: int, kernel: int, stride: int, dilation: int = 1, separable: bool = False
) -> nn.Sequential:
    padding = odd(kernel) // 2 * dilation
    if not separable:
        conv = nn.Conv1d(channels, width, kernel, stride, padding, dilation, bias=False)
        return nn.Sequential(conv, nn.BatchNorm1d(width))
    depthwise = nn.Conv1d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    pointwise = nn.Conv1d(channels, width, 1, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm1d(channels), pointwise, nn.BatchNorm1d(width))
