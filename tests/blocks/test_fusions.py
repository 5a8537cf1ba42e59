"""What fusions compute, held against their formulas, and what is built of encoders that a fusion reads in part."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas import Space, choose, module
from nas.blocks import (
    LMF,
    MFAS,
    MLP,
    TCN,
    Cell,
    Concat,
    ConvNet,
    Dense,
    Experts,
    FusionLayer,
    Input,
    Network,
    Series,
    Stage,
    Step,
    Taps,
    TensorProduct,
)
from nas.blocks.features import Features
from nas.blocks.network import Absence
from nas.errors import BlockError

INPUTS = {"image": Input((1, 16, 16)), "series": Input((3, 10)), "numbers": Input((4,))}
CONV = ConvNet(4, (Stage(width=6), Stage(width=8)))


def vectors(*widths: int, samples: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(samples, width, generator=generator) for width in widths]


def given(values: list[Tensor]) -> list[Features]:
    return [Features(x) for x in values]


def test_low_rank_fusion_is_the_tensor_product_through_its_factors() -> None:
    torch.manual_seed(0)
    fusion = LMF(dim=6, rank=3).build([(4,), (5,)])
    fusion.norm = nn.Identity()
    a, b = vectors(4, 5)
    weights = [layer.weight.reshape(3, 6, -1) for layer in fusion.factors.layers]
    biases = [layer.bias.reshape(3, 6) for layer in fusion.factors.layers]
    first, second = (torch.cat([w, x.unsqueeze(2)], 2) for w, x in zip(weights, biases, strict=True))
    tensor = torch.einsum("r,rdi,rdj->dij", fusion.mix, first, second)
    one = torch.ones(5, 1)
    expected = torch.einsum("dij,bi,bj->bd", tensor, torch.cat([a, one], 1), torch.cat([b, one], 1))
    assert torch.allclose(fusion(given([a, b])), expected, atol=1e-5)


def test_the_factors_of_low_rank_fusion_are_trained() -> None:
    fusion = LMF(dim=6, rank=3).build([(4,), (5,)])
    before = [p.clone() for p in fusion.parameters()]
    optimizer = torch.optim.SGD(fusion.parameters(), 0.1)
    (fusion(given(vectors(4, 5))) * torch.arange(6.0)).pow(2).sum().backward()
    optimizer.step()
    factors = list(fusion.factors.parameters())
    assert len(factors) == 4
    assert all(not torch.equal(p, old) for p, old in zip(fusion.parameters(), before, strict=True))


def test_the_full_tensor_has_every_product_of_features() -> None:
    fusion = TensorProduct(2).build([(4,), (5,), (3,)])
    parts = [torch.tanh(p) for p in fusion.projections(given(vectors(4, 5, 3)))]
    with_one = [torch.cat([torch.ones(5, 1), p], 1) for p in parts]
    products = [with_one[0][:, i] * with_one[1][:, j] * with_one[2][:, k] for i, j, k in product(range(3), repeat=3)]
    assert torch.allclose(fusion(given(vectors(4, 5, 3))), torch.stack(products, 1), atol=1e-6)
    with pytest.raises(BlockError, match="83521 products of features; expected at most 65536"):
        TensorProduct(16).build([(4,)] * 4)


@pytest.mark.parametrize("rule", ["average", "weights", "vote", "product"])
def test_decisions_are_joined_by_their_rule(rule: Any) -> None:
    torch.manual_seed(0)
    fusion = Experts(rule).build([(4,), (5,), (3,)], MLP(), 6).eval()
    inputs = given(vectors(4, 5, 3))
    logits = [expert(x.values) for expert, x in zip(fusion.experts, inputs, strict=True)]
    if fusion.weights is not None:
        nn.init.normal_(fusion.weights)
    probabilities = torch.stack([torch.softmax(x, 1) for x in logits], 1)
    outputs = fusion(inputs)
    if rule == "product":
        scaled = [torch.softmax(x * t, 1) for x, t in zip(logits, fusion.weights.exp(), strict=True)]
        expected = torch.stack(scaled).prod(0)
        assert torch.allclose(torch.softmax(outputs, 1), expected / expected.sum(1, keepdim=True), atol=1e-5)
    elif rule == "vote":
        votes = torch.nn.functional.one_hot(probabilities.argmax(2), 6).sum(1)
        assert torch.equal(outputs.argmax(1), (votes + probabilities.mean(1)).argmax(1))
    else:
        shares = torch.softmax(fusion.weights, 0) if rule == "weights" else torch.full((3,), 1 / 3)
        expected = (probabilities * shares.reshape(1, 3, 1)).sum(1)
        assert torch.allclose(outputs.exp(), expected, atol=1e-5)
    present = [torch.tensor([True] * 5), torch.tensor([False] * 5), torch.tensor([False] * 5)]
    assert torch.equal(fusion(inputs, present).argmax(1), logits[0].argmax(1))


def test_hiding_leaves_each_sample_a_modality_and_hides_the_share_asked_for() -> None:
    torch.manual_seed(0)
    absence = Absence([2, 2, 2], 0.4).train()
    inputs = [torch.ones(4000, 3), torch.ones(4000, 3), torch.ones(4000, 3)]
    inputs[0][:1000] = torch.nan
    there = torch.stack(absence.present(inputs, [False] * 3))
    assert there.any(0).all()
    assert not there[0, :1000].any()
    hidden = 1 - there[:, 1000:].float().mean().item()
    assert hidden == pytest.approx(0.4 - 0.4**3 / 3, abs=0.02)
    assert torch.stack(absence.eval().present(inputs, [False] * 3))[:, 1000:].all()


def test_what_no_step_of_a_cell_reads_is_not_built() -> None:
    encoders = {"image": CONV, "series": Series(TCN(8, 3)), "numbers": Dense(8)}
    cell = Cell((Step(1, 3, "sum"), Step(0, 8, "concat")), 8)
    net = Network(encoders, cell).build(INPUTS, 3)
    assert net.modalities == ("image", "series")
    depths = [
        len(encoder.depths(torch.zeros(2, *shape)))
        for encoder, shape in zip(net.encoders, net.input_shapes, strict=True)
    ]
    assert depths == [2, 1]
    assert all(p.grad is not None for p in _learned(net))


def test_what_no_layer_of_mfas_reads_is_not_built_and_has_no_say_in_the_key() -> None:
    def network(last: Any) -> Network:
        image = ConvNet(4, (Stage(width=6), Stage(width=last)))
        return Network({"image": image, "numbers": Dense(8, 2)}, MFAS((FusionLayer((1, 5)),), 8))

    net = network(8).build(INPUTS, 3)
    assert len(net.encoders[0].depths(torch.zeros(2, 1, 16, 16))) == 2
    assert all(p.grad is not None for p in _learned(net))
    keys = {a.key for a in Space(network(choose(8, 12))).enumerate()}
    assert len(keys) == 1


def _learned(net: nn.Module) -> list[nn.Parameter]:
    net.train()
    net(*(torch.randn(4, *s) for s in net.input_shapes)).logsumexp(1).sum().backward()  # pyright: ignore
    return list(net.parameters())


class Deep(nn.Module):
    """A user's encoder that hands out two depths."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(shape[0], 6), nn.Linear(6, 7)])

    def depths(self, x: Tensor) -> list[Tensor]:
        first = torch.relu(self.layers[0](x))
        return [first, torch.relu(self.layers[1](first))]

    def forward(self, x: Tensor) -> Tensor:
        return self.depths(x)[-1]


