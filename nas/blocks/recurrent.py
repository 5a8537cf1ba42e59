"""Recurrent encoders of spectrograms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.errors import BlockError


@dataclass(frozen=True)
class GRU:
    """A gated recurrent unit (Cho et al., 2014) over the frames of a spectrogram.

    Attributes:
        hidden: Features in each direction.
        layers: Stacked units.
        bidirectional: Whether frames are read both ways.
        stride: Neighbouring frames stacked into one step.
    """

    hidden: int = 32
    layers: int = 1
    bidirectional: bool = False
    stride: int = 2

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Build for spectrograms `(b, 1, mels, frames)`; features are `(b, hidden * directions, steps)`.

        Raises:
            BlockError: If the input is not a spectrogram of at least `stride` frames.
        """
        if len(shape) != 3 or shape[0] != 1 or shape[2] < self.stride:
            raise BlockError(f"GRU: the input has shape {shape}; expected (1, mels, frames), frames >= {self.stride}.")
        return FrameGRU(shape[1], shape[2], self)


class FrameGRU(nn.Module):
    """The module of `GRU`."""

    start: Tensor

    def __init__(self, mels: int, frames: int, block: GRU) -> None:
        super().__init__()
        self.stride = block.stride
        self.mels = mels
        self.steps = frames // block.stride
        self.directions = block.layers * (2 if block.bidirectional else 1)
        self.hidden = block.hidden
        self.register_buffer("start", torch.zeros(self.directions, 1, block.hidden), persistent=False)
        self.gru = nn.GRU(
            mels * block.stride, block.hidden, block.layers, batch_first=False, bidirectional=block.bidirectional
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, 1, mels, frames)` to `(b, hidden * directions, steps)`."""
        frames = x[:, 0, :, : self.steps * self.stride]
        if self.stride > 1:
            frames = frames.reshape(-1, self.mels, self.steps, self.stride).transpose(2, 3).flatten(1, 2)
        start = self.start.expand(-1, x.shape[0], -1)
        output, _ = self.gru(frames.permute(2, 0, 1), start.contiguous())
        return output.permute(1, 2, 0)
