"""What is left to make of a model by chains of passes, and under which names.

What several chains begin with is made once. A job takes all chains that begin with the same pass, so that no two jobs
write to one folder. Siblings are found by the passes and the parent that they record; a name is free only if no other
passes have it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.compression import Pass, to_json
from nas.formats.weights import WEIGHTS_FILE
from nas.runs.models import Model

Chain = tuple[Pass, ...]


@dataclass(frozen=True)
class CompressJob:
    """What is made of one model in one go.

    Attributes:
        parent: The model.
        chains: Chains of passes that begin with the same one.
        names: Each beginning of the chains → the name of its sibling.
        siblings: Those that are there, by name.
    """

    parent: Model
    chains: tuple[Chain, ...]
    names: Mapping[Chain, str]
    siblings: Mapping[str, Model]


def jobs_of(parent: Model, chains: Sequence[Chain], models: Sequence[Model]) -> list[CompressJob]:
    """The work left on a model: a job for each first pass.

    Args:
        parent: The model.
        chains: What is wanted of it.
        models: All of its run.
    """
    names = _names(parent, chains, models)
    siblings = {model.name: model for model in models}
    firsts = dict.fromkeys(chain[0] for chain in chains)
    grouped = [tuple(tuple(chain) for chain in chains if chain[0] == first) for first in firsts]
    jobs = [
        CompressJob(parent, group, {chain: names[chain] for chain in prefixes(group)}, siblings) for group in grouped
    ]
    return [job for job in jobs if not is_done(job)]


def prefixes(chains: Sequence[Chain]) -> list[Chain]:
    """Every beginning of chains once, the shorter ones of each chain first."""
    return list(dict.fromkeys(tuple(chain[:length]) for chain in chains for length in range(1, len(chain) + 1)))


def is_done(job: CompressJob) -> bool:
    """Whether every sibling is there, made of what the one before it is now."""
    made: dict[Chain, Model | None] = {(): job.parent}
    for chain in prefixes(job.chains):
        source = made[chain[:-1]]
        made[chain] = is_there(job, chain, source) if source is not None else None
    return None not in made.values()


def is_there(job: CompressJob, chain: Chain, source: Model) -> Model | None:
    """A chain's sibling as it was made of a model; None where there is none, or it was made of another."""
    model = job.siblings.get(job.names[chain])
    if model is None or not all((place.folder / WEIGHTS_FILE).exists() for place in (model, source)):
        return None
    return model if model.metrics.get("made_of") == digest(source) else None


def digest(model: Model) -> str:
    """What a model's weights are known by: 16 hexadecimal digits."""
    return hashlib.sha256((model.folder / WEIGHTS_FILE).read_bytes()).hexdigest()[:16]


def _names(parent: Model, chains: Sequence[Chain], models: Sequence[Model]) -> Mapping[Chain, str]:
    """Name each sibling: as it is recorded, or by its labels, and by its fields too where the labels are another's."""
    names: dict[Chain, str] = {(): parent.name}
    taken = {model.name for model in models}
    for chain in prefixes(chains):
        source, passes = names[chain[:-1]], (*parent.passes, *chain)
        recorded = [model.name for model in models if model.parent == source and model.passes == passes]
        plain = f"{source}-{chain[-1].label}"
        names[chain] = recorded[0] if recorded else plain if plain not in taken else f"{plain}-{_mark(chain[-1])}"
        taken.add(names[chain])
    return names


def _mark(step: Pass) -> str:
    """What tells a pass from others of its label: 6 hexadecimal digits."""
    return hashlib.sha256(json.dumps(to_json(step), sort_keys=True).encode()).hexdigest()[:6]
