"""The laws of search spaces, for random spaces."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas import Architecture, Space, choose, integer, load_space, maybe, repeat, resolve
from nas.errors import SpaceError


@dataclass(frozen=True)
class A:
    x: Any = 0
    y: Any = None


@dataclass(frozen=True)
class B:
    z: Any = 0


@dataclass(frozen=True)
class Alias:
    """Builds the same network whatever `idle` is, and none of its own where `times` is 0."""

    idle: Any = 0
    times: Any = 1

    def canonical(self) -> Any:
        return Alias(0, self.times) if self.times else B(0)


LEAVES = st.one_of(
    st.just(1),
    st.integers(1, 4).map(lambda n: choose(*range(n))),
    st.integers(1, 3).map(lambda n: choose(*(f"option {i}" for i in range(n)))),
    st.integers(0, 3).map(lambda n: integer(2, 2 + n)),
    st.just(choose(1, 2, 3, tie="tied")),
    st.just(choose(0.5, 1, 0.25)),
    st.just(choose([0.5], [0.25, 0.5], dotless=A(choose(1, 2)))),
    st.just(Alias(choose(0, 1), choose(0, 1))),
    st.just(choose(whole=Alias(choose(0, 1), 0), other=B(0))),
    st.just(maybe(B(choose(1, 2)), tie="there")),
)


def nest(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(A, children, children),
        st.builds(B, children),
        st.tuples(children, children),
        children.map(lambda c: {"key": c}),
        st.tuples(children, children).map(lambda cs: choose(None, first=A(cs[0]), second=B(cs[1]))),
        children.map(maybe),
        st.tuples(children, children).map(lambda cs: choose(left=cs[0], right=cs[1])),
        st.tuples(children, st.integers(0, 1), st.integers(1, 2)).map(lambda t: repeat(t[0], t[1], t[2])),
    )


NODES = st.recursive(LEAVES, nest, max_leaves=6)
SPACES = NODES.map(lambda node: Space(A(x=node))).filter(lambda space: space.size < 3000)
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


def simplified(network: Any) -> Any:
    """What a closed description builds, as a description without aliases."""
    if isinstance(network, Alias):
        return network.canonical()
    if isinstance(network, A):
        return A(simplified(network.x), simplified(network.y))
    if isinstance(network, B):
        return B(simplified(network.z))
    if isinstance(network, dict):
        return {name: simplified(part) for name, part in network.items()}
    return tuple(map(simplified, network)) if isinstance(network, tuple) else network


def is_near(first: Architecture, second: Architecture) -> bool:
    """Whether the two differ in one of the decisions that both have."""
    common = first.decisions.keys() & second.decisions.keys()
    return sum(first.decisions[path] != second.decisions[path] for path in common) == 1


def has_mutant(space: Space, parent: Architecture) -> bool:
    return any(a != parent and is_near(a, parent) for a in space.enumerate())


@quick
@given(SPACES, st.integers(0, 10**6))
def test_decode_after_record_is_identity(space: Space, seed: int) -> None:
    architecture = space.sample(random.Random(seed))
    seen: list[str] = []

    def replay(path: str, choice: Any) -> int:
        seen.append(path)
        return choice.index(architecture.decisions[path], path)

    assert space.decode(architecture) == resolve(space.network, replay)
    assert set(seen) == set(architecture.decisions)


@quick
@given(SPACES, st.integers(0, 10**6))
def test_architectures_travel_as_json(space: Space, seed: int) -> None:
    architecture = space.sample(random.Random(seed))
    back = space.architecture(json.loads(json.dumps(architecture.decisions)))
    assert back == architecture
    assert back.decisions == architecture.decisions
    assert hash(back) == hash(architecture)
    assert space.decode(back) == space.decode(architecture)


@quick
@given(SPACES, st.integers(0, 10**6))
def test_mutation_changes_the_key_and_stays_in_the_space(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    architecture = space.sample(rng)
    if not architecture.decisions:
        with pytest.raises(SpaceError, match="no decision that could be changed"):
            space.mutate(architecture, rng)
        return
    try:
        mutant = space.mutate(architecture, rng)
    except SpaceError as error:
        assert "changes of one decision led to the same network" in error.message
        assert all(a == architecture for a in space.enumerate() if is_near(a, architecture))
        return
    assert mutant.key != architecture.key
    assert space.architecture(mutant.decisions) == mutant


@quick
@given(SPACES, st.integers(0, 10**6))
def test_crossover_inherits(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)
    assert space.crossover(first, first, rng).decisions == first.decisions
    child = space.crossover(first, second, rng)
    assert space.architecture(child.decisions) == child
    for path, label in child.decisions.items():
        having = [p.decisions[path] for p in (first, second) if path in p.decisions]
        assert not having or label in having


@quick
@given(SPACES)
def test_size_is_what_enumeration_counts(space: Space) -> None:
    decisions = [json.dumps(architecture.decisions) for architecture in space.enumerate()]
    assert len(decisions) == len(set(decisions)) == space.size


@quick
@given(SPACES)
def test_equal_architectures_are_those_of_one_canonical_network(space: Space) -> None:
    networks: dict[str, list[Any]] = {}
    for architecture in space.enumerate():
        networks.setdefault(architecture.key, []).append(simplified(architecture.network))
    assert all(network == same[0] for same in networks.values() for network in same)
    different = [same[0] for same in networks.values()]
    assert all(repr(network) != repr(other) for i, network in enumerate(different) for other in different[:i][:50])


@quick
@given(SPACES, st.integers(0, 10**6))
def test_sampling_is_reproducible(space: Space, seed: int) -> None:
    assert space.sample(random.Random(seed)) == space.sample(random.Random(seed))


@quick
@given(SPACES, st.integers(0, 10**6))
def test_any_optuna_trial_can_answer(space: Space, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    architecture = space.ask(trial)
    assert architecture.decisions == trial.params
    space.decode(architecture)


def test_what_is_not_reached_is_not_asked() -> None:
    space = Space(choose(A(x=choose(1, 2)), B(z=choose(1, 2, 3))))
    paths = {tuple(sorted(a.decisions)) for a in space.enumerate()}
    assert paths == {("A.x", "network"), ("B.z", "network")}
    assert space.size == 5


def test_a_choice_with_one_option_is_no_decision() -> None:
    space = Space(A(x=choose(B(z=choose(1, 2))), y=repeat(choose(3), 2, 2)))
    assert {tuple(a.decisions) for a in space.enumerate()} == {("x.B.z",)}
    assert space.decode(next(space.enumerate())) == A(x=B(1), y=(3, 3))


def test_tied_choices_are_one_decision_and_untied_ones_are_not() -> None:
    width = choose(1, 2, tie="width")
    free = choose(1, 2)
    assert Space(A(width, B(width))).size == 2
    assert all(n.x == n.y.z for n in map(Space(A(width, B(width))).decode, Space(A(width, B(width))).enumerate()))
    assert Space(A(free, B(free))).size == 4


def test_a_tie_reached_in_one_branch_only_is_counted_there() -> None:
    width = choose(1, 2, 3, tie="width")
    space = Space(A(width, choose(None, B(width), two=A(width, choose(1, 2)))))
    assert space.size == sum(1 for _ in space.enumerate()) == 3 * (1 + 1 + 2)


def test_fingerprint_tells_descriptions_apart() -> None:
    prints = [Space(A(x)).fingerprint for x in (choose(1, 2), choose(1, 3), integer(1, 2), choose(1, 2, tie="t"))]
    assert prints[0] == Space(A(choose(1, 2))).fingerprint
    assert len({prints[0], prints[1], prints[3]}) == 3


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (A(choose(8, 16)), A(choose(8, 16, 24)), ["x: 8, 16 -> 8, 16, 24"]),
        (A(choose(8, 16)), A(8), ["x: 8, 16 -> 8"]),
        (choose(1, 2), choose(2, 1), ["network: 1, 2 -> 2, 1"]),
        (A(choose(1, 2)), A(choose(1, 2, tie="t")), ["x: tie None -> tie t"]),
        (A(choose(1, "1")), A(choose(1, 1.5)), ["x: 1, '1' -> 1, 1.5"]),
        (repeat(B(1), 1, 3), repeat(B(2), 0, 4), ["network: 1 to 3 times -> 0 to 4 times", "*.z: 1 -> 2"]),
        (A({"a": B(), "b": B()}), A({"a": B(), "c": A()}), ["x.b: removed", "x.c: added A"]),
        (A([1, 2]), A([1, 2, repeat(1, 0, 2)]), ["x.2: added 0 to 2 times"]),
        (A(B(1)), A(A(1)), ["x: B -> A"]),
        (A(choose(1, s=B(1))), A(choose(2, s=B(3))), ["x: 1, s -> 2, s", "x.s.z: 1 -> 3"]),
        (A(choose(s=1, t=2)), A(choose(s=1, t=3)), ["x.t: 2 -> 3"]),
        (A(maybe(B(1))), A(maybe(B(choose(1, 2)))), ["x.yes.z: 1 -> 1, 2"]),
        (A([B(1)], ()), A({"k": B(1)}, None), ["x: a list of 1 -> dict", "y: a list of 0 -> None"]),
    ],
)
def test_what_changed_between_two_spaces_is_said_by_path(old: Any, new: Any, lines: list[str]) -> None:
    assert Space(new).changes(Space(old)) == lines


@quick
@given(SPACES, SPACES)
def test_something_changed_exactly_where_fingerprints_differ(old: Space, new: Space) -> None:
    assert bool(new.changes(old)) == (new.fingerprint != old.fingerprint)
    assert old.changes(Space(old.network)) == []


def test_changed_constraints_are_named() -> None:
    assert Space(1, {"a": bool, "b": bool}).changes(Space(1, {"b": bool, "c": bool})) == [
        "constraint c: removed",
        "constraint a: added",
    ]


def test_constraints_hold_and_the_one_that_refuses_is_named() -> None:
    space = Space(A(integer(0, 9), integer(0, 9)), {"small": lambda n: n.x + n.y < 5, "odd": lambda n: n.x % 2})
    rng = random.Random(0)
    for _ in range(50):
        network = space.decode(space.mutate(space.sample(rng), rng))
        assert network.x + network.y < 5
        assert network.x % 2
    assert all(space.decode(a).x % 2 for a in space.enumerate())
    never = Space(A(integer(0, 9)), {"never": lambda _: False})
    with pytest.raises(SpaceError, match="constraint 'never' refused 1000 of 1000 proposals"):
        never.sample(rng)
    with pytest.raises(SpaceError, match="constraint 'small' refuses"):
        space.architecture({"x": 9, "y": 9})


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"x": 3}, r"x: 3 is not one of \[1, 2\]"),
        ({"x": True}, r"x: True is not one of \[1, 2\]"),
        ({}, "x: the architecture has no decision here"),
        ({"x": 1, "xx": 1}, "unknown decision 'xx'; known: x"),
    ],
)
def test_an_architecture_of_another_space_is_refused(decisions: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space(A(choose(1, 2))).architecture(decisions)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (choose, "no options given"),
        (lambda: choose(1, 1), "two options have the label 1"),
        (lambda: choose(A(1), A(2)), "two options have the label 'A'"),
        (lambda: choose(float("nan")), "nan cannot be an option"),
        (lambda: choose(repeat(1, 1, 2)), "an option that is itself open needs a name"),
        (lambda: choose([A()]), "a list of blocks needs a name"),
        (lambda: choose(**{"a.b": A(choose(1, 2))}), "contains a dot"),
        (lambda: integer(3, 2), r"integer\(3, 2, step=1\): the range is empty"),
        (lambda: repeat(1, 3, 2), r"expected 0 <= low <= high"),
        (lambda: Space(A(choose(1, 2, tie="t"), choose(1, 3, tie="t"))), r"tie 't': \[1, 3\] differs from \[1, 2\]"),
    ],
)
def test_wrong_descriptions_are_refused_at_once(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        make()


KEYS = st.sampled_from([1, "1", "", "network", "x", 0, "0", None, "None"])
NAMED = st.recursive(
    st.one_of(st.just(choose(1, 2)), st.just(3), st.just(choose(1, 2, tie="t"))),
    lambda below: st.one_of(
        st.dictionaries(KEYS, below, min_size=1, max_size=3),
        st.tuples(below, below),
        st.builds(A, below, below),
        st.tuples(st.sampled_from(["", "network", "tie:t", "0", "x"]), below).map(
            lambda pair: choose(None, **{pair[0]: [pair[1]]}, other=A(pair[1]))
        ),
        below.map(lambda item: repeat(item, 1, 2)),
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(NAMED, st.integers(0, 10**6))
def test_two_decisions_never_share_a_path(network: Any, seed: int) -> None:
    try:
        space = Space(network)
    except SpaceError as error:
        assert "path" in error.message or "a part's name cannot" in error.message
        return
    asked: list[str] = []
    rng = random.Random(seed)

    def decide(path: str, choice: Any) -> int:
        asked.append(path)
        return rng.randrange(len(choice.options))

    resolve(space.network, decide)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    "network",
    [
        {1: choose(1, 2), "1": choose(1, 2)},
        {None: [choose(1, 2)], "None": [choose(3, 4)]},
        {"": choose(1, 2), "network": choose(1, 2)},
        choose(A(), **{"tie:t": A(choose(1, 2)), "b": A(choose(1, 2, tie="t.x"))}),
    ],
)
def test_decisions_of_one_path_are_refused(network: Any) -> None:
    with pytest.raises(SpaceError, match="two decisions have this path; expected another for each"):
        Space(network)


VAST = """
import random, resource, time, tracemalloc
from nas import Space, choose, integer
from nas.errors import SpaceError
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
tracemalloc.start()
number = integer(0, 10**6, 10, tie="t")
space, rng = Space({"n": integer(1, 1_000_000), "m": [number, number]}), random.Random(0)
begun = time.process_time()
assert space.size == 10**6 * 100_001
first, second = space.sample(rng), space.sample(rng)
for _ in range(200):
    first = space.mutate(first, rng)
    second = space.crossover(first, second, rng)
