"""Search spaces and architectures, and the laws that hold for them."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from nas import description
from nas.choices import Choice, Decide, Label, Repeat, resolve
from nas.errors import SpaceError, unknown

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Constraint = Callable[[Any], bool]
"""A predicate over the resolved network; true where the network is allowed."""

_ATTEMPTS = 1000


@dataclass(frozen=True, eq=False)
class Architecture:
    """The decisions of one candidate, path → label; two of them are equal when their keys are."""

    decisions: Mapping[str, Label]

    @cached_property
    def key(self) -> str:
        """Hash of the canonical form: 16 hexadecimal digits."""
        return _digest(json.dumps(dict(self.decisions), sort_keys=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Space:
    """A search space: a network description with open choices, and named constraints on what it resolves to.

    Attributes:
        network: The description; any value, usually a `nas.blocks.Network`.
        constraints: Name → predicate over the resolved network.

    Raises:
        SpaceError: If choices tied by one name differ, or two decisions could get the same path.
    """

    network: Any
    constraints: Mapping[str, Constraint] = field(default_factory=dict[str, Constraint])

    def __post_init__(self) -> None:
        ties: dict[str, Choice] = {}
        for node in description.nodes(self.network):
            for name in map(str, node if isinstance(node, Mapping) else ()):
                if "." in name or name.startswith("tie:"):
                    raise SpaceError(f"{name!r}: a part's name cannot contain a dot or begin with 'tie:'.")
            if not isinstance(node, Choice) or node.tie is None:
                continue
            first = ties.setdefault(node.tie, node)
            if list(first.labels) != list(node.labels):
                raise SpaceError(
                    f"tie {node.tie!r}: {list(node.labels)} differs from {list(first.labels)}; "
                    "tied choices must have the same labels."
                )
            if first.is_integer != node.is_integer:
                raise SpaceError(f"tie {node.tie!r}: choose() and integer() cannot be tied to each other.")
        if isinstance(self.network, Choice) and len(self.network.options) > 1:
            inner = dict(description.children(self.network)).get("network")
            if isinstance(inner, Choice | Repeat):
                raise SpaceError("choose(): the label 'network' is the outermost choice's own path; use another.")

    def sample(self, rng: random.Random) -> Architecture:
        """Draw an architecture, each reached decision uniformly.

        Raises:
            SpaceError: If the constraints refuse too many in a row; names the one that refused most.
        """
        return self._first_allowed(lambda: lambda _, choice: rng.randrange(len(choice.options)))

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Change one decision; keep all others that are still reached, draw those that are newly reached.

        Returns:
            An architecture with another key.

        Raises:
            SpaceError: If there is no decision to change, or the constraints refuse too many in a row.
        """
        if not architecture.decisions:
            raise SpaceError("mutate: the architecture has no decision that could be changed.")
        paths = list(architecture.decisions)

        def mutation() -> Decide:
            changed = rng.choice(paths)

            def decide(path: str, choice: Choice) -> int:
                if path not in architecture.decisions:
                    return rng.randrange(len(choice.options))
                index = choice.index(architecture.decisions[path], path)
                return (
                    (index + rng.randrange(1, len(choice.options))) % len(choice.options) if path == changed else index
                )

            return decide

        return self._first_allowed(mutation)

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Inherit every decision from one of two parents, at random where both have it (uniform crossover).

        A decision that only one parent has is inherited from it; one that neither has is drawn.

        Raises:
            SpaceError: If the constraints refuse too many in a row.
        """

        def inherit(path: str, choice: Choice) -> int:
            having = [parent for parent in (first, second) if path in parent.decisions]
            if not having:
                return rng.randrange(len(choice.options))
            parent = having[0] if len(having) == 1 else rng.choice(having)
            return choice.index(parent.decisions[path], path)

        return self._first_allowed(lambda: inherit)

    def decode(self, architecture: Architecture) -> Any:
        """Return the closed network description that the decisions lead to.

        Raises:
            SpaceError: If a decision is missing, is not of this space, has an unknown label, or a constraint refuses.
        """
        asked: set[str] = set()

        def replay(path: str, choice: Choice) -> int:
            asked.add(path)
            if path not in architecture.decisions:
                raise SpaceError(
                    f"{path}: the architecture has no decision here; expected one of {list(choice.labels)}."
                )
            return choice.index(architecture.decisions[path], path)

        network = resolve(self.network, replay)
        if extra := set(architecture.decisions) - asked:
            raise SpaceError(f"architecture: {unknown('decision', min(extra), asked)}")
        if refused := self.refused_by(network):
            raise SpaceError(f"architecture {architecture.key}: constraint {refused!r} refuses it.")
        return network

    def ask(self, trial: BaseTrial) -> Architecture:
        """Take the decisions from any Optuna trial; paths are the parameters' names.

        Raises:
            SpaceError: If a constraint refuses what the trial's sampler proposed.
        """

        def suggest(path: str, choice: Choice) -> int:
            if choice.is_integer:
                values = cast(range, choice.options)
                return values.index(trial.suggest_int(path, values[0], values[-1], step=values.step))
            return choice.index(trial.suggest_categorical(path, tuple(choice.labels)), path)

        architecture, network = self._record(suggest)
        if refused := self.refused_by(network):
            raise SpaceError(f"trial {trial.number}: constraint {refused!r} refuses the proposed architecture.")
        return architecture

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every allowed architecture once, the last decision changing fastest."""
        digits: list[tuple[int, int]] = []
        while True:
            position = 0

            def count(_: str, choice: Choice) -> int:
                nonlocal position
                if position == len(digits):
                    digits.append((0, len(choice.options)))
                position += 1
                return digits[position - 1][0]

            architecture, network = self._record(count)
            if not self.refused_by(network):
                yield architecture
            while digits and digits[-1][0] + 1 == digits[-1][1]:
                digits.pop()
            if not digits:
                return
            digits[-1] = (digits[-1][0] + 1, digits[-1][1])

    @cached_property
    def size(self) -> int:
        """The exact number of architectures before constraints."""
        return sum(description.count(self.network).values())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the description with all its choices: 16 hexadecimal digits."""
        return _digest(json.dumps([description.canonical(self.network), sorted(self.constraints)], sort_keys=True))

    def describe(self) -> str:
        """Print the tree of choices, one line each, and the exact size."""
        lines = [f"{self.size:,} architectures"]
        lines += [f"constraint {name}" for name in self.constraints]
        return "\n".join(lines + list(description.describe(self.network, "network", 0)))

    def refused_by(self, network: Any) -> str | None:
        """Name the first constraint that refuses a resolved network, or None."""
        return next((name for name, allows in self.constraints.items() if not allows(network)), None)

    def _record(self, decide: Decide) -> tuple[Architecture, Any]:
        decisions: dict[str, Label] = {}

        def record(path: str, choice: Choice) -> int:
            index = decide(path, choice)
            decisions[path] = choice.labels[index]
            return index

        network = resolve(self.network, record)
        return Architecture(decisions), network

    def _first_allowed(self, decider: Callable[[], Decide]) -> Architecture:
        refusals: Counter[str] = Counter()
        for _ in range(_ATTEMPTS):
            architecture, network = self._record(decider())
            refused = self.refused_by(network)
            if refused is None:
                return architecture
            refusals[refused] += 1
        name, count = refusals.most_common(1)[0]
        raise SpaceError(
            f"constraint {name!r} refused {count} of {_ATTEMPTS} proposals, and none passed all constraints.",
            "Loosen the constraint, or build what it wants into the choices.",
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
