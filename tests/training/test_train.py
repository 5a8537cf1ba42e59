"""Training: it learns, repeats itself, and says when it cannot."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.blocks import ConvNet, Dense, Input, Network
from nas.blocks.network import MultimodalNet
from nas.errors import TrainingError
from nas.tasks import Split
from nas.training import Augmentation, Epoch, Training, accuracy, train, training_from
from nas.training.augment import distort, mix, partners


def split(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    image = rng.integers(0, 255, (n, 1, 8, 8)).astype(np.uint8)
    return Split({"table": x, "image": image}, (x[:, 0] > x[:, 1]).astype(np.int64))


def net(seed: int = 0) -> MultimodalNet:
    torch.manual_seed(seed)
    inputs = {"table": Input((4,)), "image": Input((1, 8, 8), 128.0, 64.0)}
    return Network({"table": Dense(16), "image": ConvNet(4, ())}).build(inputs, 2)


@pytest.mark.parametrize("augmentation", [Augmentation(0.0), Augmentation(0.2, mixup=0.4, repair=0.5)], ids=str)
def test_it_learns_and_ends_in_evaluation_mode(augmentation: Augmentation) -> None:
    module, seen = net(), list[Epoch]()
    history = train(
        module, split(600, 0), split(200, 1), Training(epochs=8, augmentation=augmentation), on_epoch=seen.append
    )
    assert history == seen
    assert [row.epoch for row in history] == list(range(8))
    assert history[-1].valid_accuracy == accuracy(module, split(200, 1)) > 0.85
    assert not module.training


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> Tensor:
        module = net()
        settings = Training(epochs=1, seed=seed, augmentation=Augmentation(0.2, mixup=0.4, repair=0.5))
        train(module, split(100, 0), split(50, 1), settings)
        return torch.cat([p.flatten() for p in module.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_a_loss_that_is_no_number_says_when() -> None:
    module = net()
    nn.init.constant_(next(module.parameters()), math.nan)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 0, step 0"):
        train(module, split(100, 0), split(50, 1), Training(epochs=1))


def test_a_training_travels_as_json() -> None:
    training = Training(epochs=3, augmentation=Augmentation(mixup=0.2))
    assert training_from(asdict(training)) == training


def test_partners_are_of_the_same_class_and_none_is_lost() -> None:
    targets = torch.tensor([0, 1, 2, 1, 0, 0, 2, 1])
    partner = partners(targets, torch.Generator().manual_seed(0))
    assert torch.equal(targets[partner], targets)
    assert sorted(partner.tolist()) == list(range(8))


def test_mixing_keeps_the_mean() -> None:
    x, labels = torch.rand(16, 3), torch.arange(16)
    (mixed,), others, share = mix([x], labels, 0.4, torch.Generator().manual_seed(0))
    assert 0 <= share <= 1
    assert torch.allclose(mixed, share * x + (1 - share) * x[others])
    assert torch.allclose(mixed.mean(0), x.mean(0))


def test_only_pictures_are_shifted() -> None:
    generator = torch.Generator().manual_seed(0)
    vector, picture = torch.rand(2, 5), torch.rand(2, 1, 20, 20)
    assert torch.equal(distort(vector, Augmentation(0.2), generator), vector)
    shifted = [distort(picture, Augmentation(0.2), generator) for _ in range(5)]
    assert any(not torch.equal(s, picture) for s in shifted)
    assert all(torch.equal(s.flatten().sort().values, picture.flatten().sort().values) for s in shifted)
