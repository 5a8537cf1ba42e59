"""What the surrogate makes of cheap metrics."""

from __future__ import annotations

import optuna

from nas import Architecture, Space, choose, sampler
from nas.errors import BlockError

SPACE = Space({"width": choose(1, 2, 4, 8, 16), "kind": choose("a", "b", "c"), "depth": choose(1, 2, 3, 4)})


def cheap(architecture: Architecture) -> dict[str, float]:
    """Known without training; what is of kind c cannot be built."""
    if architecture.network["kind"] == "c":
        raise BlockError("kind c: cannot be built")
    return {"params": float(architecture.network["width"] * architecture.network["depth"])}


def test_what_breaks_a_limit_or_cannot_be_counted_is_not_proposed() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=sampler("surrogate", SPACE, cheap=cheap, limits=["params<=16"]),
    )
    for _ in range(26):
        trial = study.ask()
        architecture = SPACE.ask(trial)
        assert architecture.network["kind"] != "c"
        params = cheap(architecture)["params"]
        assert params <= 16
        study.tell(trial, (params**0.5 + (architecture.network["kind"] == "a"), params))
