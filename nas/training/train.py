"""Train a network on a split: AdamW, one cycle of the learning rate, label smoothing, augmentation.

Data lie in memory as tensors of their stored type and batches are taken by indexing, which on small data is several
times faster than a loader with workers. A sample that would be left alone in the last batch joins the one before it:
batch norm has no deviation of a single one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nas.errors import TrainingError
from nas.tasks.outputs import Output
from nas.tasks.task import Split
from nas.training.augment import Augmentation, distort, mix, partners
from nas.training.device import Device, find_device, hold, on_device, place_of

_RISE = 0.2
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class Training:
    """How long and how a candidate is trained.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Samples a step; the last one of an epoch has fewer, or one more where a single sample is left.
        lr: Peak of the one-cycle learning rate (Smith & Topin, 2018).
        weight_decay: Of AdamW, on weights with two axes or more.
        label_smoothing: Share of the target spread over all classes.
        augmentation: How samples are changed.
        seed: Of initial weights, order of samples and augmentation.
    """

    epochs: int = 10
    batch_size: int = 64
    lr: float = 4e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    augmentation: Augmentation = Augmentation()
    seed: int = 0


def training_from(values: Mapping[str, Any]) -> Training:
    """Read a training that was recorded as JSON."""
    fields: dict[str, Any] = {**values, "augmentation": Augmentation(**values["augmentation"])}
    return Training(**fields)


class Epoch(NamedTuple):
    """What one epoch gave: mean training loss, main metric on the validation split, seconds."""

    epoch: int
    loss: float
    score: float
    seconds: float


def train(
    module: nn.Module,
    output: Output,
    train_split: Split,
    valid_split: Split,
    settings: Training,
    on_epoch: Callable[[Epoch], bool] = lambda _: True,
    device: Device | None = None,
) -> list[Epoch]:
    """Train a module in place; it ends in evaluation mode, on the CPU.

    Args:
        module: Takes the inputs named by its `modalities`, in that order, and gives `(b, output.size)`.
        output: What is predicted.
        train_split: What it learns from.
        valid_split: What its main metric is watched on.
        settings: How long and how.
        on_epoch: Called after each epoch; where it says no, training ends with it.
        device: What trains it; None: the one that this process has.

    Returns:
        One row an epoch.

    Raises:
        TrainingError: If the loss is not finite, there is nothing to learn from or no time to, or the device has too
            little memory.
    """
    _check(settings, len(train_split), output)
    device = device or find_device()
    with on_device(module, device):
        return _train(module, output, train_split, valid_split, settings, on_epoch, device)


def _train(
    module: nn.Module,
    output: Output,
    train_split: Split,
    valid_split: Split,
    settings: Training,
    on_epoch: Callable[[Epoch], bool],
    device: Device,
) -> list[Epoch]:
    """Train a module that is on a device."""
    memory_format = _memory_format(module)
    module.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue] - torch documents it
    generator = torch.Generator().manual_seed(settings.seed)
    stored, targets = tensors(module, train_split)
    inputs, place = hold(stored, device), place_of(module)
    steps = len(_batches(torch.arange(len(targets)), settings.batch_size))
    optimizer = torch.optim.AdamW(_parameter_groups(module, settings.weight_decay), lr=settings.lr)
    schedule = _schedule(optimizer, settings.lr, steps * settings.epochs + 1)
    scaler = device.scaler()
    history: list[Epoch] = []
    for epoch in range(settings.epochs):
        begun = time.perf_counter()
        module.train()
        total = 0.0
        order = torch.randperm(len(targets), generator=generator)
        paired = [_pairing(targets, position, settings.augmentation, generator) for position in range(len(inputs))]
        for step, index in enumerate(_batches(order, settings.batch_size)):
            batch = [
                distort(_batch(x, pairing[index], place, memory_format), settings.augmentation, generator)
                for x, pairing in zip(inputs, paired, strict=True)
            ]
            own = targets[index].to(place)
            with device.autocast():
                loss = _loss(module, output, batch, own, settings, generator)
            if not torch.isfinite(loss):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}, step {step}.")
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            total += loss.item()
        row = Epoch(epoch, total / steps, score(module, output, valid_split)[output.main], time.perf_counter() - begun)
        history.append(row)
        if not on_epoch(row):
            break
    module.eval()
    return history


def score(module: nn.Module, output: Output, split: Split, batch_size: int = 512) -> dict[str, float]:
    """Score a module in evaluation mode on a split by the metrics of its output."""
    module.eval()
    inputs, targets = tensors(module, split)
    place = place_of(module)
    with torch.inference_mode():
        parts = [
            module(*(x[start : start + batch_size].to(place).float() for x in inputs)).float().cpu().numpy()
            for start in range(0, len(targets), batch_size)
        ]
    return output.score(np.concatenate(parts), split.targets)


def tensors(module: nn.Module, split: Split) -> tuple[list[Tensor], Tensor]:
    """Give the inputs that a module takes, in its order, and the targets, without copying."""
    names: Sequence[str] = module.modalities  # pyright: ignore[reportAssignmentType]
    return [torch.from_numpy(split.inputs[name]) for name in names], torch.from_numpy(split.targets)


def _check(settings: Training, samples: int, output: Output) -> None:
    if samples < 2:
        raise TrainingError(f"the training split has {samples} sample{'s' * (samples != 1)}; expected at least 2.")
    if settings.augmentation.repair and not output.has_classes:
        raise TrainingError(
            f"Augmentation.repair: {settings.augmentation.repair}; it pairs samples of one class, and a "
            f"{type(output).__name__} has no classes.",
            "Leave it 0.",
        )
    if settings.epochs < 1 or settings.batch_size < 1:
        raise TrainingError(
            f"Training: {settings.epochs} epochs in batches of {settings.batch_size}; expected at least 1 of both."
        )


def _batches(order: Tensor, size: int) -> Sequence[Tensor]:
    """Split an order of samples into batches, the last two joined where a single sample would be left alone."""
    *full, last = order.split(size)
    alone = len(last) == 1 < size and bool(full)
    return [*full[:-1], torch.cat([full[-1], last])] if alone else [*full, last]


def _schedule(optimizer: torch.optim.Optimizer, peak: float, total: int) -> torch.optim.lr_scheduler.OneCycleLR:
    """One cycle over a number of steps; where the rise would take no step, as in five of them, there is none."""
    rise = 0.0 if _RISE * total == 1 else _RISE
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=total, pct_start=rise)


def _memory_format(module: nn.Module) -> torch.memory_format:
    """Channels last, which makes training 1.3 to 1.6 times as fast on CPUs, where it is safe.

    With fewer than eight input channels, oneDNN's AVX2 gradient of a pointwise convolution that strides writes past its
    workspace in this format and kills the process (uxlfoundation/oneDNN issue 6035).
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1) and max(part.stride) > 1 and part.in_channels < 8:
            return torch.contiguous_format
    return torch.channels_last


def _batch(stored: Tensor, index: Tensor, place: torch.device, memory_format: torch.memory_format) -> Tensor:
    """Take samples to where the module is, as float32; pictures in a memory format."""
    values = stored[index.to(stored.device)].to(place).float()
    return values.contiguous(memory_format=memory_format) if values.ndim == 4 else values


def _loss(
    module: nn.Module,
    output: Output,
    batch: list[Tensor],
    targets: Tensor,
    settings: Training,
    generator: torch.Generator,
) -> Tensor:
    smoothing, shape = settings.label_smoothing, settings.augmentation.mixup
    if not shape:
        return output.loss(module(*batch), targets, smoothing)
    mixed, others, share = mix(batch, targets, shape, generator)
    found = module(*mixed)
    own = output.loss(found, targets, smoothing)
    return share * own + (1 - share) * output.loss(found, others, smoothing)


def _pairing(targets: Tensor, position: int, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Which sample each one takes a modality from in this epoch: itself, or another of its class."""
    own = torch.arange(len(targets))
    if position == 0 or not settings.repair:
        return own
    swapped = torch.rand(len(targets), generator=generator) < settings.repair
    return torch.where(swapped, partners(targets, generator), own)


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices and kernels, not biases and norms."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
