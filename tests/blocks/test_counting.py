"""Many networks are counted as each is by itself, and nothing is drawn or left behind."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES
from torch import Tensor, nn

from nas import Space, choose, load_space, module, repeat
from nas.blocks import MLP, Concat, ConvNet, Dense, Input, Network, Plain, Stage, count_macs, count_params, limit
from nas.blocks.cost import COSTS, Products
from nas.blocks.counting import Counter
from nas.errors import BlockError
from nas.evaluation.build import input_shapes

FILES = sorted((Path(__file__).parent.parent.parent / "search_spaces").glob("*.py"))
TABLE = {"t": Input((4,))}
PICTURE = {"i": Input((1, 12, 12))}


def alone(network: Network) -> dict[str, int]:
    """Counted of one network with its weights."""
    built = network.build()
    return {"params": count_params(built), "macs": count_macs(built, input_shapes(built))}


@pytest.mark.parametrize("case", CASES)
def test_the_smallest_and_the_largest_network_of_every_block_are_counted_as_they_are_built(case: str) -> None:
    networks = [a.network for a in CASES[case].extremes(lambda network: network.cost("params"))]
    counter = Counter(networks[0].inputs, networks[0].outputs)
    assert [counter.count(network) for network in networks] == [alone(network) for network in networks]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_networks_that_share_parts_are_counted_as_each_is_built(file: Path) -> None:
    space, rng = load_space(file), random.Random(3)
    first = space.sample(rng)
    family = [first, *(space.mutate(first, rng) for _ in range(4)), space.sample(rng)]
    counter = Counter(first.network.inputs, first.network.outputs)
    assert [counter.count(a.network) for a in family] == [alone(a.network) for a in family]


def test_the_sum_of_products_is_what_torch_counts() -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(3 * 16, 5, bias=False))
    with torch.device("meta"), Products() as products:
        net.to("meta")(torch.empty(2, 1, 4, 4))
    assert products.operations == 2 * 2 * (16 * 9 * 3 + 3 * 16 * 5)


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_that_was_counted_is_as_it_was(fails: bool) -> None:
    class Odd(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            if fails:
                raise ValueError("it does not fit")
            return super().forward(x)

    net = Odd(2, 3)
    weight = net.weight
    if fails:
        with pytest.raises(ValueError, match="it does not fit"):
            count_macs(net, {"x": (2,)})
    else:
        assert count_macs(net, {"x": (2,)}) == 6
    assert net.weight is weight
    assert not weight.is_meta
    assert net.training


class Twice(nn.Module):
    """A layer that is registered twice, one tied to it, and a tensor that the first call leaves behind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("scale", torch.ones(4))
        self.cached: Tensor | None = None
        self.kept: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if self.cached is None:
            self.cached = torch.ones(4, device=x.device)
        self.kept.setdefault(len(x), x)
        return self.tied(self.again(self.first(x))) * self.cached * self.scale


@pytest.mark.parametrize("count", COSTS.values(), ids=[*COSTS])
def test_counting_never_touches_a_module(count: Any) -> None:
    net, x = Twice(), torch.rand(2, 4)
    removed = net.first.register_forward_hook(lambda *_: None)
    expected = Twice()
    expected.load_state_dict(net.state_dict())
    assert count(net, {"x": (4,)}) > 0
    assert not any(t.is_meta for t in (*net.parameters(), *net.buffers()))
    assert net.again is net.first
    assert net.tied.weight is net.first.weight
    assert net.cached is None
    assert net.kept == {}
    assert net.training
    assert torch.equal(net(x), expected(x))
    removed.remove()
    assert not net.first._forward_hooks


def test_no_weight_is_drawn_and_no_generator_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network({"i": ConvNet(stages=(Stage(Plain(), 8),)), "t": Dense()}, head=MLP(4))
    monkeypatch.setattr(nn.Conv2d, "reset_parameters", on_meta(nn.Conv2d.reset_parameters))
    monkeypatch.setattr(nn.Linear, "reset_parameters", on_meta(nn.Linear.reset_parameters))
    before = torch.random.get_rng_state()
    assert Counter({**PICTURE, **TABLE}, 3).count(network)["params"] > 0
    assert torch.equal(torch.random.get_rng_state(), before)


def on_meta(reset: Any) -> Any:
    def checked(self: Any) -> None:
        assert self.weight.is_meta
        reset(self)

    return checked


class Keeps(nn.Module):
    """A user's encoder that keeps a tensor for all of its kind, and draws another."""

    kept: Tensor | None = None

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        if Keeps.kept is None:
            Keeps.kept = torch.ones(shape[0])
        self.weight = nn.Parameter(torch.randn(shape[0], width))

    def forward(self, x: Tensor) -> Tensor:
        return (x * Keeps.kept) @ self.weight


def test_a_users_module_leaves_nothing_on_the_meta_device_and_the_generator_where_it_was() -> None:
    network = Network({"t": module(Keeps, width=5)}, inputs=TABLE, outputs=2)
    before = torch.random.get_rng_state()
    counted = Counter(TABLE, 2).count(network)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert Keeps.kept is not None
    assert not Keeps.kept.is_meta
    assert counted == {"params": 4 * 5 + 5 * 2 + 2, "macs": 4 * 5 + 5 * 2} == alone(network)


def test_the_cost_of_a_network_leaves_nothing_on_the_meta_device_either() -> None:
    Keeps.kept = None
    network = Network({"t": module(Keeps, width=5)}, inputs=TABLE, outputs=2)
    before = torch.random.get_rng_state()
    assert network.cost("macs") == 4 * 5 + 5 * 2
    assert network.cost("memory_bytes") == 4 * (4 * 5 + 5 * 2 + 2 + 2 * 5)
    assert Keeps.kept is not None
    assert not Keeps.kept.is_meta
    assert torch.equal(torch.random.get_rng_state(), before)
    assert network.build()(torch.rand(2, 4)).shape == (2, 2)


class Uncountable(nn.Module):
    """A user's encoder that stands no single sample."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[0], 2)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError("alone")
        return self.layer(x)


def test_what_cannot_be_counted_says_so_and_breaks_no_constraint() -> None:
    network = Network({"t": module(Uncountable)}, inputs=TABLE, outputs=2)
    with pytest.raises(BlockError, match="Network: its macs cannot be counted: ValueError: alone"):
        network.cost("macs")
    assert network.cost("params") == 4 * 2 + 2 + 2 * 2 + 2
    assert limit("macs", 1)(network)
    assert not limit("params", 1)(network)


def test_what_was_counted_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(
        Network(
            {"i": ConvNet(stem=4, stages=repeat(Stage(Plain(), width=choose(4, 8)), 2, 2))},
            Concat(),
            inputs=PICTURE,
            outputs=2,
        )
    )
    counter = Counter(PICTURE, 2)
    for architecture in list(space.enumerate())[:3]:
        counter.count(architecture.network)
    monkeypatch.setattr(Stage, "build", lambda *_: pytest.fail("built again"))
    first, *_, last = space.enumerate()
    assert counter.count(first.network)["params"] > 0
    with pytest.raises(pytest.fail.Exception, match="built again"):  # 8 after 8 channels was not there before
        counter.count(last.network)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (ConvNet(stages=(Stage(depth=-1),)), "Network.encoders.i: ConvNet.stages.0: depth -1"),
        (Dense(), "Network.encoders.i: Dense: the input has shape"),
    ],
)
def test_what_cannot_be_built_says_where(encoder: Any, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Counter(PICTURE, 2).count(Network({"i": encoder}))
