"""What became of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nas.objectives.objective import Limit


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate.

    Attributes:
        state: `complete`, refused by a limit (`infeasible`), `stopped` on its way, or `failed`.
        metrics: All that was measured before it ended.
        reason: Why it was refused, stopped or failed.
        violations: Limit → how far beyond it as a share of its bound, for refused ones.
    """

    state: Literal["complete", "infeasible", "stopped", "failed"]
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    violations: Mapping[str, float] = field(default_factory=dict[str, float])


WORKER_DIED = Outcome("failed", reason="its worker died twice while it ran (killed, or out of memory)")
"""What became of a candidate that took its process with it."""


def refused(limits: tuple[Limit, ...], metrics: Mapping[str, Any], missing: bool = False) -> Outcome | None:
    """What becomes of a candidate with these metrics if it breaks a limit; None if it breaks none.

    Args:
        limits: Bounds.
        metrics: What is known of it.
        missing: Whether an unknown metric breaks the limits on it.
    """
    known = [limit for limit in limits if missing or limit.metric in metrics]
    violations = {str(limit): amount for limit in known if (amount := limit.violation(metrics)) > 0}
    if not violations:
        return None
    broken = [f"{limit} ({metrics.get(limit.metric, 'unknown')})" for limit in known if str(limit) in violations]
    return Outcome("infeasible", dict(metrics), f"breaks {', '.join(broken)}", violations)
