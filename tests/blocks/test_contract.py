"""One contract for every block: build, learn, count, export, agree, compress or refuse.

A new block gets a case in `cases.py` and no test of its own; what is special about single blocks is in test_blocks.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, INPUTS, draw
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas import Architecture, Space, blocks
from nas.blocks import Network
from nas.blocks.network import MultimodalNet
from nas.compression import ApplyContext, Prune, Quantize
from nas.errors import CompressionError
from nas.evaluation.applied import trained_model
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import compare, export_onnx
from nas.formats.onnx_file import run_onnx
from nas.space.choices import Choice, nodes, resolve
from nas.space.description import decisions
from nas.tasks import Classification, Split
from nas.training.train import Training, train

SHORT, LONG = 4, 23
"""Lengths that free inputs are tried at besides their own; the short one is shorter than kernels and windows."""


@cache
def extremes(case: str) -> tuple[Architecture, ...]:
    """The smallest and the largest network of a case; one where they are the same."""
    least, most = CASES[case].extremes(lambda network: network.cost("params"))
    return (least,) if least == most else (least, most)


EXTREMES = [(case, name) for case in CASES for name in ("smallest", "largest")[: CASES[case].size]]
PADDED = [pair for pair in EXTREMES if {"text", "series"} & set(CASES[pair[0]].network.encoders)]
ABSENT = [(case, name) for case, name in EXTREMES if case in ("embrace", "without a modality", "text without")]


@pytest.fixture(params=EXTREMES, ids="-".join)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def network(place: tuple[str, str]) -> Network:
    case, name = place
    return extremes(case)[-1 if name == "largest" else 0].network


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def file(place: tuple[str, str], net: MultimodalNet, files: Path) -> Path:
    """The exported file of a network as `built` makes it, written once for all tests of this module."""
    file = files / f"{'-'.join(place)}.onnx"
    if not file.exists():
        assert export_onnx(net, input_shapes(net), file, samples(net, 9), net.free).max_rel <= 1e-4
    return file


@pytest.fixture
def net(network: Network) -> MultimodalNet:
    return built(network)


def built(network: Network) -> MultimodalNet:
    """A module with statistics of normalisation that are not those it begins with."""
    torch.manual_seed(0)
    net = network.build()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.1)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(part.running_var, 0.5, 2)  # pyright: ignore[reportArgumentType]
    return net


def samples(net: MultimodalNet, count: int, seed: int = 0, length: int = 0) -> dict[str, Any]:
    return {n: draw(n, count, seed, length if n in net.free else 0) for n in net.modalities}


def tensors(values: dict[str, Any]) -> list[Tensor]:
    return [torch.from_numpy(v) for v in values.values()]


def shown(net: MultimodalNet, values: dict[str, Any]) -> Tensor:
    net.eval()
    with torch.inference_mode():
        return net(*tensors(values))


def test_every_block_has_a_case() -> None:
    public = {
        kind
        for name in blocks.__all__
        if inspect.isclass(kind := getattr(blocks, name)) and hasattr(kind, "__dataclass_fields__")
    }
    used = {type(node) for space in CASES.values() for node in nodes(space.network)}
    assert public <= used


def test_every_parameter_learns(net: MultimodalNet) -> None:
    net.train()
    net(*tensors(samples(net, 8))).logsumexp(1).sum().backward()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_evaluation_is_deterministic_and_each_sample_stands_alone(net: MultimodalNet) -> None:
    values = samples(net, 6)
    first, second = shown(net, values), shown(net, values)
    assert first.shape == (6, 3)
    assert torch.equal(first, second)
    alone = torch.cat([shown(net, {n: v[i : i + 1] for n, v in values.items()}) for i in range(6)])
    assert torch.allclose(alone, first, atol=1e-4, rtol=1e-3)


def test_a_description_costs_what_is_counted_on_its_module(network: Network) -> None:
    net = built(network).eval()
    assert network.cost("params") == sum(p.numel() for p in net.parameters())
    torch.backends.mkldnn.set_flags(_enabled=False)  # its LSTM is not taken apart into products
    with FlopCounterMode(display=False) as counter:
        net(*tensors(samples(net, 1)))
    torch.backends.mkldnn.set_flags(_enabled=True)
    assert network.cost("macs") == pytest.approx(counter.get_total_flops() / 2, abs=1)
    weights = 4 * network.cost("params")
    assert weights < network.cost("memory_bytes") <= weights + 4 * 2 * _largest_tensors(net)


def _largest_tensors(net: MultimodalNet) -> int:
    """Elements of the largest input or output of a layer, times the inputs it may have."""
    sizes = [0]
    for part in net.modules():
        part.register_forward_hook(lambda _, i, o: sizes.extend(t.numel() for t in _flat((i, o))))
    net(*tensors(samples(net, 1)))
    return 2 * max(sizes)


def _flat(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _flat(value)


def test_the_exported_file_agrees_at_any_batch_and_length(net: MultimodalNet, file: Path) -> None:
    net.eval()
    for length in (0, SHORT, LONG) if net.free else (0,):
        assert compare(net, file, samples(net, 7, 1, length)).max_rel <= 1e-4, length  # at batch 1 and 7


@pytest.mark.parametrize("place", PADDED, indirect=True, ids="-".join)
def test_what_is_not_there_changes_nothing(net: MultimodalNet) -> None:
    """A sample padded to any length gives what it gives alone, where padding is told from values."""
    told = [n for n in net.free if n in ("series", "text")]
    values = samples(net, 4, 2, SHORT)
    for name in told:
        values[name] = draw(name, 5, 2, SHORT)[1:]
    padded = dict(values)
    for name in told:
        spare = (*values[name].shape[:-1], LONG - SHORT)
        padding = np.full(spare, 0 if INPUTS[name].vocabulary else np.nan, np.float32)
        padded[name] = np.concatenate([values[name], padding], -1)
    assert torch.allclose(shown(net, padded), shown(net, values), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 255.0])
def test_constant_inputs_give_finite_outputs(net: MultimodalNet, value: float) -> None:
    constant = {n: np.full((2, *s), value, np.float32) for n, s in input_shapes(net).items()}
    assert torch.isfinite(shown(net, constant)).all()


def test_nothing_at_all_gives_finite_outputs(net: MultimodalNet) -> None:
    """Inputs that may be empty are all padding; a network that can do without a modality gets none of them."""
    absent = {}
    for name, shape in input_shapes(net).items():
        may_be_empty = name in net.free or net.absence is not None
        value = 0 if INPUTS[name].vocabulary else np.nan if may_be_empty else 1
        absent[name] = np.full((2, *shape), value, np.float32)
    assert torch.isfinite(shown(net, absent)).all()


@pytest.mark.parametrize("place", ABSENT, indirect=True, ids="-".join)
def test_a_modality_may_be_missing_alone(net: MultimodalNet, tmp_path: Path) -> None:
    assert net.absence is not None
    nn.init.normal_(net.absence.vectors[0])
    export_onnx(net, input_shapes(net), tmp_path / "m.onnx", samples(net, 9), net.free)
    whole = samples(net, 3)
    for name in net.modalities:
        without = {**whole, name: np.full_like(whole[name], 0 if INPUTS[name].vocabulary else np.nan)}
        outputs = shown(net, without)
        assert torch.isfinite(outputs).all()
        assert np.abs(run_onnx(tmp_path / "m.onnx", without) - outputs.numpy()).max() <= 1e-4
        assert not torch.allclose(outputs, shown(net, whole))


def behaviour(network: Network) -> tuple[Any, ...]:
    """What a network is: shapes of its weights, and what it computes while training and afterwards."""
    net = built(network)
    values = tensors(samples(net, 6))
    torch.manual_seed(1)
    net.train()
    with torch.no_grad():
        trained = net(*values)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.reset_running_stats()
        evaluated = net.eval()(*values)
    shapes = [(name, tuple(t.shape)) for name, t in net.state_dict().items()]
    return shapes, [round(x, 5) for x in (*trained.flatten().tolist(), *evaluated.flatten().tolist())]


@pytest.mark.parametrize("case", CASES)
def test_every_decision_changes_the_network_and_equal_keys_do_not(case: str) -> None:
    choices = dict(decisions(CASES[case].network))
    for architecture in extremes(case):
        own = behaviour(architecture.network)
        for path, label in architecture.decisions.items():
            for changed in set(choices[path].labels) - {label}:
                other = closed(CASES[case], {**architecture.decisions, path: changed})
                is_same = behaviour(other.network) == own
                assert is_same == (other.key == architecture.key), (path, label, changed)


def closed(space: Space, wanted: Mapping[str, Any]) -> Architecture:
    """The architecture of these decisions; those that they newly reach take their first option."""
    taken: dict[str, Any] = {}

    def decide(path: str, choice: Choice) -> int:
        index = choice.index(wanted[path], path) if path in wanted else 0
        taken[path] = choice.labels[index]
        return index

    resolve(space.network, decide)
    return space.architecture(taken)


def test_pruning_works_or_is_refused_by_name(net: MultimodalNet, tmp_path: Path) -> None:
    try:
        pruned = Prune(0.5).apply(trained_model(net), ApplyContext()).module
    except CompressionError as error:
        assert str(error).startswith("prune50: ")
        return
    assert isinstance(pruned, MultimodalNet)
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in net.parameters())
    export_onnx(pruned, input_shapes(pruned), tmp_path / "p.onnx", samples(net, 9), pruned.free)
    pruned.train()
    pruned(*tensors(samples(net, 4))).sum().backward()


def test_quantizing_works_or_says_why(net: MultimodalNet, file: Path, tmp_path: Path) -> None:
    try:
        Quantize().apply(trained_model(net, file), ApplyContext(tmp_path / "q.onnx", samples(net, 32)))
    except CompressionError as error:
        assert "cannot be quantized" in str(error) or "no operator" in str(error)
        return
    assert np.isfinite(run_onnx(tmp_path / "q.onnx", samples(net, 7))).all()


@pytest.mark.parametrize("case", CASES)
def test_it_trains_on_a_split(case: str) -> None:
    net = built(extremes(case)[-1].network)
    values = samples(net, 24)
    split = Split(values, np.arange(24) % 3)
    history = train(net, Classification(("no", "yes")), split, split, Training(epochs=1, batch_size=8))
    assert np.isfinite(history[0].loss)
