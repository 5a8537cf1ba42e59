"""What can go wrong, told to users: where, what was given, what was expected, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NasError(Exception):
    """A failure that a user can understand and mend.

    Args:
        message: Where it happened, what was given and what was expected, in one sentence.
        hint: How to mend it; shown on a line of its own.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class SpaceError(NasError, ValueError):
    """A search space, or an architecture held against it, is wrong."""


class ObjectiveError(NasError, ValueError):
    """An objective or a limit cannot be understood or met."""


class SamplerError(NasError, ValueError):
    """A sampler is unknown or cannot propose."""


class ExhaustedError(SamplerError):
    """No architecture is left to propose."""


class BlockError(NasError, ValueError):
    """A block cannot be built for the shapes that it was given."""


class TaskError(NasError, ValueError):
    """A task, its data or its files are unknown, missing or malformed."""


class TrainingError(NasError, RuntimeError):
    """A candidate could not be trained, for example because its loss became NaN."""


class TargetError(NasError, ValueError):
    """A target device is unknown or cannot measure."""


class ExportError(NasError, RuntimeError):
    """A network cannot be written as ONNX, or its file does not compute what the network does."""


class CompressionError(NasError, RuntimeError):
    """A compression pass cannot be applied to a network."""


class RunError(NasError, RuntimeError):
    """A run folder is missing, damaged, or belongs to another space, task or target."""


class BundleError(NasError, RuntimeError):
    """A bundle is incomplete, or failed its proof."""


class DeviceWarning(UserWarning):
    """A run goes on where latency is measured otherwise than before: on another device, or with other threads."""


BUILD_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a user's own module may raise where it does not fit."""


MOST_CHARACTERS = 2000
"""Of a reason that is kept; a candidate may put megabytes into its error."""


def cleaned(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text from somebody's program as it may be kept and shown: no control characters, no half characters, cut.

    Args:
        text: Any text; newlines stay.
        most: Characters that are kept; how many are left out is said.
    """
    kept = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text[:most])
    return kept if len(text) <= most else f"{kept} ... ({len(text) - most:,} more characters)"


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """Say that a name is not known, name those that are, and the nearest of them.

    Args:
        kind: What was named, for example `"sampler"`.
        got: The name as given.
        known: The names that exist.

    Returns:
        One sentence, ready to be the message of a `NasError`.
    """
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(got.casefold(), folded, n=1, cutoff=0.5)
    nearest = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return f"unknown {kind} {got!r}; known: {', '.join(names)}.{nearest}"
