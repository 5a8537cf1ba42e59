"""The words of the DSL one by one; the laws of whole spaces are in test_space.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from nas.errors import SpaceError
from nas.space.choices import Choice, Repeat, choose, field_names, integer, is_nested, maybe, repeat, resolve


@dataclass(frozen=True)
class Block:
    width: Any = 1
    inner: Any = None


@dataclass(frozen=True)
class Labelled:
    label: str = "own"


@dataclass(frozen=True)
class Dotted:
    part: Any
    label: str = "a.b"


@dataclass(frozen=True)
class Derived:
    width: Any
    twice: int = field(init=False, default=0)


def plain(_: Any) -> None:
    """A function may be an option."""


def taking(answers: dict[str, int], asked: list[str]) -> Callable[[str, Choice], int]:
    def decide(path: str, _: Choice) -> int:
        asked.append(path)
        return answers[path]

    return decide


@pytest.mark.parametrize(
    ("option", "label"),
    [
        (3, 3),
        (0.5, 0.5),
        ("relu", "relu"),
        (True, True),
        (None, None),
        ([1, 2], "[1, 2]"),
        ({"a": 1}, '{"a": 1}'),
        ((), "[]"),
        (Block(2), "Block"),
        (Block, "Block"),
        (Labelled("mine"), "mine"),
        (plain, "plain"),
    ],
)
def test_the_label_of_an_option(option: Any, label: Any) -> None:
    made = choose(option, other="x")
    assert list(made.labels) == [label, "other"]
    assert type(made.labels[0]) is type(label)
    assert made.options[0] is option


def test_named_options_follow_the_others_under_their_names() -> None:
    made = choose(1, big=Block(9), small=Block(1))
    assert list(made.labels) == [1, "big", "small"]
    assert made.options == (1, Block(9), Block(1))


def test_integer_includes_both_ends_and_keeps_its_step() -> None:
    assert list(integer(2, 8, step=3).options) == list(integer(2, 8, step=3).labels) == [2, 5, 8]
    assert list(integer(2, 7, step=3).options) == [2, 5]
    assert list(integer(4, 4).options) == [4]
    assert list(integer(-1, 1).options) == [-1, 0, 1]
    assert integer(1, 2).is_integer
    assert not choose(1, 2).is_integer


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(2, 1, 1), (1, 5, 0), (1, 5, -1)],
)
def test_an_empty_integer_range_is_refused(low: int, high: int, step: int) -> None:
    with pytest.raises(
        SpaceError, match=rf"integer\({low}, {high}, step={step}\): the range is empty; expected low <= high"
    ):
        integer(low, high, step)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (3, 2)])
def test_wrong_bounds_of_repeat_are_refused(low: int, high: int) -> None:
    with pytest.raises(SpaceError, match=rf"repeat\(\.\.\., {low}, {high}\): expected 0 <= low <= high"):
        repeat(1, low, high)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_only_finite_numbers_are_options(value: float) -> None:
    with pytest.raises(SpaceError, match=f"{value} cannot be an option; expected a finite number"):
        choose(1.0, value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose(choose(1, 2)), r"open needs a name\.\nFor example choose\(deep=repeat"),
        (lambda: choose((Block(),)), r"a list of blocks needs a name\.\nFor example choose\(deep=\[A\(\), B\(\)\]"),
        (lambda: choose({"a": Block()}), "a list of blocks needs a name"),
        (lambda: choose(Block(1), Block(2)), r"label 'Block'\.\nName them: choose\(small="),
        (lambda: choose("big", big=1), "two options have the label 'big'"),
        (lambda: choose(1, 1.0), "two options have the label 1.0"),
        (lambda: choose(Dotted(choose(1, 2))), "the label 'a.b' contains a dot, which separates the parts of a path"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_with_advice(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()


def test_a_dot_is_allowed_where_no_path_goes_through() -> None:
    assert list(choose("a.b", "c").labels) == ["a.b", "c"]
    assert list(choose([0.5], [0.7], Dotted(1)).labels) == ["[0.5]", "[0.7]", "a.b"]
    assert resolve(Block(choose([0.5], [0.7])), taking({"width": 1}, [])) == Block((0.7,))


def test_maybe_leaves_a_part_out_or_takes_it_with_its_own_decisions() -> None:
    made = maybe(Block(choose(1, 2)))
    assert list(made.labels) == ["no", "yes"]
    asked: list[str] = []
    assert resolve([made], taking({"0": 0}, asked)) == (None,)
    assert resolve([made], taking({"0": 1, "0.yes.width": 1}, asked)) == (Block(2),)
    assert asked == ["0", "0", "0.yes.width"]
    nested = maybe(choose(1, 2))
    assert resolve(Block(nested), taking({"width": 1, "width.yes": 1}, [])) == Block(2)
    assert maybe(Block(), tie="t").tie == "t"
    with pytest.raises(SpaceError, match=r"maybe\(None\): with or without it is the same; expected a part"):
        maybe(None)


def test_numbers_stand_next_to_each_other_by_value_and_names_do_not() -> None:
    def beside(choice: Choice) -> list[list[int]]:
        return [[*choice.beside(option)] for option in range(len(choice.options))]

    assert beside(integer(2, 8, 2)) == [[1], [0, 2], [1, 3], [2]]
    assert beside(choose(32, 8, 16.0)) == [[2], [2], [1, 0]]
    assert beside(choose("a", "b", "c")) == beside(choose(1, 2, None)) == [[], [], []]
    assert beside(choose(1, 2)) == beside(choose(False, True)) == beside(integer(1, 2)) == [[], []]


def test_index_finds_labels_by_value_and_type() -> None:
    made = choose(0, 1, "1", 0.5, None)
    assert [made.index(label, "p") for label in (0, 1, "1", 0.5, None)] == [0, 1, 2, 3, 4]
    for label in (True, False, 1.0, "None", 7):
        with pytest.raises(
            SpaceError, match=r"a\.p: .* is not one of \[0, 1, '1', 0\.5, None\]\.\nAdd .* to the choice"
        ):
            made.index(label, "a.p")


def test_resolve_asks_what_it_reaches_in_the_order_of_the_walk() -> None:
    node = Block(choose(1, 2), [choose(None, block=Block(integer(1, 3))), {"k": repeat(choose("a", "b"), 0, 2)}])
    asked: list[str] = []
    answers = {"width": 1, "inner.0": 1, "inner.0.block.width": 2, "inner.1.k": 2, "inner.1.k.0": 1, "inner.1.k.1": 0}
    assert resolve(node, taking(answers, asked)) == Block(2, (Block(3), {"k": ("b", "a")}))
    assert asked == list(answers)


def test_resolve_leaves_out_what_it_does_not_reach() -> None:
    asked: list[str] = []
    node = Block(inner=[choose(None, block=Block(integer(1, 3))), repeat(choose(1, 2), 0, 2)])
    assert resolve(node, taking({"inner.0": 0, "inner.1": 0}, asked)) == Block(inner=(None, ()))
    assert asked == ["inner.0", "inner.1"]


def test_the_outermost_decision_is_called_network() -> None:
    asked: list[str] = []
    assert resolve(repeat(choose(1, 2), 1, 2), taking({"network": 0, "0": 1}, asked)) == (2,)
    assert resolve(choose(1, 2), taking({"network": 1}, asked)) == 2
    assert asked == ["network", "0", "network"]


def test_a_tie_is_asked_once_and_its_options_may_differ() -> None:
    asked: list[str] = []
    node = [choose(a=Block(1), b=Block(2), tie="t"), choose(a=choose(5, 6), b=7, tie="t")]
    assert resolve(node, taking({"tie:t": 0, "1.a": 1}, asked)) == (Block(1), 6)
    assert asked == ["tie:t", "1.a"]


def test_a_closed_description_is_handed_back_as_it_is() -> None:
    block = Block(3, Block(4))
    assert resolve(block, taking({}, [])) is block
    assert resolve([1, 2], taking({}, [])) == (1, 2)


def test_fields_that_a_constructor_does_not_take_are_left_alone() -> None:
    assert field_names(Derived) == ("width",)
    assert resolve(Derived(choose(1, 2)), taking({"width": 1}, [])) == Derived(2)


def test_is_nested() -> None:
    for node in (choose(1, 2), repeat(1, 0, 1), {}, [], (), Block()):
        assert is_nested(node)
    for node in (1, "a", None, Block, plain, 0.5):
        assert not is_nested(node)


def test_the_length_of_a_repeat_is_an_integer_choice() -> None:
    made = repeat("x", 1, 3)
    assert isinstance(made, Repeat)
    assert list(made.length.labels) == [1, 2, 3]
    assert made.length is made.length