@pytest.mark.parametrize(
    ("network", "features"),
    [
        (Network({"numbers": Taps(module(Deep), (0, 1, 9))}), 6 + 7 + 7),
        (Network({"numbers": module(Deep), "image": CONV}, MFAS((FusionLayer((1, 0)),), 8)), 8),
        (Network({"numbers": module(Deep), "image": CONV}, Cell((Step(0, 1),), 8)), 8),
    ],
    ids=("taps", "mfas", "cell"),
)
def test_depths_of_a_users_module_are_read(network: Network, features: int) -> None:
    net = network.build(INPUTS, 3)
    assert net.head[0].in_features == features
    assert net(*(torch.randn(2, *s) for s in net.input_shapes)).shape == (2, 3)


def test_equal_taps_and_depths_beyond_the_last_are_one_network() -> None:
    space = Space(Network({"image": Taps(CONV, choose((2,), (9,), (2, 2), (1, 2), (2, 1)))}))
    keys = [a.key for a in space.enumerate()]
    assert len(set(keys[:3])) == 1
    assert keys[3] == keys[4] != keys[0]


def test_steps_that_treat_both_vectors_alike_have_no_order() -> None:
    space = Space(
        Network({"image": CONV}, Cell((Step(choose(0, 1), choose(0, 1), choose("sum", "squeeze")),), 8), inputs=INPUTS)
    )
    keys = {tuple(a.decisions.values()): a.key for a in space.enumerate()}
    assert keys[0, 1, "sum"] == keys[1, 0, "sum"]
    assert keys[0, 1, "squeeze"] != keys[1, 0, "squeeze"]


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        (MFAS(()), "Network.fusion: MFAS.layers: there is none"),
        (MFAS((FusionLayer((0,)),)), r"MFAS.layers.0.depths: \(0,\); expected a depth >= 0 for each of the 2"),
        (MFAS((FusionLayer((0, 0), "gelu"),)), "MFAS.layers.0: unknown activation 'gelu'"),  # pyright: ignore
        (Cell(()), "Cell.steps: there is none"),
        (Cell((Step(-1, 0),)), "Cell.steps.0: inputs -1, 0; expected at least 0"),
        (Cell((Step(0, 1, "max"),)), "Cell.steps.0: unknown operation 'max'"),  # pyright: ignore
        (Experts("best"), "Network.fusion: Experts.rule: 'best'"),  # pyright: ignore
        (LMF(8, 0), "LMF.rank: 0; expected at least 1"),
    ],
)
def test_fusions_that_cannot_be_built_say_why(fusion: Any, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        Network({"image": CONV, "numbers": Dense(8)}, fusion).build(INPUTS, 3)


def test_concat_of_one_modality_is_its_mean() -> None:
    x = torch.randn(2, 3, 4)
    assert torch.allclose(Concat().build([(3, 4)])([Features(x)]), x.mean(2))
