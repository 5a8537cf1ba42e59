"""Front ends that turn raw sound into spectrograms inside the network, so that the exported file takes samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.blocks.cost import probe
from nas.blocks.depths import depth_count, until
from nas.blocks.features import Features, as_features, depths_of
from nas.blocks.input import Input
from nas.errors import BlockError


class FrontEnd(Protocol):
    """Raw sound → a spectrogram."""

    def build_front(self) -> nn.Module:
        """Map `(b, samples)` to `(b, 1, bands, frames)`."""
        ...


@dataclass(frozen=True)
class LogMel:
    """Logarithms of energies in mel bands (Davis & Mermelstein, 1980); the Fourier transform is a fixed convolution.

    Attributes:
        bands: Mel bands.
        window: Samples of a frame.
        hop: Samples from one frame to the next.
        rate: Samples a second.
    """

    bands: int = 40
    window: int = 256
    hop: int = 128
    rate: int = 8000

    def build_front(self) -> nn.Module:
        """Build for `(b, samples)`; gives `(b, 1, bands, frames)`."""
        return MelSpectrogram(self.bands, self.window, self.hop, self.rate)


@dataclass(frozen=True)
class MFCC:
    """Cosine transform of `LogMel` (Davis & Mermelstein, 1980).

    Attributes:
        coefficients: Kept, the lowest first.
        bands: Mel bands.
        window: Samples of a frame.
        hop: Samples from one frame to the next.
        rate: Samples a second.
    """

    coefficients: int = 13
    bands: int = 40
    window: int = 256
    hop: int = 128
    rate: int = 8000

    def build_front(self) -> nn.Module:
        """Build for `(b, samples)`; gives `(b, 1, coefficients, frames)`.

        Raises:
            BlockError: If there are more coefficients than bands.
        """
        if not 1 <= self.coefficients <= self.bands:
            raise BlockError(f"MFCC.coefficients: {self.coefficients}; expected 1 to bands {self.bands}.")
        return MelSpectrogram(self.bands, self.window, self.hop, self.rate, self.coefficients)


@dataclass(frozen=True)
class Learned:
    """A learned filter bank: a convolution, energies over a hop, logarithm (after Zeghidour et al., LEAF, 2021).

    Attributes:
        bands: Filters.
        window: Samples of a filter.
        hop: Samples from one frame to the next; an even number.
    """

    bands: int = 32
    window: int = 64
    hop: int = 128

    def build_front(self) -> nn.Module:
        """Build for `(b, samples)`; gives `(b, 1, bands, frames)`.

        Raises:
            BlockError: If the hop is odd or a size not positive.
        """
        if self.hop < 2 or self.hop % 2 or min(self.bands, self.window) < 1:
            raise BlockError(f"Learned: {self}; expected positive sizes and an even hop.")
        return LearnedFilters(self.bands, self.window, self.hop)


@dataclass(frozen=True)
class Waveform:
    """Raw sound through a front end to an encoder of spectrograms.

    Attributes:
        front: Makes the spectrogram.
        encoder: Reads it, as `ConvNet`, `GRU` or `Series` do; its spectrogram has the shape `(1, bands, frames)`.
    """

    front: FrontEnd = LogMel()
    encoder: Any = None

    @property
    def depth_count(self) -> int:
        """Those of the encoder."""
        return depth_count(self.encoder)

    def until(self, count: int) -> Waveform:
        """Leave out what lies beyond the first `count` depths."""
        return replace(self, encoder=until(self.encoder, count))

    def build(self, given: Input) -> nn.Module:
        """Build for sound `(b, samples)`; NaN counts as silence.

        Raises:
            BlockError: If the input is not sound, or there is no encoder.
        """
        if len(given.shape) != 1 or given.vocabulary or given.categories:
            raise BlockError(f"Waveform: the input has shape {given.shape}; expected raw sound (samples,).")
        if self.encoder is None:
            raise BlockError("Waveform.encoder: there is none; expected an encoder of spectrograms.")
        front = self.front.build_front()
        shape = tuple(probe(front, [given.shape]).shape[1:])
        return WaveformEncoder(front, shape, self.encoder.build(Input(shape, free=given.free)))


class WaveformEncoder(nn.Module):
    """The module of `Waveform`; each band is normalised by statistics of the batch, fixed when trained."""

    def __init__(self, front: nn.Module, shape: tuple[int, ...], encoder: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.norm = nn.BatchNorm1d(shape[1])
        self.encoder = encoder

    def forward(self, x: Tensor) -> Features:
        """Map `(b, samples)` to features."""
        return as_features(self.encoder(self._spectrogram(x)))

    def depths(self, x: Tensor) -> list[Features]:
        """Map `(b, samples)` to the features of each depth of the encoder."""
        return depths_of(self.encoder, self._spectrogram(x))

    def _spectrogram(self, x: Tensor) -> Tensor:
        sound = torch.where(torch.isnan(x), torch.zeros_like(x), x)
        return self.norm(self.front(sound).squeeze(1)).unsqueeze(1)


class MelSpectrogram(nn.Module):
    """The module of `LogMel` and `MFCC`."""

    basis: Tensor
    filters: Tensor
    cosine: Tensor | None

    def __init__(self, bands: int, window: int, hop: int, rate: int, coefficients: int = 0) -> None:
        super().__init__()
        if min(bands, window, hop, rate) < 1 or bands > window // 2:
            raise BlockError(
                f"LogMel: {bands} bands, window {window}, hop {hop}, rate {rate}; expected positive numbers and at "
                f"most window / 2 bands."
            )
        self.hop, self.bins = hop, window // 2 + 1
        self.register_buffer("basis", torch.from_numpy(_fourier(window)))
        self.register_buffer("filters", torch.from_numpy(_mel_filters(bands, window, rate)).unsqueeze(2))
        cosine = torch.from_numpy(_cosine(coefficients, bands)).unsqueeze(2) if coefficients else None
        self.register_buffer("cosine", cosine)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, samples)` to `(b, 1, bands or coefficients, frames)`."""
        parts = F.conv1d(x.unsqueeze(1), self.basis, stride=self.hop, padding=self.basis.shape[2] // 2)
        real, imaginary = parts.chunk(2, 1)
        energies = F.conv1d(real * real + imaginary * imaginary, self.filters)
        logarithms = torch.log(energies + 1e-6)
        if self.cosine is not None:
            logarithms = F.conv1d(logarithms, self.cosine)
        return logarithms.unsqueeze(1)


class LearnedFilters(nn.Module):
    """The module of `Learned`."""

    def __init__(self, bands: int, window: int, hop: int) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, bands, window, 2, window // 2, bias=False)
        self.energy = nn.AvgPool1d(hop // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, samples)` to `(b, 1, bands, frames)`."""
        filtered = self.filters(x.unsqueeze(1))
        return torch.log(self.energy(filtered * filtered) + 1e-6).unsqueeze(1)


def _fourier(window: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Cosines and sines under a Hann window: `(2 * bins, 1, window)`."""
    time = np.arange(window)
    angles = 2 * np.pi * np.arange(window // 2 + 1)[:, None] * time[None] / window
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / window)
    return np.concatenate([np.cos(angles) * hann, np.sin(angles) * hann])[:, None].astype(np.float32)


def _mel_filters(bands: int, window: int, rate: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Triangles between band edges evenly spaced on the mel scale (O'Shaughnessy, 1987): `(bands, bins)`.

    A triangle narrower than a bin would catch none, so it is at least as wide.
    """
    edges = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, window // 2 + 1)
    spacing = rate / window
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise = (bins - low) / np.maximum(centre - low, spacing)
    fall = (high - bins) / np.maximum(high - centre, spacing)
    filters = np.maximum(0, np.minimum(rise, fall))
    nearest = np.abs(bins - centre).argmin(1)
    filters[np.arange(bands), nearest] = np.maximum(filters[np.arange(bands), nearest], 0.5)
    return filters.astype(np.float32)


def _cosine(coefficients: int, bands: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The orthonormal cosine transform (type II): `(coefficients, bands)`."""
    k, n = np.arange(coefficients)[:, None], np.arange(bands)[None]
    basis = np.sqrt(2 / bands) * np.cos(np.pi * k * (2 * n + 1) / (2 * bands))
    basis[0] /= math.sqrt(2)
    return basis.astype(np.float32)
