"""The controller: what it draws is what it says is likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from nas import Space, choose, integer, repeat
from nas.samplers.rl.adam import Weights
from nas.samplers.rl.controller import Controller
from nas.samplers.rl.policy_gradient import clipped, reinforced, surrogate
from nas.space.indexed import Indexed


@dataclass(frozen=True)
class Net:
    kind: Any
    layers: Any = ()
    more: Any = None


@dataclass(frozen=True)
class Layer:
    width: Any
    block: Any = None


@dataclass(frozen=True)
class Fancy:
    expand: Any


NESTED = Space(Net(choose("a", "b"), repeat(Layer(integer(1, 2), choose(None, Fancy(choose(1, 2, 4)))), 1, 2)))
_SHARED = choose(1, 2, 3, tie="shared")
TIED = Space(
    Net(choose(None, Fancy(_SHARED)), choose(none=None, some=Fancy(_SHARED)), choose(None, Fancy(choose("x", "y"))))
)
LATE = Space(
    Net(
        choose(no=None, here=Fancy(choose(no=None, yes=Fancy(_SHARED), tie="outer"))),
        (choose(no=None, yes=Fancy(choose(no=None, yes=Fancy(_SHARED), tie="outer")), tie="gate"),),
        Fancy(_SHARED),
    )
)


def decided(space: Space, hidden: int = 16, conditions: int = 0) -> tuple[Controller, Weights]:
    """A controller with opinions."""
    controller = Controller(Indexed(space), conditions, hidden)
    drawn = controller.initial("test")
    return controller, Weights(drawn.values * 8, drawn.mean, drawn.square)


@pytest.mark.parametrize("space", [NESTED, TIED, LATE], ids=["nested", "tied", "tied-late"])
def test_probabilities_are_the_frequencies_of_what_is_drawn(space: Space) -> None:
    controller, weights = decided(space)
    rows = controller.sample(weights, 50_000, np.random.default_rng(0))
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    logs, entropies = controller.likelihood(weights.values, controller.batch(distinct))
    probabilities = logs.exp().numpy()
    assert np.abs(probabilities - counts / counts.sum()).max() < 0.01
    every = np.stack([controller.codes.row(a.decisions) for a in space.enumerate()])
    everything = controller.likelihood(weights.values, controller.batch(every))[0].exp().sum()
    assert float(everything) == pytest.approx(1.0, abs=1e-4)
    exact = -(probabilities * logs.numpy()).sum()
    assert float((probabilities * entropies.numpy()).sum()) == pytest.approx(exact, rel=0.02)


def test_all_that_is_drawn_is_of_the_space() -> None:
    controller, weights = decided(LATE)
    for row in controller.sample(weights, 50, np.random.default_rng(1)):
        LATE.architecture(controller.codes.decisions(row))


def test_what_is_not_reached_adds_nothing() -> None:
    controller, weights = decided(NESTED)
    codes = controller.codes
    short = codes.row({"kind": "a", "layers": 1, "layers.0.width": 1, "layers.0.block": None})
    long = codes.row(
        {
            "kind": "a",
            "layers": 2,
            "layers.0.width": 1,
            "layers.0.block": None,
            "layers.1.width": 2,
            "layers.1.block": None,
        }
    )
    alone = controller.likelihood(weights.values, controller.batch(short[None]))
    beside = controller.likelihood(weights.values, controller.batch(np.stack([long, short])))
    for value, padded in zip(alone, beside, strict=True):
        assert float(padded[1]) == pytest.approx(float(value[0]), abs=1e-5)

    values = weights.values.clone().requires_grad_()
    log = controller.likelihood(values, controller.batch(short[None]))[0].sum()
    (gradient,) = torch.autograd.grad(log, values)
    column_of_layer_1 = list(codes.paths).index("layers.1.width")
    biases = gradient[-int(codes.sizes.sum()) :].split([int(size) for size in codes.sizes])
    assert not biases[column_of_layer_1].any()
    assert biases[0].any()


def test_a_space_without_decisions() -> None:
    controller, weights = decided(Space(Net("a")))
    rows = controller.sample(weights, 3, np.random.default_rng(0))
    assert rows.shape == (3, 0)
    logs, entropies = controller.likelihood(weights.values, controller.batch(rows))
    assert logs.tolist() == entropies.tolist() == [0, 0, 0]


def test_the_policy_concentrates_on_what_is_rewarded() -> None:
    controller = Controller(Indexed(NESTED), hidden=16)
    weights = controller.initial("test")
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows = controller.sample(weights, 16, rng)
        gains = np.where(rows[:, 0] == 1, 1.0, -1.0).astype(np.float32)
        weights = reinforced(controller, weights, controller.batch(rows), gains, 0.02, 0.0)
    assert (controller.sample(weights, 500, rng)[:, 0] == 1).mean() > 0.95


def test_the_policy_follows_its_condition() -> None:
    controller = Controller(Indexed(NESTED), conditions=1, hidden=16)
    weights = controller.initial("test")
    rng = np.random.default_rng(0)
    for step in range(150):
        side = np.float32(step % 2)
        rows = controller.sample(weights, 16, rng, np.full(1, side))
        gains = np.where(rows[:, 0] == side, 1.0, -1.0).astype(np.float32)
        batch = controller.batch(rows, np.full((16, 1), side))
        weights = reinforced(controller, weights, batch, gains, 0.02, 0.0)
    for side in (0, 1):
        drawn = controller.sample(weights, 500, rng, np.full(1, side, np.float32))
        assert (drawn[:, 0] == side).mean() > 0.9


def test_entropy_keeps_the_policy_open() -> None:
    def undecided(entropy: float) -> float:
        controller, weights = decided(NESTED)
        rows = controller.sample(weights, 64, np.random.default_rng(0))
        batch = controller.batch(rows)
        for _ in range(50):
            weights = reinforced(controller, weights, batch, np.zeros(64, np.float32), 0.02, entropy)
        return float(controller.likelihood(weights.values, batch)[1].mean())

    assert undecided(1.0) > 1.2 * undecided(0.0)


def test_weights_are_not_changed_in_place() -> None:
    controller, weights = decided(NESTED)
    before = weights.values.clone()
    rows = controller.sample(weights, 8, np.random.default_rng(0))
    gains = np.ones(8, np.float32)
    first = clipped(controller, weights, controller.batch(rows), gains, 0.02, 0.1, 3, 0.2)
    second = clipped(controller, weights, controller.batch(rows), gains, 0.02, 0.1, 3, 0.2)
    assert torch.equal(weights.values, before)
    assert torch.equal(first.values, second.values)
    assert first.steps == 3


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    controller, weights = decided(NESTED)
    controller.sample(weights, 8, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_marginals_are_where_the_policy_begins() -> None:
    controller = Controller(Indexed(Space(Net(choose("a", "b", "c")))))
    weights = controller.initial("test", [np.array([0.7, 0.2, 0.1])])
    rows = controller.sample(weights, 20_000, np.random.default_rng(0))
    assert np.bincount(rows[:, 0]) / 20_000 == pytest.approx([0.7, 0.2, 0.1], abs=0.08)


def test_ppo_does_not_reward_beyond_its_clip() -> None:
    logs = torch.log(torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5]))
    gains = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    clipped_gains = surrogate(logs, gains, 0.2)
    assert clipped_gains.tolist() == pytest.approx([0.5, 1.0, 1.2, -0.8, -1.0, -1.5])


def test_ppo_changes_less_than_steps_without_a_clip() -> None:
    controller, weights = decided(NESTED)
    batch = controller.batch(controller.sample(weights, 4, np.random.default_rng(0)))
    gains = np.array([1.0, -1.0, 1.0, -1.0], np.float32)
    before = controller.likelihood(weights.values, batch)[0]

    def change(clip: float) -> float:
        after = clipped(controller, weights, batch, gains, 0.02, 0.0, 20, clip)
        return float((controller.likelihood(after.values, batch)[0] - before).abs().max())

    assert change(0.1) < change(10.0)
