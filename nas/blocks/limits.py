"""Limits on what a network may cost, checked while candidates are proposed, before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nas.blocks.cost import COSTS
from nas.blocks.network import network_of
from nas.errors import BlockError, SpaceError, unknown


def limit(cost: str, most: float) -> Callable[[Any], bool]:
    """Make a constraint that refuses what costs more.

    For example `Space(network, {"small": limit("params", 1e5)})`.

    Of a candidate its network counts, before any pass. It must name its `inputs` and `outputs`. One that cannot be
    built or counted passes: its trial says why.

    Args:
        cost: `params`, `macs` or `memory_bytes`.
        most: The largest value allowed.

    Raises:
        SpaceError: If there is no such cost.
    """
    if cost not in COSTS:
        raise SpaceError(f"limit(): {unknown('cost', cost, COSTS)}")

    def allows(described: Any) -> bool:
        network = network_of(described)
        if not network.inputs or not network.outputs:
            raise SpaceError(
                f"limit({cost!r}): the network does not say what it is made for.",
                "Give Network(inputs=..., outputs=...).",
            )
        try:
            return network.cost(cost) <= most
        except BlockError:
            return True

    return allows
