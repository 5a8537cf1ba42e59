"""What may be asked of a run, spelt once: the words of `nas search` in Python, and its options on the command line.

An option is a field of `Terms`, and a field of `RunConfig`, or of the training or target in it, that it changes. This
file imports nothing heavy, since the command line's help is made of it.
"""

# No `from __future__ import annotations`: options are read from the annotations, and those in quotes stay unread.

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from nas.errors import unknown

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.training import Training


@dataclass(frozen=True)
class Option:
    """How a term is asked for on the command line.

    Attributes:
        help: What it is, in a sentence.
        default: What its default is called; empty where there is none.
        kind: Type of its value; a list's option may be repeated.
        flag: Its name, where that is not the term's.
        least: Its least value.
    """

    help: str
    default: str = ""
    kind: Any = str
    flag: str = ""
    least: int | None = None


class Terms(TypedDict, total=False):
    """What is asked of a run; what is left out or None is as the run was begun, or the default of a new one.

    Attributes:
        task: Name of a built-in task.
        data: Data folder of the task, or with `label` the user's own table.
        label: The table's column to predict, or several.
        sampler: Name of a sampler, or one that proposes from this space.
        screen: Name of a proxy that scores untrained networks: the best of some proposals is evaluated.
        proposals: How many the screen chooses from.
        objectives: Metrics.
        limits: For example `latency_ms<=2`.
        target: Name of the target.
        threads: Of one inference on the target.
        training: How long and how candidates are trained.
        epochs: Epochs of each trial, of a training that is otherwise what it is.
        seed: Seed of everything random.
    """

    task: Annotated[str | None, Option("Built-in task.", "digits")]
    data: Annotated[str | Path | None, Option("Data folder of the task, or the table.", kind=Path)]
    label: Annotated[str | Sequence[str] | None, Option("Column of the table to predict; repeat.", kind=list[str])]
    sampler: Annotated[
        "str | BaseSampler | None",
        Option(
            "Who proposes: random, grid, local, evolution, nsga2, nsga3, reinforce, cem, adversarial, surrogate; "
            "tpe, gp, optuna:<class>, optunahub:<package>.",
            "surrogate",
        ),
    ]
    screen: Annotated[
        str | None, Option("Proxy that chooses among proposals: synflow, naswot, grad_norm, params.", "none")
    ]
    proposals: Annotated[int | None, Option("Proposals that the screen chooses from.", "8", int, least=1)]
    objectives: Annotated[
        Sequence[str] | None,
        Option("Metric to optimise; repeat.", "the main metric, latency_ms, size_bytes", list[str], "--objective"),
    ]
    limits: Annotated[
        Sequence[str] | None, Option("For example 'latency_ms<=2'; repeat.", kind=list[str], flag="--limit")
    ]
    target: Annotated[str | None, Option("Device the model is for.", "local")]
    threads: Annotated[int | None, Option("Threads of one inference there.", "1", int, least=1)]
    training: "Training | None"
    epochs: Annotated[int | None, Option("Epochs of each trial.", "10", int, least=1)]
    seed: Annotated[int | None, Option("Seed of everything random.", "0", int)]


def options() -> dict[str, Option]:
    """The terms that have an option on the command line, by name, in their order."""
    found = {name: getattr(hint, "__metadata__", ()) for name, hint in Terms.__annotations__.items()}
    return {name: metadata[0] for name, metadata in found.items() if metadata}


def check_names(terms: Terms) -> None:
    """Refuse a term that there is not, as Python does an argument.

    Raises:
        TypeError: If there is one.
    """
    for name in terms:
        if name not in Terms.__annotations__:
            raise TypeError(unknown("term", name, Terms.__annotations__))
