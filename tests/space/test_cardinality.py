"""How many there are is what listing them counts, however ties lie, and in little time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas import Space, choose, integer, maybe, repeat
from nas.space import cardinality as module
from nas.space.cardinality import Cardinality, cardinality


@dataclass(frozen=True)
class A:
    x: Any = 0
    y: Any = None


def tied(name: str) -> Any:
    """A choice of three that opens nothing."""
    return choose(1, 2, 3, tie=name)


def opening(name: str, other: str) -> Any:
    """A tied choice of which one option opens another tie."""
    return choose(1, deep=A(tied(other)), flat=2, tie=name)


LEAVES = st.one_of(
    st.sampled_from("abc").map(tied),
    st.sampled_from("abc").map(lambda other: opening("deep", other)),
    st.just(choose(1, 2)),
    st.just(integer(1, 3, tie="number")),
    st.just(maybe(A(tied("a")), tie="there")),
    st.just(7),
)
NODES = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.builds(A, below, below),
        st.tuples(below, below).map(lambda two: choose(left=two[0], right=A(two[1]))),
        st.tuples(below, st.integers(0, 1), st.integers(1, 2)).map(lambda t: repeat(*t)),
        st.tuples(below, below, below),
    ),
    max_leaves=7,
)


@settings(max_examples=150, deadline=None)
@given(NODES)
def test_the_number_is_what_listing_counts(network: Any) -> None:
    found = cardinality(network)
    assert found.exact
    if found.number < 3000:
        assert found.number == sum(1 for _ in Space(network).enumerate())


@settings(max_examples=60, deadline=None)
@given(NODES)
def test_a_bound_is_never_above_the_number(network: Any) -> None:
    exact = cardinality(network).number
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST", 4)
        found = cardinality(network)
    assert 0 < found.number <= exact
    assert found.exact is False or found.number == exact


def test_many_ties_between_two_parts_are_counted_at_once() -> None:
    first, second = ([choose(1, deep=A(choose(1, 2)), tie=f"t{i}") for i in range(60)] for _ in range(2))
    begun = time.perf_counter()
    assert cardinality(A(first, second)) == Cardinality((1 + 2 * 2) ** 60, True)
    assert cardinality([tied(f"t{i}") for i in range(200)] * 2) == Cardinality(3**200, True)
    assert time.perf_counter() - begun < 2


def test_ties_that_all_depend_on_each_other_give_a_bound() -> None:
    layers = [choose(1, deep=A(tied(f"u{i}")), tie=f"t{i}") for i in range(18)]
    either = choose(left=layers, right=A(layers), other=layers[0])
    begun = time.perf_counter()
    found = cardinality([either, layers, either])
    assert time.perf_counter() - begun < 30
    assert found.number > 10**6
    assert found.exact is False
    space = Space([either, layers, either])
    assert space.describe().startswith("at least ")


def test_a_tie_of_very_many_is_counted_as_one() -> None:
    assert cardinality([integer(1, 10**6, tie="n"), integer(1, 10**6, tie="n"), integer(1, 10**9)]).number == 10**15
