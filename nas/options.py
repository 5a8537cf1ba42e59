"""Options that several commands share, and those of a search, made of what may be asked of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from nas.pipeline.terms import Option, options
from nas.runs.storage_url import STORAGE

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
Data = Annotated[Path | None, typer.Option(help="Data folder of the task, or the table.")]
Storage = Annotated[
    str,
    typer.Option(
        envvar=STORAGE,
        show_envvar=False,
        help=f"URL of a database that holds the study; better in {STORAGE}: others see a command's options.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Trainings at a time.", show_default="one for each core")]
Address = Annotated[str | None, typer.Option(help="Address of a running Ray cluster.")]


def with_terms(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes `**terms` an option for each term of a run, after its own first options."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    first = [p for p in own if p.name in ("space", "run")]
    terms = [_parameter(name, option) for name, option in options().items()]
    parameters = [*first, *terms, *own[len(first) :]]
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return command


def _parameter(name: str, option: Option) -> inspect.Parameter:
    """A term as Typer reads it: None where it is not given."""
    flags = [option.flag] if option.flag else []
    told = typer.Option(*flags, help=option.help, min=option.least, show_default=option.default or False)
    kind = Annotated[option.kind | None, told]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
