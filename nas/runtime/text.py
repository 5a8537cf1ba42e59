"""Text, which a model sees as token ids."""

from __future__ import annotations

import numpy as np

from .arrays import Array
from .errors import PredictError


def check_tokens(array: Array, vocabulary: float, name: str) -> None:
    """Refuse what are no token ids: numbers that are whole, from 0, and below the size of the vocabulary."""
    if not (np.equal(array, np.rint(array)) & (array >= 0)).all():
        raise PredictError(f"{name}: holds {array.min():g} to {array.max():g}; expected token ids, whole and from 0.")
    if array.max() >= vocabulary:
        raise PredictError(f"{name}: holds token {array.max():g}; expected ids below {vocabulary}.")
