"""Activations and normalisations by name, so that they can be decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from nas.errors import BlockError, unknown

Activation = Literal["relu", "hardswish", "silu", "gelu"]
Norm = Literal["batch", "group", "none"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "hardswish": nn.Hardswish,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
"""ReLU costs nothing after a convolution in ONNX Runtime; the others are computed on their own."""


def activation(name: str) -> nn.Module:
    """Make an activation.

    Raises:
        BlockError: If there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise BlockError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]()


def norm2d(name: str, channels: int) -> nn.Module:
    """Make a normalisation of pictures; batch norm is folded into the convolution before it when exported.

    Raises:
        BlockError: If there is none of that name.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(1, channels)
    if name == "none":
        return nn.Identity()
    raise BlockError(unknown("normalisation", name, ("batch", "group", "none")))


def odd(kernel: int) -> int:
    """Refuse a kernel that would not keep positions centred.

    Raises:
        BlockError: If it is even or not positive.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise BlockError(f"kernel {kernel} is even; expected an odd one, which keeps positions centred.")
    return kernel