assert space.architecture(first.decisions) == first
values, mask = space.encode(first)
assert mask.all() and values[0] == (first.decisions["n"] - 1) / 999_999
assert "n: 1 to 1000000" in space.describe()
assert len([next(space.neighbours(first, rng)) for _ in range(5)]) == 5
try:
    space.architecture({**first.decisions, "n": 0})
except SpaceError as error:
    assert len(str(error)) < 300, error
peak = tracemalloc.get_traced_memory()[1]
assert peak < 20e6, peak
tracemalloc.stop()
assert len(space.fingerprint) == 16
print(time.process_time() - begun)
"""


def test_a_million_options_cost_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", VAST], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20


def test_messages_name_a_few_of_many_labels() -> None:
    with pytest.raises(SpaceError, match=r"x: 0 is not one of \[1, 2, 3, ..., 1000\] \(1,000 options\)"):
        Space(A(integer(1, 1000))).architecture({"x": 0})


def test_of_many_options_a_few_are_described() -> None:
    assert "one of 0, 1, 2, ..., 99" in Space(choose(*range(100))).describe()
    assert Space(A(integer(1, 99))).changes(Space(A(integer(1, 100)))) == ["x: 1, 2, 3, ..., 100 -> 1, 2, 3, ..., 99"]


def test_many_options_are_checked_quickly() -> None:
    assert Space(choose(*range(20_000))).size == 20_000


def test_values_that_are_equal_in_python_are_told_apart_or_refused() -> None:
    with pytest.raises(SpaceError, match="two options have the label True"):
        choose(1, True)


def test_describe_shows_the_tree() -> None:
    text = Space(A(choose(1, 2, tie="t"), repeat(choose(None, B(choose(1, 2))), 0, 2)), {"c": bool}).describe()
    assert text.splitlines()[:2] == ["26 architectures", "constraint c"]
    assert "x: one of 1, 2 (tie t)" in text
    assert "y: 0 to 2 times" in text
    assert "*: one of None, B" in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", r"s.py:1: .*expected a Python file"),
        ("x = 1\nraise ValueError('no')", r"s.py:2: ValueError: no"),
        ("import nothing_like_it", r"s.py:1: ModuleNotFoundError"),
        ("x = 1", r"s.py: defines no spaces; expected exactly one"),
        ("from nas import Space\na = Space(1)\nb = Space(2)", r"s.py: defines 2 spaces"),
    ],
)
def test_a_space_file_that_is_wrong_says_where(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "s.py").write_text(source)
    with pytest.raises(SpaceError, match=message):
        load_space(tmp_path / "s.py")


def test_a_space_file_imports_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "widths_of_this_test.py").write_text("widths = (1, 2, 3)")
    (tmp_path / "s.py").write_text(
        "from widths_of_this_test import widths\nimport nas\nspace = nas.Space([nas.choose(*widths)])"
    )
    assert load_space(tmp_path / "s.py").size == 3
    with pytest.raises(SpaceError, match="there is no such file"):
        load_space(tmp_path / "none.py")


@quick
@given(SPACES)
def test_every_architecture_of_a_space_travels_and_resolves_to_another_network(space: Space) -> None:
    networks: list[Any] = []
    for architecture in space.enumerate():
        back = space.architecture(json.loads(json.dumps(dict(architecture.decisions))))
        assert back == architecture
        networks.append(space.decode(back))
    assert len(networks) == space.size


@quick
@given(SPACES, st.integers(0, 10**6))
def test_what_is_sampled_or_bred_is_among_the_enumerated(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    every = set(space.enumerate())
    first, second = space.sample(rng), space.sample(rng)
    assert {first, second, space.crossover(first, second, rng)} <= every
    if has_mutant(space, first):
        assert space.mutate(first, rng) in every


@quick
@given(SPACES, st.integers(0, 10**6))
def test_the_same_randomness_breeds_the_same(space: Space, seed: int) -> None:
    def bred() -> list[str]:
        rng = random.Random(seed)
        first, second = space.sample(rng), space.sample(rng)
        mutants = [space.mutate(first, rng).key] if has_mutant(space, first) else []
        return [*mutants, space.crossover(first, second, rng).key]

    assert bred() == bred()


@quick
@given(SPACES)
def test_the_fingerprint_is_stable_and_knows_every_label(space: Space) -> None:
    assert Space(space.network).fingerprint == space.fingerprint
    prints = {Space((space.network, choose(1, last))).fingerprint for last in (2, 3, "2", 2.5, None)}
    assert len(prints) == 5
    assert Space(space.network, {"c": bool}).fingerprint != space.fingerprint


def test_the_order_of_decisions_does_not_matter_and_their_types_do() -> None:
    space = Space(A(choose(1, 2), choose(1, 2)))
    assert space.architecture({"x": 1, "y": 2}) == space.architecture({"y": 2, "x": 1})
    keys = {Space(A(label)).architecture({}).key for label in (1, 1.0, "1", True, None, 2)}
    assert len(keys) == 6
    assert Space(A()).architecture({}) != {}


def test_networks_that_are_built_alike_are_one_architecture() -> None:
    space = Space(A(choose(whole=Alias(choose(0, 1), choose(0, 1)), other=B(choose(0, 1)))))
    assert space.size == 6
    assert len(set(space.enumerate())) == 3
    same = [{"x": "whole", "x.whole.idle": idle, "x.whole.times": 0} for idle in (0, 1)]
    assert len({space.architecture(d) for d in [*same, {"x": "other", "x.other.z": 0}]}) == 1
    for seed in range(50):
        parent = space.architecture(same[0])
        assert space.mutate(parent, random.Random(seed)) != parent


def test_a_mutation_that_no_decision_can_bring_about_is_refused() -> None:
    space = Space(Alias(choose(0, 1)))
    with pytest.raises(SpaceError, match=r"mutate: 1000 of 1000 changes of one decision led to the same network"):
        space.mutate(space.sample(random.Random(0)), random.Random(0))


def test_values_without_a_form_of_their_own_are_told_apart_by_the_decisions() -> None:
    space = Space(A(choose(up=lambda x: x, down=lambda x: -x), choose(1, 2)))
    assert len(set(space.enumerate())) == space.size == 4
    classes = Space(A(choose(A, B), choose(one=[B, 1], other=["B", 1], block=B(1))))
    assert len(set(classes.enumerate())) == classes.size == 6


def test_a_mutation_reaches_every_other_label_and_keeps_the_rest() -> None:
    space = Space(A(integer(1, 5), choose("a", "b", "c")))
    first = space.architecture({"x": 3, "y": "b"})
    mutants = [space.mutate(first, random.Random(seed)) for seed in range(200)]
    changes = {(p, label) for m in mutants for p, label in m.decisions.items() if label != first.decisions[p]}
    assert changes == {("x", 1), ("x", 2), ("x", 4), ("x", 5), ("y", "a"), ("y", "c")}
    assert all(sum(m.decisions[p] != first.decisions[p] for p in first.decisions) == 1 for m in mutants)


def test_every_other_change_of_a_number_is_a_step() -> None:
    space = Space({"encoder": integer(0, 9)})
    rng = random.Random(0)
    parent = space.architecture({"encoder": 4})
    changes = [space.mutate(parent, rng).decisions["encoder"] - 4 for _ in range(2000)]
    steps = sum(abs(change) == 1 for change in changes)
    assert pytest.approx(steps / 2000, abs=0.03) == 0.5 + 0.5 * 2 / 9
    assert {*changes} == {*range(-4, 6)} - {0}


def test_neighbours_change_numbers_by_a_step_first() -> None:
    space = Space({"encoder": integer(0, 9), "head": choose("a", "b", "c")})
    parent = space.architecture({"encoder": 4, "head": "a"})
    for seed in range(20):
        found = [(a.decisions["encoder"], a.decisions["head"]) for a in space.neighbours(parent, random.Random(seed))]
        assert {*found[:4]} == {(3, "a"), (5, "a"), (4, "b"), (4, "c")}
        assert {*found[4:]} == {(n, "a") for n in (0, 1, 2, 6, 7, 8, 9)}


def test_crossover_takes_from_both_parents() -> None:
    space = Space(A(choose(1, 2), choose(1, 2)))
    first, second = space.architecture({"x": 1, "y": 1}), space.architecture({"x": 2, "y": 2})
    children = {space.crossover(first, second, random.Random(seed)) for seed in range(50)}
    assert children == set(space.enumerate())


@pytest.mark.parametrize("breed", ["mutate", "crossover"])
def test_breeding_names_the_constraint_that_refuses(breed: str) -> None:
    parent = Space(A(choose(1, 2))).architecture({"x": 1})
    space = Space(A(choose(1, 2)), {"fine": lambda _: True, "never": lambda _: False})
    with pytest.raises(SpaceError, match=r"constraint 'never' refused 1000 of 1000.*\nLoosen the constraint"):
        if breed == "mutate":
            space.mutate(parent, random.Random(0))
        else:
            space.crossover(parent, parent, random.Random(0))


def test_a_trial_that_proposes_what_a_constraint_refuses_is_told_which() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with pytest.raises(SpaceError, match="trial 0: constraint 'never' refuses the proposed architecture"):
        Space(A(choose(1, 2)), {"never": lambda _: False}).ask(study.ask())


def test_a_constraint_that_fails_is_named() -> None:
    space = Space(A(choose(1, 2)), {"fine": lambda _: True, "broken": lambda net: net.depth > 1})
    with pytest.raises(SpaceError, match=r"constraint 'broken': failed with AttributeError: .*; expected True or"):
        space.sample(random.Random(0))


def test_the_first_constraint_that_refuses_is_named() -> None:
    space = Space(A(1), {"yes": lambda _: True, "first": lambda _: False, "second": lambda _: False})
    assert space.refused_by(A(1)) == "first"
    assert Space(A(1), {"yes": lambda _: True}).refused_by(A(1)) is None


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"a.b": choose(1, 2), "a": {"b": choose(1, 2)}}, "'a.b': a part's name cannot contain a dot"),
        ([{"tie:t": choose(1, 2)}], "'tie:t': a part's name cannot contain a dot or begin with 'tie:'"),
        (choose(network=choose(1, 2), other=3), "the label 'network' is the outermost choice's own path"),
        (choose(network=repeat(1, 1, 2), other=3), "the label 'network' is the outermost choice's own path"),
    ],
)
def test_two_decisions_cannot_share_a_path(network: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space(network)


@pytest.mark.parametrize(
    "network", [choose(network=choose(1, 2)), choose(network=A(choose(1, 2)), other=3), A(choose(network=choose(1, 2)))]
)
def test_the_word_network_is_free_where_no_path_is_shared(network: Any) -> None:
    space = Space(network)
    assert len({space.decode(a) for a in space.enumerate()}) == space.size


def test_a_choice_and_an_integer_cannot_be_tied() -> None:
    with pytest.raises(SpaceError, match=r"tie 't': choose\(\) and integer\(\) cannot be tied to each other"):
        Space(choose(p=[choose(1, 2, tie="t")], q=[integer(1, 2, tie="t")]))
