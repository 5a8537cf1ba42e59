"""Which layers keep their widths when a network is pruned: modules say it of themselves.

Any module, a user's own too, may have a method `unprunable()` that lists layers inside it whose outputs may not be
narrowed. Whoever narrows a network asks all its modules, and need know none of them.
"""

from __future__ import annotations

from torch import nn


def projections(part: nn.Module) -> list[nn.Module]:
    """Linear layers, normalisations and embeddings inside a module: what attention splits into heads or adds up."""
    return [m for m in part.modules() if isinstance(m, nn.Linear | nn.LayerNorm | nn.Embedding)]
