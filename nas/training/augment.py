"""Change a batch so that what must not matter does not: position, and the pairing of modalities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What training may change of its samples.

    Attributes:
        shift: Largest shift of pictures and spectrograms along each axis, as a share of it; the same for a batch.
        mixup: Shape of the Beta distribution that mixes pairs of samples (Zhang et al., 2018); 0 mixes none.
        repair: Share of samples of which each further modality is taken from another sample of the same class; right
            where modalities depend on each other through the class only.
    """

    shift: float = 0.04
    mixup: float = 0.0
    repair: float = 0.0


def distort(batch: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Shift pictures `(b, c, h, w)`; what has no such axes stays as it is."""
    if batch.ndim != 4:
        return batch
    for axis in (2, 3):
        reach = int(settings.shift * batch.shape[axis])
        if reach:
            batch = batch.roll(_draw(2 * reach + 1, generator) - reach, axis)
    return batch


def mix(
    batch: list[Tensor], targets: Tensor, shape: float, generator: torch.Generator
) -> tuple[list[Tensor], Tensor, float]:
    """Mix each sample with another one.

    Returns:
        The mixed inputs, the targets of the partners, and the share of the sample itself.
    """
    gammas = torch._standard_gamma(torch.full((2,), shape), generator=generator)  # pyright: ignore
    share = float(gammas[0] / gammas.sum())
    partner = torch.randperm(len(targets), generator=generator)
    partner = partner.to(targets.device)
    return [share * x + (1 - share) * x[partner] for x in batch], targets[partner], share


def partners(targets: Tensor, generator: torch.Generator) -> Tensor:
    """For each sample another one of its class: a permutation within the classes, `(n,)`."""
    order = torch.argsort(targets, stable=True)
    noise = torch.rand(len(targets), generator=generator)
    shuffled = torch.argsort(targets[order].double() + noise.double() * 0.999)
    result = torch.empty_like(order)
    result[order] = order[shuffled]
    return result


def _draw(bound: int, generator: torch.Generator) -> int:
    return int(torch.randint(bound, (1,), generator=generator))
