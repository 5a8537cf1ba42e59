"""What is said of an input or a bundle that cannot be used."""

from __future__ import annotations

import csv
import struct
import tokenize
import wave
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager

DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, RecursionError,
    RuntimeError, SyntaxError, TypeError, ValueError, csv.Error, struct.error, tokenize.TokenError, wave.Error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What the readers of Python and numpy raise on files that are not what they seem."""


class PredictError(ValueError):
    """An input or a bundle that cannot be used, said so that it can be mended."""


class PredictWarning(UserWarning):
    """Something in an input that was read otherwise than it may be meant: a level never seen, a cut recording."""


class TimeLimitError(PredictError):
    """A model that computes longer than it may, and perhaps cannot be stopped."""


@contextmanager
def told(where: str) -> Generator[None, None, None]:
    """Say in one sentence that begins so what readers raise on damage; a `PredictError` says enough by itself."""
    try:
        yield
    except PredictError:
        raise
    except DAMAGE as error:
        raise PredictError(f"{where}: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut; its kind where it says nothing."""
    empty = "it ends too early" if isinstance(error, EOFError) else type(error).__name__
    return (str(error).strip() or empty).splitlines()[0][:300]
