"""The cheapest and the dearest architecture, held against enumeration."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_space import SPACES, quick

from nas import Space, choose, integer, repeat
from nas.errors import BlockError, SpaceError
from nas.space.bounds import MOST, extreme
from nas.space.description import canonical


@dataclass(frozen=True)
class Part:
    width: Any = 0
    inner: Any = None


def additive(seed: int) -> Any:
    """A cost that is a sum over the values of a description, each worth something of its own."""

    def value(form: Any) -> float:
        if isinstance(form, dict):
            return sum(value(part) for part in form.values())
        if isinstance(form, list):
            return sum(value(part) for part in form)
        return random.Random(f"{seed} {form!r}").random()

    return lambda network: value(canonical(network))


@quick
@given(SPACES.filter(lambda space: space.size < 200), st.integers(0, 10**6))
def test_no_change_of_one_decision_is_cheaper_or_dearer(space: Space, seed: int) -> None:
    cost = additive(seed)
    least, most = space.extremes(cost)
    costs = [(a.decisions, cost(a.network)) for a in space.enumerate()]
    assert cost(least.network) <= min(c for d, c in costs if is_one_off(d, least.decisions)) + 1e-9
    assert cost(most.network) >= max(c for d, c in costs if is_one_off(d, most.decisions)) - 1e-9


def is_one_off(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether the same decisions are taken and at most one of them differs."""
    return first.keys() == second.keys() and sum(first[path] != second[path] for path in first) <= 1


def test_decisions_that_add_up_give_the_exact_ends() -> None:
    layer = Part(choose(3, 1), choose(none=0, deep=Part(choose(5, 4), repeat(Part(integer(1, 2)), 0, 1))))
    space = Space([layer, repeat(layer, 1, 2)])

    def cost(node: Any) -> int:
        if isinstance(node, Part):
            return node.width + cost(node.inner)
        return sum(map(cost, node)) if isinstance(node, tuple) else int(node or 0)

    least, most = space.extremes(cost)
    every = [cost(a.network) for a in space.enumerate()]
    assert (cost(least.network), cost(most.network)) == (min(every), max(every))


def test_constraints_hold_and_what_cannot_be_built_is_passed_over() -> None:
    def cost(network: Part) -> int:
        if network.width in (0, 9):
            raise BlockError("cannot be built")
        return network.width

    space = Space(Part(integer(0, 9)), {"no 8": lambda network: network.width != 8})
    assert [a.decisions["width"] for a in space.extremes(cost)] == [1, 7]
    with pytest.raises(SpaceError, match="constraint 'never' refused"):
        Space(Part(integer(0, 9)), {"never": lambda _: False}).extremes(cost)


def test_what_constraints_refuse_does_not_hide_the_end() -> None:
    space = Space([integer(0, 9), integer(0, 9)], {"sum at most 10": lambda pair: sum(pair) <= 10})
    least, most = space.extremes(lambda pair: 10 * pair[0] + pair[1])
    assert [a.network for a in (least, most)] == [(0, 0), (9, 1)]


def test_a_description_that_counts_its_cost_shows_its_ends() -> None:
    @dataclass(frozen=True)
    class Net:
        width: Any

        def cost(self, name: str) -> int:
            return self.width * {"params": 1000, "macs": 7}[name]

    lines = Space(Net(choose(5, 2, 9))).describe().splitlines()
    assert lines == [
        "3 architectures", "smallest: 2,000 params, 14 MACs", "largest: 9,000 params, 63 MACs",
        "network: Net", "  width: one of 5, 2, 9",
    ]  # fmt: skip


def test_of_very_many_options_some_are_tried_and_both_ends() -> None:
    calls = 0

    def cost(network: Any) -> float:
        nonlocal calls
        calls += 1
        return network["n"] * 2 + network["m"]

    network = {"n": integer(1, 10**6), "m": choose(3, 1, 2)}
    found = [extreme(network, cost, largest, lambda _: True) for largest in (False, True)]
    assert found == [{"n": 1, "m": 1}, {"n": 10**6, "m": 3}]
    assert calls < 10 * MOST
