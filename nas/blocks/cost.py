"""What a module costs, and the shapes it gives; on the meta device both are found without computing anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas.errors import BUILD_ERRORS

T = TypeVar("T")
_BYTES = 4
_KEEPS_SHAPE = frozenset(
    (
        F.batch_norm, F.layer_norm, F.group_norm, F.dropout, F.relu, F.gelu, F.silu, F.hardswish, F.hardsigmoid,
        F.softmax, torch.relu, torch.sigmoid, torch.tanh, torch.softmax,
    )
)  # fmt: skip


def count_params(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in module.parameters())


def count_macs(module: nn.Module, input_shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiply-accumulate operations of products and convolutions at batch 1, counted without computing them."""
    return math.ceil(operations(module, module, _empty(input_shapes))[0] / 2)


def operations(module: nn.Module, call: Callable[..., T], given: Sequence[Tensor]) -> tuple[int, T]:
    """The floating-point operations of products and convolutions in a call, and what it gives.

    It is made on the meta device; where that fails, as with a user's own module that keeps tensors which are neither
    parameters nor buffers, it is computed on zeros.

    Args:
        module: Whatever weights the call uses; it is left as it was.
        call: What is called.
        given: Its arguments, on the meta device.

    Raises:
        Exception: Whatever the call raises on zeros.
    """
    calling = _Calling(module, call)
    state = {name: t.to("meta") for name, t in chain(calling.named_parameters(), calling.named_buffers())}
    with untouched(module), torch.no_grad(), ShapesOnly():
        module.eval()
        try:
            with torch.device("meta"), Products() as products:
                return_value = functional_call(calling, state, tuple(given))
        except BUILD_ERRORS:
            if any(t.is_meta for t in chain(module.parameters(), module.buffers())):
                raise
            with Products() as products:
                return_value = call(*(torch.zeros(t.shape) for t in given))
    return products.operations, return_value


class _Calling(nn.Module):
    """A module whose call is a function that uses it."""

    def __init__(self, module: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._call = (call,)  # not a part, which would be swapped twice and not put back

    def forward(self, *given: Tensor) -> Any:
        """Call it."""
        return self._call[0](*given)


def count_memory(module: nn.Module, input_shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Bytes in 32 bits at batch 1: all weights, and the layer whose inputs and outputs together are largest."""
    peak = 0

    def watch(_: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        nonlocal peak
        peak = max(peak, sum(tensor.numel() for tensor in _tensors((given, output))))

    hooks = [part.register_forward_hook(watch) for part in module.modules() if not list(part.children())]
    try:
        operations(module, module, _empty(input_shapes))
    finally:
        for hook in hooks:
            hook.remove()
    return _BYTES * (count_params(module) + peak)


COSTS: Mapping[str, Callable[[nn.Module, Mapping[str, tuple[int, ...]]], int]] = {
    "params": lambda module, _: count_params(module),
    "macs": count_macs,
    "memory_bytes": count_memory,
}
"""What can be counted of a module that takes inputs of given shapes."""


def probe(module: nn.Module, shapes: Sequence[tuple[int, ...]], call: Callable[..., Any] | None = None) -> Any:
    """Run a module in evaluation mode on two samples of zeros, on the device where it is.

    Args:
        module: The module; it is left as it was.
        shapes: Of its inputs, without the batch axis.
        call: What to call with the inputs instead of the module.
    """
    device = next((t.device for t in chain(module.parameters(), module.buffers())), None)
    with evaluating(module), torch.no_grad(), ShapesOnly():
        return (call or module)(*(torch.zeros(2, *shape, device=device) for shape in shapes))


@contextmanager
def evaluating(module: nn.Module) -> Generator[None]:
    """Keep a module in evaluation mode; afterwards all its parts are in the modes they were in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def untouched(module: nn.Module) -> Generator[None]:
    """Keep a module as it is: afterwards all its parts have the attributes that they had.

    A call may leave tensors in them that are of use to it alone: what it caches, and where a part is registered twice
    what `functional_call` put in the place of its weights.
    """
    attributes = [(part.__dict__, dict(part.__dict__)) for part in module.modules()]
    inside = [v for _, before in attributes for v in before.values() if isinstance(v, dict | list | set)]
    held: list[tuple[Any, Any]] = [*attributes, *((container, container.copy()) for container in inside)]
    try:
        yield
    finally:
        for container, before in held:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(before)


class Products(TorchDispatchMode):
    """Adds up the floating-point operations of products and convolutions, by torch's own formulas.

    Torch's `FlopCounterMode` gives the same sum, and one for each module besides, in three times the time.

    Attributes:
        operations: The sum; two for a multiplication with its addition.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer an operator of torch, and count it."""
        given = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None and _is_composite(func):
            with self:
                made = func.decompose(*args, **given)
            if made is not NotImplemented:
                return made
        result = func(*args, **given)
        if formula is not None:
            self.operations += formula(*args, **given, out_val=result)
        return result


@cache
def _is_composite(func: Any) -> bool:
    """Whether an operator is made of others, which are counted instead."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")  # pyright: ignore


class Undrawn(TorchFunctionMode):
    """Leaves weights on the meta device undrawn: to draw them there takes longer than to make them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer a call of torch."""
        given = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__ or func in _DRAWS:
            drawn = args[0] if args else given.get("tensor")
            if isinstance(drawn, Tensor) and drawn.is_meta:
                return drawn
        return func(*args, **given)


_DRAWS = frozenset((Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_))


class ShapesOnly(TorchFunctionMode):
    """Spares the meta device what torch does there step by step in Python, 10 to 100 times slower than a real tensor.

    What keeps the shape gives it back at once, and a recurrent unit forms the products of all its steps together.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer a call of torch."""
        if args and isinstance(args[0], Tensor) and args[0].is_meta:
            if func in _KEEPS_SHAPE:
                return args[0]
            if func is F.linear:
                return func(args[0], args[1])
            if func in (torch.gru, torch.lstm) and isinstance(args[2], list | tuple):
                return _recurrent(func is torch.lstm, *args)
        return func(*args, **(kwargs or {}))


def _recurrent(
    is_lstm: bool, x: Tensor, start: Any, weights: Sequence[Tensor], has_biases: bool, layers: int, *rest: Any
) -> tuple[Tensor, ...]:
    """The results of `torch.gru` or `torch.lstm` for steps `(t, b, c)`, or `(b, t, c)`, without values."""
    directions = 2 if rest[2] else 1
    hidden = weights[1].shape[1]
    each = len(weights) // (layers * directions)
    for layer in range(layers):
        for direction in range(directions):
            into, within = weights[(layer * directions + direction) * each :][:2]
            F.linear(x, into)
            F.linear(x.new_empty(*x.shape[:-1], hidden), within)
        x = x.new_empty(*x.shape[:-1], hidden * directions)
    return (x, *start) if is_lstm else (x, start)


def _empty(input_shapes: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """A sample without values."""
    return [torch.empty(1, *shape, device="meta") for shape in input_shapes.values()]


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
