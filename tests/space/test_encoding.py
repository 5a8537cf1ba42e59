"""Architectures as numbers: every decision has its place, and nothing is confused."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_space import SPACES, quick

from nas import Space, choose, integer, load_space, maybe, repeat
from nas.errors import SpaceError
from nas.space.encoding import Encoding


@dataclass(frozen=True)
class Net:
    kind: Any = "a"
    layers: Any = ()


@dataclass(frozen=True)
class Layer:
    width: Any = 1
    part: Any = None


SPACE = Space(
    Net(
        choose("a", "b"),
        repeat(Layer(choose(32, 8, 16), maybe(Layer(choose(0.1, 0.5), integer(3, 7, step=2)))), 1, 2),
    )
)


@quick
@given(SPACES)
def test_different_decisions_are_encoded_differently(space: Space) -> None:
    encoded = [space.encode(architecture) for architecture in space.enumerate()]
    assert len({(values.tobytes(), mask.tobytes()) for values, mask in encoded}) == space.size
    for values, mask in encoded:
        assert values.shape == mask.shape == (space.encoding.size,)
        assert values.dtype == np.float32
        assert mask.dtype == np.bool_
        assert np.all((values >= 0) & (values <= 1))
        assert not values[~mask].any()


@quick
@given(SPACES, st.integers(0, 10**6))
def test_the_mask_is_true_where_something_is_decided(space: Space, seed: int) -> None:
    architecture = space.sample(random.Random(seed))
    mask = space.encode(architecture)[1]
    reached = {name for name, here in zip(space.encoding.names, mask, strict=True) if here}
    assert {name.split("=")[0] for name in reached} == set(architecture.decisions)


def test_numbers_stand_by_rank_and_names_one_by_one() -> None:
    assert SPACE.encoding.names[:4] == ["kind=a", "kind=b", "layers", "layers.0.width"]
    assert SPACE.encoding.size == 3 + 2 * (1 + 2 + 2) == len(set(SPACE.encoding.names))
    decisions = {
        "kind": "b", "layers": 1, "layers.0.width": 16,
        "layers.0.part": "yes", "layers.0.part.yes.width": 0.5, "layers.0.part.yes.part": 5,
    }  # fmt: skip
    values, mask = SPACE.encode(SPACE.architecture(decisions))
    assert dict(zip(np.array(SPACE.encoding.names)[mask], values[mask].tolist(), strict=True)) == {
        "kind=a": 0, "kind=b": 1, "layers": 0, "layers.0.width": 0.5,
        "layers.0.part=no": 0, "layers.0.part=yes": 1, "layers.0.part.yes.width": 1, "layers.0.part.yes.part": 0.5,
    }  # fmt: skip


def test_truth_values_and_mixed_labels_are_no_numbers() -> None:
    assert Space([choose(False, True), choose(1, None)]).encoding.names == ["0=False", "0=True", "1=1", "1=None"]


def test_tied_decisions_have_one_place_and_single_options_none() -> None:
    width = choose(1, 2, tie="width")
    assert Space([width, Layer(width, choose(Layer(choose(3))))]).encoding.names == ["tie:width"]
    assert Space(choose(1, 2)).encoding.names == ["network"]
    assert Space(1).encoding.size == 0


def test_an_architecture_of_another_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="depth: is no decision of this space; expected an architecture of the same"):
        Encoding(SPACE).encode(Space({"depth": choose(1, 2)}).sample(random.Random(0)))


def test_a_ready_space_is_encoded_quickly() -> None:
    space = load_space(Path(__file__).parent.parent.parent / "search_spaces" / "avdigits.py")
    architectures = [space.sample(random.Random(seed)) for seed in range(100)]
    space.encode(architectures[0])
    begun = time.process_time()
    for architecture in architectures:
        space.encode(architecture)
    assert (time.process_time() - begun) / 100 < 1e-3


def test_a_huge_tree_has_its_places_at_once() -> None:
    layer = Layer(integer(1, 512), choose(plain=Layer(choose(1, 2)), deep=repeat(Layer(choose("x", "y", "z")), 1, 20)))
    space = Space(Net(layers=repeat(layer, 1, 100)))
    begun = time.process_time()
    assert space.encoding.size == 1 + 100 * (1 + 2 + 1 + 1 + 20 * 3)
    assert time.process_time() - begun < 5
