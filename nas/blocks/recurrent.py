"""Recurrent encoders of spectrograms."""

from __future__ import annotations

from dataclasses import dataclass

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

    def __init__(self, mels: int, frames: int, block: GRU) -> None:
        super().__init__()
        self.stride = block.stride
        self.mels = mels
        self.steps = frames // block.stride
        self.spare = frames % block.stride
        self.gru = nn.GRU(
            mels * block.stride, block.hidden, block.layers, batch_first=False, bidirectional=block.bidirectional
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, 1, mels, frames)` to `(b, hidden * directions, steps)`."""
        if self.spare:
            x = x[:, :, :, : -self.spare]
        if self.stride > 1:
            x = x.reshape(-1, self.mels, self.steps, self.stride).transpose(2, 3)
        frames = x.reshape(-1, self.mels * self.stride, self.steps)
        output, _ = self.gru(frames.permute(2, 0, 1))
        return output.permute(1, 2, 0)
