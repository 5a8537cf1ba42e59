"""The command line of a bundle."""

from __future__ import annotations

import argparse
import json
import os
import sys
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from .arrays import Array, read_archive
from .bundle import load_bundle, predict
from .errors import PredictError, PredictWarning, TimeLimitError
from .outputs import answer, lines


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Predict from the command line: answers to the output, what must be said of the inputs to the error output.

    Args:
        arguments: Those of the command line; of this process if None.
        folder: The bundle's folder where the arguments name none; without it they have to.

    Returns:
        The exit code: 0, or 2 for an input that cannot be used. A model that does not stop ends the process with 2,
        Ctrl-C with 130.
    """
    options = _parser(folder).parse_args(arguments)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", PredictWarning)
        try:
            bundle = load_bundle(options.bundle)
            rows = predict(bundle, _named(options.inputs, list(bundle.modalities)))
        except (PredictError, OSError, MemoryError) as error:
            _print(sys.stderr, f"error: {str(error) or 'there is too little memory'}")
            if isinstance(error, TimeLimitError):
                os._exit(2)  # its native thread still runs, and would fall over what an orderly exit takes away
            return 2
        except KeyboardInterrupt:
            os._exit(130)  # for the same reason
    for warning in told:
        _print(sys.stderr, f"note: {warning.message}")
    try:
        for row in rows:
            said = answer(bundle.output, row)
            for line in [json.dumps(said)] if options.json else lines(bundle.output, said, options.top):
                _print(sys.stdout, line)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser(folder: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Predict with the model in this folder.")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NAME=FILE for each input; or one file: .npz of all inputs, or that of the only input",
    )
    parser.add_argument("--bundle", type=Path, default=folder, required=folder is None, help="the bundle's folder")
    parser.add_argument("--top", type=_positive, default=3, help="labels to print")
    parser.add_argument("--json", action="store_true", help="print all that the model says as JSON")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text[:9]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text[:9])


def _named(texts: Sequence[str], modalities: Sequence[str]) -> dict[str, Array | Path]:
    if len(texts) == 1 and texts[0].lower().endswith(".npz") and "=" not in texts[0]:
        return dict(read_archive(Path(texts[0]), modalities))
    if len(texts) == 1 and len(modalities) == 1 and "=" not in texts[0]:
        return {modalities[0]: Path(texts[0])}
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise PredictError(f"input {name!r}: expected NAME=FILE with NAME one of {', '.join(modalities)}.")
    named = {name: Path(file) for name, _, file in pairs}
    if len(named) < len(pairs):
        raise PredictError(f"inputs {', '.join(texts)}: a name is there twice; expected one file for each.")
    return dict(named)


def _print(stream: TextIO, text: str) -> None:
    """Write a line that any terminal can show: what it cannot, and what would steer it, is written as escapes."""
    encoding = stream.encoding or "utf-8"
    shown = "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in text)
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
