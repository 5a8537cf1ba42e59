"""The user's own `nn.Module` as a block, without decoration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from nas.errors import BlockError, unknown


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

    def build(self, *position: Any) -> nn.Module:
        """Build as an encoder (`shape`), a fusion (`shapes`) or a head (`features`, `outputs`).

        What the position knows is passed to the constructor where it has a parameter of that name.

        Raises:
            BlockError: If the constructor fails.
        """
        known = dict(zip(_given(position), position, strict=True))
        parameters = inspect.signature(self.factory).parameters
        offered = {n: v for n, v in known.items() if n in parameters and n not in self.arguments}
        try:
            return self.factory(**offered, **self.arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BlockError(f"{self.label}: cannot be built with {dict(self.arguments)}: {error}") from error


def module(factory: type[nn.Module], /, **arguments: Any) -> Any:
    """Make a block of a class of your own: `module(MyEncoder, width=choose(16, 32))`.

    It may stand for an encoder, a fusion or a head. As an encoder it maps `(b, *shape)` to `(b, c)`, `(b, c, t)` or
    `(b, c, h, w)`; a constructor parameter named `shape` receives the input's shape. A fusion's constructor may take
    `shapes`, a head's `features` and `outputs`.

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


def _given(values: Sequence[Any]) -> tuple[str, ...]:
    """What the position of a block is told, by the form of what it is told."""
    if len(values) == 2:
        return ("features", "outputs")
    return ("shape",) if all(isinstance(size, int) for size in values[0]) else ("shapes",)
