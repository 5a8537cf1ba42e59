"""Recurrent units over sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nas.blocks.features import Features, masked
from nas.blocks.input import Input
from nas.blocks.steps import SequenceEncoder, Stack, check_stride, series_front


@dataclass(frozen=True)
class RecurrentBlock:
    """What recurrent units have in common: a trunk of `Text` and `Series`, or alone an encoder without pooling.

    Attributes:
        hidden: Features in each direction.
        layers: Stacked units.
        bidirectional: Whether sequences are read both ways.
        stride: Neighbouring steps stacked into one.
    """

    unit: ClassVar[type[nn.GRU] | type[nn.LSTM]]
    hidden: int = 32
    layers: int = 1
    bidirectional: bool = False
    stride: int = 2

    def build(self, given: Input) -> nn.Module:
        """Build for spectrograms `(b, 1, mels, frames)` or series `(b, c, t)`; gives `(b, hidden * directions, steps)`.

        Raises:
            BlockError: If the input is neither, or has less than `stride` steps.
        """
        front, channels = series_front(type(self).__name__, given)
        check_stride(type(self).__name__, self.stride, given)
        return SequenceEncoder(front, channels, self, "none")

    def build_trunk(self, channels: int) -> nn.Module:
        """Build for sequences `(b, channels, t)`; gives `(b, hidden * directions, ceil(t / stride))`.

        Raises:
            BlockError: If the stride is not positive.
        """
        check_stride(type(self).__name__, self.stride)
        return Recurrent(channels, self)


class GRU(RecurrentBlock):
    """A gated recurrent unit (Cho et al., 2014); see `RecurrentBlock`."""

    unit = nn.GRU


class LSTM(RecurrentBlock):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997); see `RecurrentBlock`."""

    unit = nn.LSTM


class Recurrent(nn.Module):
    """The trunk of `GRU` and `LSTM`; where steps are masked, the way back begins at the last one that counts."""

    def __init__(self, channels: int, block: RecurrentBlock) -> None:
        super().__init__()
        self.stack = Stack(block.stride)
        self.unit = block.unit(channels * block.stride, block.hidden, block.layers, bidirectional=block.bidirectional)

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to `(b, hidden * directions, steps)`."""
        values, mask = self.stack(features)
        if mask is None or not self.unit.bidirectional:
            output, _ = self.unit(values.permute(2, 0, 1))
            return masked(output.permute(1, 2, 0), mask)
        back = _reversal(mask)
        for layer in range(self.unit.num_layers):
            forwards = self._direction(values, layer, "")
            backwards = self._direction(_gather(values, back), layer, "_reverse")
            values = torch.cat([forwards, _gather(backwards, back)], 1)
        return masked(values, mask)

    def _direction(self, values: Tensor, layer: int, suffix: str) -> Tensor:
        """Read `(b, c, t)` with the weights of one layer and direction."""
        names = [f"{kind}_l{layer}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        weights = [getattr(self.unit, name) for name in names]
        start = values.new_zeros(1, values.shape[0], self.unit.hidden_size)
        steps = values.permute(2, 0, 1)
        if isinstance(self.unit, nn.LSTM):
            output = torch.lstm(steps, (start, start), weights, True, 1, 0.0, False, False, False)[0]
        else:
            output = torch.gru(steps, start, weights, True, 1, 0.0, False, False, False)[0]
        return output.permute(1, 2, 0)


def _reversal(mask: Tensor) -> Tensor:
    """Where each step of a reversed sample comes from: `(b, t)`; steps that do not count stay where they are."""
    place = torch.cumsum(torch.ones_like(mask, dtype=torch.long), 1) - 1
    length = mask.to(torch.long).sum(1, keepdim=True)
    return torch.where(mask, length - 1 - place, place).clamp(min=0)


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Take steps of `(b, c, t)` by `(b, t)`."""
    return values.gather(2, index.unsqueeze(1).expand(-1, values.shape[1], -1))
