"""Pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import limits
from .errors import PredictError
from .files import read_bytes


def read_pgm(path: Path) -> NDArray[np.uint8]:
    """The grey levels `(h, w)` of a binary PGM picture of 8 bits."""
    content = read_bytes(path, limits.MAX_BYTES)
    gap = rb"(?:\s|#[^\n]*\n)+"
    header = re.match(rb"P5" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"255\s", content[: 1 << 16])
    if header is None:
        raise PredictError(f"{path}: is not a binary PGM picture of 8 bits.")
    width, height, pixels = int(header[1]), int(header[2]), content[header.end() :]
    if len(pixels) != width * height:
        raise PredictError(f"{path}: has {len(pixels)} pixels; expected {width} x {height} as it says.")
    return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width)
