"""The user's own `nn.Module` as a block, without decoration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from nas.blocks.cost import Undrawn, probe
from nas.blocks.features import Features, masked
from nas.blocks.input import Input
from nas.errors import BUILD_ERRORS, BlockError, unknown
from nas.space.choices import nodes

T = TypeVar("T")


@dataclass(frozen=True)
class ModuleBlock:
    """A class and the arguments it is built with, any of them open; make it with `module`.

    Attributes:
        factory: A subclass of `nn.Module`.
        arguments: Its keyword arguments.
    """

    factory: type[nn.Module]
    arguments: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What a choice calls this option."""
        return self.factory.__name__

    @property
    def depth_count(self) -> int:
        """One, or as many as its method `depths` gives, which is known only when it is built."""
        return 0 if hasattr(self.factory, "depths") else 1

    def build(self, *position: Any) -> nn.Module:
        """Build as an encoder (`shape`, or `given`, the whole `Input`), a fusion (`shapes`) or a head.

        What the position knows is passed to the constructor where it has a parameter of that name.

        Raises:
            BlockError: If the constructor fails.
        """
        return self._made(_known(position))

    def build_layer(self, channels: int, width: int, stride: int) -> nn.Module:
        """Build as a block of a stage, which maps `(b, channels, h, w)` to `(b, width, h / stride, w / stride)`.

        Raises:
            BlockError: If the constructor fails, or the module gives something else.
        """
        layer = self._made({"channels": channels, "width": width, "stride": stride})
        size = 8 * stride
        given = tuple(probe(layer, [(channels, size, size)]).shape[1:])
        if given != (width, 8, 8):
            raise BlockError(
                f"{self.label}: as a block of a stage gives {given} for {(channels, size, size)}; expected "
                f"{(width, 8, 8)}.",
                "Its constructor may take channels, width and stride.",
            )
        return layer

    def build_trunk(self, channels: int) -> nn.Module:
        """Build as a trunk, which maps `(b, channels, t)` to `(b, c, t')`; it is told no masks.

        Raises:
            BlockError: If the constructor fails.
        """
        return Unmasked(self._made({"channels": channels}))

    def build_front(self) -> nn.Module:
        """Build as a front end, which maps `(b, samples)` to `(b, 1, bands, frames)`.

        Raises:
            BlockError: If the constructor fails.
        """
        return self._made({})

    def _made(self, known: Mapping[str, Any]) -> nn.Module:
        parameters = inspect.signature(self.factory).parameters
        offered = {n: v for n, v in known.items() if n in parameters and n not in self.arguments}
        try:
            return self.factory(**offered, **self.arguments)
        except BUILD_ERRORS as error:
            raise BlockError(f"{self.label}: cannot be built with {dict(self.arguments)}: {error}") from error


class Unmasked(nn.Module):
    """Hands a user's own trunk plain values; a mask stays where the number of steps does."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, features: Features) -> Features:
        """Map `(b, c, t)` to what the user's module makes of it."""
        values = self.trunk(features.values)
        if features.mask is None or values.shape[2] != features.values.shape[2]:
            return Features(values)
        return masked(values, features.mask)


def module(factory: type[nn.Module], /, **arguments: Any) -> Any:
    """Make a block of a class of your own: `module(MyEncoder, width=choose(16, 32))`.

    It may stand for an encoder, a fusion or a head, for the block of a `Stage`, a trunk, or a front end. As an encoder
    it maps `(b, *shape)` to `(b, c)`, `(b, c, t)` or `(b, c, h, w)`. Its constructor is told what it has a
    parameter for: an encoder `shape` or `given` (the whole `Input`), a fusion `shapes`, a head `features` and
    `outputs`, a stage's block `channels`, `width` and `stride`, a trunk `channels`. Layers inside it that pruning may
    not narrow are listed by its method `unprunable()`, if it has one.

    Raises:
        BlockError: If it is not a module class, or its constructor has no such argument.
    """
    if not (isinstance(factory, type) and issubclass(factory, nn.Module)):  # pyright: ignore
        raise BlockError(f"module(): {factory!r} is not a subclass of nn.Module.", "Give the class, not an instance.")
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in arguments:
            if name not in parameters:
                raise BlockError(f"module({factory.__name__}): {unknown('argument', name, parameters)}")
    return ModuleBlock(factory, arguments)


def _known(position: Sequence[Any]) -> Mapping[str, Any]:
    """What a block is told in its position, by the form of what it is told."""
    if len(position) == 2:
        return {"features": position[0], "outputs": position[1]}
    given = position[0]
    return {"shape": given.shape, "given": given} if isinstance(given, Input) else {"shapes": given}


def unnoticed(part: Any, count: Callable[[], T]) -> T:
    """Count with what is built on the meta device; on the CPU what is not ours, or cannot be built there.

    What classes of the user's own keep for the next network must not lie on the meta device.

    Args:
        part: Description of what is built.
        count: Builds and counts it.
    """
    if all(_is_ours(node) for node in nodes(part)):
        with suppress(*BUILD_ERRORS, BlockError), torch.device("meta"), Undrawn():
            return count()
    with torch.random.fork_rng(devices=()):
        return count()


def _is_ours(node: Any) -> bool:
    kind = node if isinstance(node, type) else type(node)
    return kind.__module__.partition(".")[0] in ("nas", "builtins") and kind is not ModuleBlock
