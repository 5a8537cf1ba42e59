"""From what is asked to the terms of a run: defaults, one form for each value, and what a resumed run must share."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, cast

from optuna.samplers import BaseSampler

from nas.errors import RunError, TaskError, TrainingError
from nas.objectives.objective import parse_limit, parse_objective
from nas.pipeline.terms import Terms, options
from nas.runs.config import RunConfig
from nas.targets import LocalTarget, load_target, target_values
from nas.training import Training, check_proxy

DEFAULTS = RunConfig(
    task="digits",
    data="",
    label=(),
    objectives=(),
    limits=(),
    target=target_values(LocalTarget()),
    sampler="surrogate",
    seed=0,
    training=json.loads(json.dumps(asdict(Training()))),
)
"""The terms of a run of which nothing is asked; its objectives are then the main metric of its task, and `COSTS`."""

COSTS = ("latency_ms", "size_bytes")
"""Objectives of a run that names none, besides the main metric of what is predicted."""

MAY_DIFFER = ("data", "threads")
"""Terms that a resumed run need not share: data may lie elsewhere, and are known by their fingerprint; latencies bear
the threads that they were measured with, and the run notes it."""

_CALLED = {"name": "target"}
"""What a part of a term is called by who asks for it, where that is not its name."""


def config_from(terms: Terms, base: RunConfig = DEFAULTS) -> RunConfig:
    """Apply what is asked to the terms of a run.

    Args:
        terms: What is asked; each is checked by itself.
        base: The terms of the run that is resumed, or the defaults of a new one.

    Returns:
        The terms whole: equal to `base` where nothing else is asked.

    Raises:
        NasError: If a term is wrong by itself.
        TaskError: If a built-in task and a table's column are asked for at once.
    """
    given = {name: value for name, value in cast("dict[str, Any]", terms).items() if value is not None}
    asked: dict[str, Any] = {n: _whole(n, value) if n in _NUMBERS else value for n, value in given.items()}
    if "task" in asked and "label" in asked:
        names = ", ".join(_labels(asked["label"]))
        raise TaskError(
            f"--task {asked['task']} --label {names}: a built-in task has no column; expected one of both.",
            "Leave --task out to learn from a table.",
        )
    own = {f.name for f in fields(RunConfig)} - {"target", "training"}
    values = {name: _FORMS.get(name, _as_it_is)(value) for name, value in asked.items() if name in own}
    return replace(base, **values, target=_target(asked, base), training=_training(asked, base))


def check_same(folder: Path, begun: RunConfig, asked: RunConfig) -> None:
    """Refuse to go on with a run under other terms.

    Raises:
        RunError: If one differs; says which, what it was and what was asked for.
    """
    pairs = [(f.name, getattr(begun, f.name), getattr(asked, f.name)) for f in fields(RunConfig)]
    for part, was, now in (part for pair in pairs for part in differences(*pair)):
        if part not in MAY_DIFFER:
            raise RunError(
                f"{folder}: was begun with {_CALLED.get(part, part)} {_readable(was)}, not {_readable(now)}.",
                "Go on with its own terms, or begin another run in another folder.",
            )


def differences(name: str, was: Any, now: Any) -> list[tuple[str, Any, Any]]:
    """What differs of two values of JSON: name, what it was, what it is; inside of objects by field."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = {**was, **now}
        return [each for key in keys for each in differences(str(key), was.get(key), now.get(key))]
    return [] if was == now else [(name, was, now)]


def described(value: Any) -> Mapping[str, Any]:
    """The fields of a dataclass as JSON gives them back: lists for tuples."""
    return json.loads(json.dumps(asdict(value)))


def _training(asked: Mapping[str, Any], base: RunConfig) -> Mapping[str, Any]:
    """The training that is asked for; its seed follows the run's unless it was given one of its own."""
    if not isinstance(asked.get("training", Training()), Training):
        raise TrainingError(
            f"training: {asked['training']!r:.60}; expected a Training.", "Give nas.training.Training(...)."
        )
    training = described(asked["training"]) if "training" in asked else base.training
    follows = "training" not in asked and base.training.get("seed") == base.seed
    changed = {"epochs": asked.get("epochs"), "seed": asked.get("seed") if follows else None}
    return {**training, **{name: value for name, value in changed.items() if value is not None}}


def _target(asked: Mapping[str, Any], base: RunConfig) -> Mapping[str, Any]:
    """The target that is asked for: as it was, where it is the same one, with as many threads as are asked for."""
    name, threads = asked.get("target", base.target.get("name")), asked.get("threads")
    if "target" not in asked and threads is None:
        return base.target
    named = target_values(load_target(name, threads))
    if name != base.target.get("name"):
        return named
    return base.target if threads is None else {**base.target, "threads": threads}


def _labels(given: str | Sequence[str]) -> tuple[str, ...]:
    return _several(given)


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    """One text is a sequence of one."""
    return (given,) if isinstance(given, str) else tuple(given)


def _whole(name: str, given: Any) -> int:
    """A whole number, of numpy's too.

    Raises:
        RunError: If it is none, or less than makes sense.
    """
    least = options()[name].least
    try:
        value = operator.index(given)
    except TypeError:
        raise RunError(f"{name}: {given!r:.60}; expected a whole number.") from None
    if least is not None and value < least:
        raise RunError(f"{name}: {value}; expected at least {least}.")
    return value


def _objectives(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(parse_objective(text).metric for text in _several(given))


def _limits(given: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(str(parse_limit(text)) for text in _several(given))


def _sampler(given: str | BaseSampler) -> str:
    """Its name, or what a sampler object is called by."""
    if isinstance(given, str):
        return given
    kind = type(given)
    return f"optuna:{kind.__name__}" if kind.__module__.startswith("optuna.") else kind.__name__


def _place(path: str | Path) -> str:
    return str(Path(path).absolute())


def _as_it_is(value: Any) -> Any:
    return value


_NUMBERS = frozenset(name for name, option in options().items() if option.kind is int)

_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "data": _place,
    "label": _labels,
    "objectives": _objectives,
    "limits": _limits,
    "sampler": _sampler,
    "screen": check_proxy,
}
"""Of terms that may be given in several forms: how the one that is kept is made."""


def _readable(value: Any) -> str:
    if value is None:
        return "none"
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "none"
