"""Architectures as rows: how they change; what else they can is held by the samplers that use it."""

from __future__ import annotations

import numpy as np
import pytest

from nas import Space, choose, integer, repeat
from nas.codes import Codes
from nas.errors import SpaceError

SPACE = Space({"n": integer(0, 9), "kind": choose("a", "b", "c"), "two": choose(1, 2)})


def test_every_other_change_of_a_number_is_a_step() -> None:
    codes, rng = Codes(SPACE), np.random.default_rng(0)
    rows = codes.rows([{"n": 4, "kind": "a", "two": 1}] * 6000)
    changed = codes.mutate(rows, rng)
    assert ((changed != rows).sum(axis=1) == 1).all()
    numbers = changed[changed[:, 0] != 4, 0]
    assert np.mean(abs(numbers - 4) == 1) == pytest.approx(0.5 + 0.5 * 2 / 9, abs=0.03)
    assert {*numbers.tolist()} == {*range(10)} - {4}
    kinds = changed[changed[:, 1] != 0, 1]
    assert np.mean(kinds == 1) == pytest.approx(0.5, abs=0.05)


def test_a_number_at_its_end_steps_back() -> None:
    codes, rng = Codes(Space({"n": integer(0, 9)})), np.random.default_rng(0)
    changed = codes.mutate(codes.rows([{"network": 9} if codes.paths == ["network"] else {"n": 9}] * 2000), rng)
    assert np.mean(changed == 8) == pytest.approx(0.5 + 0.5 / 9, abs=0.04)


def test_conditions_lead_down_to_a_column() -> None:
    codes = Codes(Space({"layers": repeat(integer(1, 3), 0, 2)}))
    ((above, labels),) = codes.conditions(codes.paths.index("layers.1"))
    assert codes.paths[above] == "layers"
    assert labels.tolist() == [False, False, True, False]
    assert not codes.conditions(codes.paths.index("layers"))


def test_a_tie_in_several_places_has_no_single_condition() -> None:
    tied = choose(1, 2, 3, tie="width")
    codes = Codes(Space({"a": choose(x=[tied], y=()), "b": choose(x=[tied], y=())}))
    with pytest.raises(SpaceError, match="tie:width: is reached in several ways; expected one"):
        codes.conditions(codes.paths.index("tie:width"))
