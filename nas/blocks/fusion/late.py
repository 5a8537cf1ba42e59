"""Fusion of decisions: every modality has a head of its own, and their votes are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from nas.blocks.features import Features, pooled
from nas.blocks.fusion.module import FusionModule
from nas.blocks.head import MultiTask, Regression
from nas.errors import BlockError

RULES = ("average", "weights", "vote", "product")


@dataclass(frozen=True)
class Experts:
    """Each modality decides with its own copy of the network's head; the network has no other head.

    Attributes:
        rule: `average` of probabilities; learned `weights` for them; `vote`: the class most modalities choose, ties
            broken by probability (trained as the average); `product` of experts, each with a learned temperature.
    """

    pools: ClassVar[bool] = True
    rule: Literal["average", "weights", "vote", "product"] = "product"

    def build(self, shapes: Sequence[tuple[int, ...]], head: Any, outputs: int) -> ExpertsFusion:
        """Build for features `(b, *shape)` of each modality; gives logits `(b, outputs)`.

        Raises:
            BlockError: If the rule is unknown, or the head does not decide between classes.
        """
        if self.rule not in RULES:
            raise BlockError(f"Experts.rule: {self.rule!r}; expected one of {', '.join(RULES)}.")
        decides = not isinstance(head, Regression | MultiTask) and getattr(head, "use", "") != "match"
        if not decides or outputs < 2:
            raise BlockError(
                f"Experts: the head {type(head).__name__} gives {outputs} outputs, no classes to decide between."
            )
        return ExpertsFusion([head.build(shape[0], outputs) for shape in shapes], self.rule)


class ExpertsFusion(FusionModule):
    """The module of `Experts`; modalities that are missing do not vote."""

    def __init__(self, experts: Sequence[nn.Module], rule: str) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        self.rule = rule
        learned = rule in ("weights", "product")
        self.weights = nn.Parameter(torch.zeros(len(experts))) if learned else None

    def forward(self, features: Sequence[Features], present: Sequence[Tensor] | None = None) -> Tensor:
        """Map features `(b, c_i, *)` to logits `(b, outputs)`."""
        logits = torch.stack([expert(pooled(x)) for expert, x in zip(self.experts, features, strict=True)], 1)
        here = torch.ones_like(logits[:, :, :1])
        if present is not None:
            here = torch.stack(list(present), 1).to(logits.dtype).unsqueeze(2)
        if self.rule == "product" and self.weights is not None:
            return (torch.log_softmax(logits * torch.exp(self.weights).reshape(1, -1, 1), 2) * here).sum(1)
        probabilities = torch.softmax(logits, 2)
        if self.weights is not None:
            here = here * torch.softmax(self.weights, 0).reshape(1, -1, 1)
        mean = (probabilities * here).sum(1) / here.sum(1).clamp(min=1e-6)
        if self.rule == "vote" and not self.training:
            chosen = (probabilities >= probabilities.amax(2, keepdim=True)).to(mean.dtype)
            return (chosen * here).sum(1) + mean
        return torch.log(mean.clamp(min=1e-6))
