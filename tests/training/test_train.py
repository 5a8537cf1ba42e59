"""Training: it learns, repeats itself, and says when it cannot."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.blocks import MLP, Concat, ConvNet, Dense, Gated, Input, Network, Series, Text
from nas.blocks.network import MultimodalNet
from nas.errors import TrainingError
from nas.tasks import Classification, Regression, Split
from nas.training import Augmentation, Epoch, Training, score, train, training_from
from nas.training.augment import distort, mix, partners
from nas.training.train import _batches, _schedule  # pyright: ignore[reportPrivateUsage]

OUTPUT = Classification(("no", "yes"))


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

    def hear(epoch: Epoch) -> bool:
        seen.append(epoch)
        return True

    history = train(
        module, OUTPUT, split(600, 0), split(200, 1), Training(epochs=8, augmentation=augmentation), on_epoch=hear
    )
    assert history == seen
    assert [row.epoch for row in history] == list(range(8))
    assert history[-1].score == score(module, OUTPUT, split(200, 1))["accuracy"] > 0.85
    assert not module.training


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> Tensor:
        module = net()
        settings = Training(epochs=1, seed=seed, augmentation=Augmentation(0.2, mixup=0.4, repair=0.5))
        train(module, OUTPUT, split(100, 0), split(50, 1), settings)
        return torch.cat([p.flatten() for p in module.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_a_loss_that_is_no_number_says_when() -> None:
    module = net()
    nn.init.constant_(next(module.parameters()), math.nan)
    with pytest.raises(TrainingError, match="the loss became nan in epoch 0, step 0"):
        train(module, OUTPUT, split(100, 0), split(50, 1), Training(epochs=1))


def joined(rows: int, size: int) -> list[int]:
    """The sizes of the batches of an epoch."""
    return [len(batch) for batch in _batches(torch.arange(rows), size)]


def test_no_sample_is_left_alone_in_a_batch() -> None:
    assert [joined(rows, 64) for rows in (1, 64, 65, 129, 130)] == [[1], [64], [65], [64, 65], [64, 64, 2]]
    assert joined(3, 2) == [3]
    assert joined(3, 1) == [1, 1, 1]
    assert torch.equal(torch.cat([*_batches(torch.arange(129), 64)]), torch.arange(129))


@pytest.mark.parametrize(("rows", "epochs", "size"), [(65, 2, 64), (128, 2, 64), (5, 1, 64), (2, 1, 1), (129, 1, 64)])
def test_few_samples_are_learnt_from(rows: int, epochs: int, size: int) -> None:
    settings = Training(epochs=epochs, batch_size=size)
    module = Network({"table": Dense(16)}, head=MLP(8)).build({"table": Input((4,))}, 2) if size == 1 else net()
    history = train(module, OUTPUT, split(rows, 0), split(50, 1), settings)
    assert len(history) == epochs
    assert all(math.isfinite(row.loss) for row in history)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (0, Training(), "the training split has 0 samples; expected at least 2"),
        (1, Training(), "the training split has 1 sample; expected at least 2"),
        (9, Training(epochs=0), "0 epochs in batches of 64; expected at least 1 of both"),
        (9, Training(batch_size=0), "10 epochs in batches of 0; expected at least 1 of both"),
    ],
)
def test_what_cannot_be_learnt_from_says_so(rows: int, settings: Training, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        train(net(), OUTPUT, split(rows, 0), split(50, 1), settings)


def test_the_learning_rate_rises_and_falls_in_any_number_of_steps() -> None:
    for total in range(2, 200):
        optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.1)
        schedule = _schedule(optimizer, 0.1, total)
        rates = [schedule.get_last_lr()[0]]
        for _ in range(total - 1):
            optimizer.step()
            schedule.step()
            rates += schedule.get_last_lr()
        assert max(rates) <= 0.1
        assert max(rates) > 0.06
        assert rates[-1] < 1e-4


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


CRASHES = """
import numpy as np, torch
from nas.blocks import MLP, ConvNet, Input, Network, ResidualBlock, Stage
from nas.tasks import Classification, Split
from nas.training import Training, train
torch.set_num_threads(1)
net = Network({"i": ConvNet(6, (Stage(ResidualBlock(), 12),))}).build({"i": Input((1, 16, 18), 128.0, 64.0)}, 2)
split = Split({"i": np.random.default_rng(0).integers(0, 255, (64, 1, 16, 18)).astype(np.uint8)}, np.arange(64) % 2)
train(net, Classification(("a", "b")), split, split, Training(epochs=2, batch_size=8))
"""


def test_strided_pointwise_convolutions_of_few_channels_do_not_kill_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CRASHES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_series_with_gaps_text_and_hidden_modalities_are_learnt() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    series = rng.normal(size=(400, 2, 12)).astype(np.float32) + labels[:, None, None]
    text = rng.integers(2, 20, (400, 6)).astype(np.float32)
    text[labels == 1, 0] = 1
    for i in range(400):
        series[i, :, rng.integers(4, 13) :] = np.nan
    series[:40], text[40:80] = np.nan, 0
    inputs = {"s": Input((2, 12), free=True), "t": Input((6,), vocabulary=20, free=True)}
    torch.manual_seed(0)
    module = Network({"s": Series(), "t": Text(8)}, Gated(8), modality_dropout=0.2).build(inputs, 2)
    data = Split({"s": series, "t": text}, labels)
    assert train(module, OUTPUT, data, data, Training(epochs=15))[-1].score > 0.9


@pytest.mark.parametrize(
    ("augmentation", "losses", "scores"),
    [
        (Augmentation(), (1.061785141626994, 1.0289760828018188, 0.9712374409039816), (34, 35, 37)),
        (
            Augmentation(mixup=0.3, repair=0.5),
            (1.060533046722412, 1.0337119301160176, 0.9767274856567383),
            (34, 35, 36),
        ),
    ],
    ids=["plain", "mixed"],
)
def test_classes_are_learnt_as_before_there_were_other_outputs(
    augmentation: Augmentation, losses: tuple[float, ...], scores: tuple[int, ...]
) -> None:
    """Figures of the trainer that knew classification alone; other processors may differ in the last digits."""

    def made(n: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, n)
        a = rng.normal(size=(n, 6)).astype(np.float32) + np.eye(3, 6, dtype=np.float32)[y] * 2
        b = rng.normal(size=(n, 4)).astype(np.float32) + y[:, None].astype(np.float32)
        return Split({"a": a, "b": b}, y)

    torch.manual_seed(1)
    network = Network({"a": Dense(width=16, depth=1), "b": Dense(width=8, depth=1)}, Concat(), MLP(hidden=0))
    module = network.build({"a": Input((6,)), "b": Input((4,))}, 3)
    settings = Training(epochs=3, seed=1, augmentation=augmentation)
    history = train(module, Classification(("x", "y", "z")), made(150, 0), made(60, 1), settings)
    assert [row.loss for row in history] == pytest.approx(losses, rel=1e-5)
    assert [row.score for row in history] == [count / 60 for count in scores]


def test_a_number_is_learnt() -> None:
    def numbers(n: int, seed: int) -> Split:
        x = split(n, seed).inputs
        return Split(x, (1000 + 50 * x["table"][:, 0]).astype(np.float32))

    output = Regression(1000.0, 50.0)
    module = Network({"table": Dense(16)}).build({"table": Input((4,))}, output.size)
    settings = Training(epochs=8, augmentation=Augmentation(mixup=0.1))
    history = train(module, output, numbers(600, 0), numbers(200, 1), settings)
    assert history[-1].score < 25
    assert score(module, output, numbers(200, 1))["r2"] > 0.75


def test_samples_are_not_paired_by_numbers() -> None:
    with pytest.raises(
        TrainingError, match="Augmentation.repair: 0.5; it pairs .* Regression has no classes.\nLeave it 0"
    ):
        train(net(), Regression(), split(10, 0), split(10, 0), Training(augmentation=Augmentation(repair=0.5)))
