"""What many networks cost: each part is counted once, on the meta device, and what was counted of it is kept.

Candidates of a search differ in few decisions, so most of their encoders were counted before. No weight is drawn, and
no generator of random numbers is touched. Parts that hold classes of the user's own are built on the CPU, and torch's
generator is put back: whatever they keep for the next network must not lie on the meta device.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nas.blocks.conv import ConvNet, End, Stage, Stem
from nas.blocks.cost import Undrawn, count_params, operations
from nas.blocks.features import Features, as_features, depths_of
from nas.blocks.input import Input
from nas.blocks.module import ModuleBlock
from nas.blocks.network import Network, build_encoder
from nas.choices import nodes
from nas.description import Formless, canonical
from nas.errors import BUILD_ERRORS, BlockError

T = TypeVar("T")
_KEPT = 20_000

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Encoded:
    """What was counted of an encoder.

    Attributes:
        params: Its parameters.
        operations: Floating-point operations at batch 1.
        depths: Shapes of its depths, without the batch axis.
        masks: Of the features that the fusion reads, each the shape of its mask or None.
    """

    params: int
    operations: int
    depths: Sequence[Shape]
    masks: Sequence[Shape | None]


class Counter:
    """Counts the parameters and MACs of networks for one task, as `count_params` and `count_macs` do.

    Args:
        inputs: What the networks are made for.
        outputs: Likewise.
    """

    def __init__(self, inputs: Mapping[str, Input], outputs: int) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._known: dict[str, Any] = {}

    def count(self, network: Network) -> Mapping[str, int]:
        """The `params` and `macs` of a closed description.

        Raises:
            BlockError: If it cannot be built.
        """
        described = network.canonical()
        if described is not network:
            return self.count(described)
        used = network.used(self._inputs)
        is_deep = bool(getattr(network.fusion, "deep", False))
        encoders = [self._encoded(name, encoder, used[name], is_deep) for name, encoder in network.encoders.items()]
        depths = [encoder.depths for encoder in encoders]
        masks = [encoder.masks for encoder in encoders]
        params, total = self._once(
            ["joint", bool(network.modality_dropout), depths, masks],
            [network.fusion, network.head],
            lambda: _joint(network, depths, masks, self._outputs),
        )
        params += sum(encoder.params for encoder in encoders)
        total += sum(encoder.operations for encoder in encoders)
        return {"params": params, "macs": math.ceil(total / 2)}

    def _encoded(self, name: str, encoder: Any, given: Input, is_deep: bool) -> _Encoded:
        """Count an encoder: link by link where it is a chain, which shares more with others; else as a whole."""
        if type(encoder) is ConvNet and not given.free:
            with suppress(*BUILD_ERRORS, BlockError):  # counted as a whole it says what is wrong, and where
                return self._chained(encoder, given, is_deep)
        return self._once(["encoder", name, is_deep], encoder, lambda: _encoded(name, encoder, given, is_deep))

    def _chained(self, encoder: ConvNet, given: Input, is_deep: bool) -> _Encoded:
        params = total = 0
        depths: list[Shape] = []
        for link in encoder.links(given):
            more, done, shape = self._once(["link", given.shape], link, partial(_linked, link, given))
            params, total, given = params + more, total + done, Input(shape)
            depths = [*depths[:-1], shape] if isinstance(link, End) else [*depths, shape]
        return _Encoded(params, total, depths, [None] * (len(depths) if is_deep else 1))

    def _once(self, place: Sequence[Any], part: Any, count: Callable[[], T]) -> T:
        """Count a part, unless one that builds the same was counted in such a place."""
        try:
            key = json.dumps([place, canonical(part)])
        except Formless:
            return _unnoticed(part, count)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = _unnoticed(part, count)
        return self._known[key]


def _unnoticed(part: Any, count: Callable[[], T]) -> T:
    """Count with what is built on the meta device; on the CPU what is not ours, or cannot be built there."""
    if all(_is_ours(node) for node in nodes(part)):
        with suppress(*BUILD_ERRORS, BlockError), torch.device("meta"), Undrawn():
            return count()
    with torch.random.fork_rng(devices=()):
        return count()


def _is_ours(node: Any) -> bool:
    kind = node if isinstance(node, type) else type(node)
    return kind.__module__.partition(".")[0] in ("nas", "builtins") and kind is not ModuleBlock


def _encoded(name: str, encoder: Any, given: Input, is_deep: bool) -> _Encoded:
    module, depths = build_encoder(name, encoder, given)

    def run(x: Tensor) -> list[Features]:
        return depths_of(module, x) if is_deep else [as_features(module(x))]

    done, found = operations(module, run, [torch.empty(1, *given.shape, device="meta")])
    masks = [None if mask is None else tuple(mask.shape) for _, mask in found]
    return _Encoded(count_params(module), done, depths, masks)


def _linked(link: Stem | Stage | End, given: Input) -> tuple[int, int, Shape]:
    """The parameters and operations of a link of a chain, and the shape that it gives."""
    module = link.build(given)

    def run(x: Tensor) -> Tensor:
        return module(Features(x)) if isinstance(link, End) else module(x)

    done, found = operations(module, run, [torch.empty(1, *given.shape, device="meta")])
    if 0 in found.shape:
        raise BlockError(f"{type(link).__name__}: gives {tuple(found.shape)}, which is empty.")
    return count_params(module), done, tuple(found.shape[1:])


def _joint(
    network: Network, depths: Sequence[Sequence[Shape]], masks: Sequence[Sequence[Shape | None]], outputs: int
) -> tuple[int, int]:
    """The parameters and operations of all but the encoders."""
    fusion, head = network.build_joint(depths, outputs)
    joint = nn.ModuleList([fusion, head])
    absence = network.build_absence([shapes[-1] for shapes in depths])
    with torch.device("meta"):
        present = None if absence is None else [torch.empty(1, dtype=torch.bool) for _ in depths]
        features = [
            [
                Features(torch.empty(1, *shape), None if mask is None else torch.empty(mask, dtype=torch.bool))
                for shape, mask in zip(shapes[-len(each) :], each, strict=True)
            ]
            for shapes, each in zip(depths, masks, strict=True)
        ]
    given = features if fusion.deep else [each[-1] for each in features]
    done, _ = operations(joint, lambda: head(fusion(given, present)), ())
    return count_params(joint) + (0 if absence is None else count_params(absence)), done
