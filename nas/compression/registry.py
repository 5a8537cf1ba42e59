"""All passes by the name of their type, and their form in JSON: type and fields, `{"type": "Prune", "ratio": 0.5}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from nas.compression.passes import Pass
from nas.compression.prune import Prune
from nas.compression.quantize import Quantize
from nas.errors import CompressionError, unknown

PASSES: Mapping[str, type[Pass]] = {kind.__name__: kind for kind in (Prune, Quantize)}
"""A new pass is one file and its name here."""


def to_json(step: Pass) -> dict[str, Any]:
    """The JSON form of a pass.

    Raises:
        CompressionError: If its type is not among the passes, so that it could not be read again.
    """
    name = type(step).__name__
    if PASSES.get(name) is not type(step):
        raise CompressionError(f"pass {step!r}: {unknown('pass', name, PASSES)}")
    return {"type": name, **{field: getattr(step, field) for field in _names(type(step))}}


def from_json(values: Any, where: str) -> Pass:
    """The pass that `to_json` wrote, equal to the one that was written.

    Args:
        values: The JSON form.
        where: The file that it stands in, for errors.

    Raises:
        CompressionError: If its type or a field is unknown, a field is missing, or a value cannot be.
    """
    if not isinstance(values, dict):
        raise CompressionError(f'{where}: pass {values!r}; expected its type and fields, {{"type": "Prune", ...}}.')
    given = cast(dict[str, Any], values)
    name = str(given.get("type"))
    if name not in PASSES:
        raise CompressionError(f"{where}: {unknown('pass', name, PASSES)}")
    known = _names(PASSES[name])
    for field in given:
        if field != "type" and field not in known:
            raise CompressionError(f"{where}: pass {name}: {unknown('field', field, known)}")
    if missing := [field for field in known if field not in given]:
        raise CompressionError(f"{where}: pass {name}: has no {missing[0]}; expected {', '.join(known)}.")
    try:
        return PASSES[name](**{field: given[field] for field in known})
    except (CompressionError, TypeError, ValueError) as error:
        said = error.message if isinstance(error, CompressionError) else str(error)
        raise CompressionError(f"{where}: pass {name}: {said}") from None


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
