"""Zero-cost proxies: worth what they are by hand, right about what is plain, and able to score every block."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas import Space, choose, module
from nas.blocks import MLP, Dense, Input, Network, Text
from nas.errors import TrainingError
from nas.tasks import Classification, Modality, Split, Task
from nas.training import PROXIES, proxy_score
from nas.training.proxies import batch_of, untrained


def load_cases() -> ModuleType:
    """The spaces that the contract of the blocks is held by."""
    spec = importlib.util.spec_from_file_location("cases", Path(__file__).parents[1] / "blocks" / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


cases = sys.modules.get("cases") or load_cases()


class Switched(nn.Module):
    """ReLU of the inputs, and nothing to learn."""

    def __init__(self, shape: Any, times: float = 1.0) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.times * x)


def modality(given: Input) -> Modality:
    kind = "text" if given.vocabulary else "vector"
    return Modality(kind, given.shape, given.mean, given.std, {}, given.vocabulary, given.categories, given.free)


def task(inputs: dict[str, Input], values: dict[str, Any], classes: int = 3) -> Task:
    count = len(next(iter(values.values())))
    split = Split(values, np.random.default_rng(1).integers(0, classes, count))
    named = {name: modality(given) for name, given in inputs.items()}
    return Task("made", named, Classification(tuple(map(str, range(classes)))), split, split, split)


VALUES = np.random.default_rng(0).normal(1, 2, (40, 4)).astype(np.float32)
TABLE = task({"table": Input((4,), 1.0, 2.0)}, {"table": VALUES})


def score(name: str, network: Network, by: Task = TABLE) -> float:
    return proxy_score(name, by)(Space(network).architecture({}))


LAYER = Network({"table": module(Switched)}, head=MLP(0))
"""One linear layer of 4 features and 3 outputs, after a ReLU."""


@pytest.fixture
def by_hand() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised inputs, targets, weights and biases of that layer."""
    batch = batch_of(TABLE, 0)
    torch.manual_seed(0)
    weights, biases = (p.detach().numpy() for p in untrained(LAYER, TABLE).parameters())
    return (batch.inputs["table"].numpy() - 1) / 2, batch.targets.numpy(), weights, biases


def test_params_by_hand() -> None:
    assert score("params", LAYER) == 4 * 3 + 3


def test_synflow_by_hand(by_hand: Any) -> None:
    _, _, weights, biases = by_hand
    assert score("synflow", LAYER) == pytest.approx(np.abs(weights).sum() + np.abs(biases).sum())


def test_grad_norm_by_hand(by_hand: Any) -> None:
    x, targets, weights, biases = by_hand
    features = np.maximum(x, 0)
    logits = features @ weights.T + biases
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = (chances - np.eye(3)[targets]) / 32
    expected = np.linalg.norm(error.T @ features) + np.linalg.norm(error.sum(0))
    assert score("grad_norm", LAYER) == pytest.approx(expected, rel=1e-4)


def test_naswot_by_hand(by_hand: Any) -> None:
    x, *_ = by_hand
    agreed = (np.sign(x)[:, None] == np.sign(x)[None]).sum(2)
    assert score("naswot", LAYER) == pytest.approx(np.linalg.slogdet(agreed + np.eye(32))[1])


@pytest.mark.parametrize("name", PROXIES)
def test_a_big_network_is_above_a_tiny_one(name: str) -> None:
    big, tiny = (Network({"table": Dense(width, depth)}) for width, depth in ((64, 2), (1, 1)))
    assert score(name, big) > score(name, tiny)


@pytest.mark.parametrize("name", ["synflow", "naswot", "grad_norm"])
def test_a_dead_network_is_below_one_that_lives(name: str) -> None:
    dead = Network({"table": module(Switched, times=0.0)}, head=MLP(0))
    assert score(name, dead) < score(name, LAYER)


def test_a_network_without_activations_has_no_switches() -> None:
    assert score("naswot", Network({"table": module(cases.Mine, width=3)}, head=MLP(0))) == 0


def test_a_large_vocabulary_is_no_merit() -> None:
    def flow(vocabulary: int) -> float:
        ids = np.random.default_rng(0).integers(1, 9, (40, 6)).astype(np.float32)
        return score(
            "synflow", Network({"text": Text(8)}), task({"text": Input((6,), vocabulary=vocabulary)}, {"text": ids})
        )

    assert 0 < flow(1000) < 2 * flow(10)


@pytest.mark.parametrize("case", cases.CASES)
def test_every_block_can_be_scored_again_with_the_same_result(case: str) -> None:
    space = cases.CASES[case]
    values = {name: cases.draw(name, 40, 1) for name in space.network.encoders}
    made = task(space.network.inputs, values, cases.OUTPUTS)
    architecture = space.sample(random.Random(0))
    state = torch.get_rng_state()
    for name in PROXIES:
        found = proxy_score(name, made)(architecture)
        assert math.isfinite(found)
        assert found == proxy_score(name, made)(architecture)
    assert torch.equal(state, torch.get_rng_state())


class Stepped(nn.Module):
    """Has no gradient."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[0], 4)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layer(x) > 0).to(x.dtype)


class Broken(nn.Module):
    """Works on zeros only."""

    def __init__(self, shape: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        if x.any():
            raise ValueError("zeros only")
        return x


def test_what_fails_says_which_proxy_and_architecture() -> None:
    space = Space(Network({"table": choose(module(Broken), Dense(8))}))
    architecture = space.architecture({"encoders.table": "Broken"})
    with pytest.raises(
        TrainingError, match=f"proxy 'grad_norm', architecture {architecture.key}: ValueError: zeros only"
    ):
        proxy_score("grad_norm", TABLE)(architecture)
    other = Space(choose(1, 2)).sample(random.Random(0))
    with pytest.raises(TrainingError, match=r"proxy 'params', architecture \w+: the space resolves to int"):
        proxy_score("params", TABLE)(other)
    with pytest.raises(TrainingError, match="modality 'image'"):
        score("synflow", Network({"image": Dense(8)}))
    with pytest.raises(TrainingError, match="unknown proxy 'sinflow'; known: .* Did you mean 'synflow'"):
        proxy_score("sinflow", TABLE)


def test_what_has_no_gradient_counts_by_what_lies_behind_it() -> None:
    stepped = Network({"table": module(Stepped)}, head=MLP(0))
    assert score("grad_norm", stepped) > 0
    assert score("synflow", stepped) > 0


def test_a_small_task_gives_what_it_has() -> None:
    small = task({"table": Input((4,), 1.0, 2.0)}, {"table": VALUES[:5]})
    assert len(batch_of(small, 0).targets) == 5
    assert len(batch_of(TABLE, 0).targets) == 32
    assert not torch.equal(batch_of(TABLE, 0).targets, batch_of(TABLE, 1).targets)
    assert score("naswot", LAYER, small) > 0
