"""Architectures as rows: how they change; what else they can is held by the samplers that use it."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nas import Space, choose, integer, repeat
from nas.errors import SpaceError
from nas.space.indexed import Indexed


@dataclass(frozen=True)
class _Described:
    """A description without the laws of a space."""

    network: Any


SPACE = Space({"n": integer(0, 9), "kind": choose("a", "b", "c"), "two": choose(1, 2)})


def test_every_other_change_of_a_number_is_a_step() -> None:
    codes, rng = Indexed(SPACE), np.random.default_rng(0)
    rows = codes.rows([{"n": 4, "kind": "a", "two": 1}] * 6000)
    changed = codes.mutate(rows, rng)
    assert ((changed != rows).sum(axis=1) == 1).all()
    numbers = changed[changed[:, 0] != 4, 0]
    assert np.mean(abs(numbers - 4) == 1) == pytest.approx(0.5 + 0.5 * 2 / 9, abs=0.03)
    assert {*numbers.tolist()} == {*range(10)} - {4}
    kinds = changed[changed[:, 1] != 0, 1]
    assert np.mean(kinds == 1) == pytest.approx(0.5, abs=0.05)


def test_a_number_at_its_end_steps_back() -> None:
    codes, rng = Indexed(Space({"n": integer(0, 9)})), np.random.default_rng(0)
    changed = codes.mutate(codes.rows([{"network": 9} if codes.paths == ["network"] else {"n": 9}] * 2000), rng)
    assert np.mean(changed == 8) == pytest.approx(0.5 + 0.5 / 9, abs=0.04)


def test_conditions_lead_down_to_a_column() -> None:
    codes = Indexed(Space({"layers": repeat(integer(1, 3), 0, 2)}))
    ((above, labels),) = codes.conditions(codes.paths.index("layers.1"))
    assert codes.paths[above] == "layers"
    assert labels.tolist() == [False, False, True, False]
    assert not codes.conditions(codes.paths.index("layers"))


def test_a_tie_in_several_places_has_no_single_condition() -> None:
    tied = choose(1, 2, 3, tie="width")
    codes = Indexed(Space({"a": choose(x=[tied], y=()), "b": choose(x=[tied], y=())}))
    with pytest.raises(SpaceError, match="tie:width: is reached in several ways; expected one"):
        codes.conditions(codes.paths.index("tie:width"))


def test_a_tie_that_a_later_column_makes_a_row_ask_is_decided_then() -> None:
    tied = choose(1, 2, 3, tie="width")
    space = Space({"a": choose(x=[tied, choose(5, 6)], y=()), "b": choose(p=[tied], q=())})
    codes = Indexed(space)
    row = codes.rows([{"a": "y", "tie:width": 2, "b": "p"}])
    turns = dict(zip(codes.paths, codes.turns(row)[0].tolist(), strict=True))
    assert turns["a.x.1"] == -1
    assert -1 < turns["a"] < turns["b"] < turns["tie:width"]


def test_rows_have_the_same_turns_alone_and_among_others() -> None:
    tied = choose(1, 2, tie="w")
    space = Space([choose(x=[tied], y=()), choose(x=[tied], y=()), choose(x=[tied], y=())])
    codes = Indexed(space)
    rows = codes.sample(40, np.random.default_rng(0))
    together = codes.turns(rows)
    assert ((together >= 0) == (rows >= 0)).all()
    assert all((codes.turns(row[None])[0] == turn).all() for row, turn in zip(rows, together, strict=True))


@pytest.mark.parametrize(
    "description", [{"n": integer(1, 10**6)}, {"n": repeat(choose(1, 2), 0, 10**6)}], ids=["integer", "repeat"]
)
def test_too_many_options_are_refused_before_anything_is_made_of_them(description: Any) -> None:
    tracemalloc.start()
    with pytest.raises(SpaceError, match=r"n: 1,000,00\d options; expected at most 4,096 by this sampler"):
        Indexed(_Described(description))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_many_options_cost_tables_only_where_they_are_used() -> None:
    tracemalloc.start()
    codes = Indexed(Space([integer(1, 4096) for _ in range(4)]))
    rows = codes.sample(10, np.random.default_rng(0))
    assert codes.encode(codes.mutate(rows, np.random.default_rng(1))).shape == (10, 4)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert len(codes.coordinates) == 4 * 4095


def test_coordinates_are_those_of_points() -> None:
    codes = Indexed(Space([integer(1, 5), choose("a", "b", "c"), choose(1, 2), choose(0.5)]))
    assert codes.points(codes.sample(3, np.random.default_rng(0))).shape[1] == len(codes.coordinates)
