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
from torch import Tensor

from nas.blocks.conv import ConvNet, End, Stage, Stem
from nas.blocks.cost import count_params, operations
from nas.blocks.features import Features, as_features, depths_of
from nas.blocks.fusion.late import Experts
from nas.blocks.input import Input
from nas.blocks.module import unnoticed
from nas.blocks.network import Network, build_encoder
from nas.errors import BUILD_ERRORS, BlockError
from nas.space.description import Formless, canonical

T = TypeVar("T")
_KEPT = 20_000

Shape = tuple[int, ...]
_Read = tuple[Shape, Shape | None]
"""The shapes of features, without the batch axis, and of their mask."""


@dataclass(frozen=True)
class _Encoded:
    """What was counted of an encoder.

    Attributes:
        params: Its parameters.
        operations: Floating-point operations at batch 1.
        depths: Shapes of its depths, without the batch axis.
        masks: Of the depths, or of the last alone, the shapes of masks; None for what has none.
    """

    params: int
    operations: int
    depths: Sequence[Shape]
    masks: Sequence[Shape | None]

    def read_by(self, fusion: Any, is_deep: bool) -> Sequence[_Read]:
        """What makes a difference to a fusion: all depths, the last, or where it takes their mean the channels."""
        if getattr(fusion, "pools", False) and not is_deep:
            return [(self.depths[-1][:1], None)]
        first = 0 if is_deep else -1
        return list(zip(self.depths[first:], self.masks[first:], strict=True))


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
        reads = [encoder.read_by(network.fusion, is_deep) for encoder in encoders]
        is_dropped = bool(network.modality_dropout)
        fusion = [network.fusion, network.head if isinstance(network.fusion, Experts) else None]
        more, done, features = self._once(
            ["fusion", is_dropped, reads], fusion, lambda: _fused(network, reads, is_dropped, self._outputs)
        )
        params, total = self._once(["head", features], network.head, lambda: _headed(network, features, self._outputs))
        params += more + sum(encoder.params for encoder in encoders)
        total += done + sum(encoder.operations for encoder in encoders)
        if absence := network.build_absence([encoder.depths[-1] for encoder in encoders]):
            params += count_params(absence)
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
            return unnoticed(part, count)
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = unnoticed(part, count)
        return self._known[key]


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


def _fused(network: Network, reads: Sequence[Sequence[_Read]], is_dropped: bool, outputs: int) -> tuple[int, int, int]:
    """The parameters and operations of the fusion, and how many features it gives."""
    shapes = [[shape for shape, _ in depths] for depths in reads]
    fusion, given = network.build_fusion(shapes, outputs)
    with torch.device("meta"):
        present = [torch.empty(1, dtype=torch.bool) for _ in reads] if is_dropped else None
        features = [[_features(*read) for read in depths] for depths in reads]
    joined = features if fusion.deep else [depths[-1] for depths in features]
    done, _ = operations(fusion, lambda: fusion(joined, present), ())
    return count_params(fusion), done, given


def _features(shape: Shape, mask: Shape | None) -> Features:
    return Features(torch.empty(1, *shape), None if mask is None else torch.empty(mask, dtype=torch.bool))


def _headed(network: Network, features: int, outputs: int) -> tuple[int, int]:
    """The parameters and operations of the head."""
    head = network.build_head(features, outputs)
    done, _ = operations(head, head, [torch.empty(1, features, device="meta")])
    return count_params(head), done
