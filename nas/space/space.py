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

from nas.errors import NasError, SpaceError, unknown
from nas.space import description
from nas.space.bounds import extreme
from nas.space.cardinality import Cardinality, cardinality
from nas.space.checks import check_choices
from nas.space.choices import Choice, Decide, Label, listed, resolve
from nas.space.encoding import Encoding, Mask, Vector
from nas.space.variation import changes_of_one, inheritance, mutation

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Constraint = Callable[[Any], bool]
"""A predicate over the resolved network; true where the network is allowed."""

_ATTEMPTS = 1000
_STARTS = 50


@dataclass(frozen=True, eq=False)
class Architecture:
    """One candidate; two of them are equal when their keys are, which is when they build the same network.

    Made by `Space.architecture` and whatever proposes; the decisions alone are what travels.

    Attributes:
        decisions: Path → label.
        network: The closed network description that they lead to.
    """

    decisions: Mapping[str, Label]
    network: Any

    @cached_property
    def key(self) -> str:
        """Hash of the network's canonical form: 16 hexadecimal digits.

        Networks with values that have no such form (`description.canonical`) are told apart by their decisions.
        """
        try:
            return _digest(json.dumps(description.canonical(self.network)))
        except description.Formless:
            return _digest(json.dumps({"decisions": dict(self.decisions)}, sort_keys=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Space:
    """A search space: a network description with open choices, and named constraints on what it resolves to.

    Attributes:
        network: The description; any value, usually a `nas.blocks.Network`.
        constraints: Name → predicate over the resolved network; asked in this order until one refuses.

    Raises:
        SpaceError: If choices tied by one name differ, or two decisions could get the same path.
    """

    network: Any
    constraints: Mapping[str, Constraint] = field(default_factory=dict[str, Constraint])

    def __post_init__(self) -> None:
        check_choices(self.network)

    def sample(self, rng: random.Random) -> Architecture:
        """Draw an architecture, each reached decision uniformly.

        Raises:
            SpaceError: If the constraints refuse too many in a row; names the one that refused most.
        """
        return self._first_allowed(lambda: lambda _, choice: rng.randrange(len(choice.options)))

    def mutate(self, architecture: Architecture, rng: random.Random) -> Architecture:
        """Change one decision; keep all others that are still reached, draw those that are newly reached.

        Every other change of a number is a step to one that is next to it.

        Returns:
            An architecture with another key: a change that leads to the same network is not taken.

        Raises:
            SpaceError: If there is no decision to change, no change leads to another network, or the constraints
                refuse too many in a row.
        """
        if not architecture.decisions:
            raise SpaceError("mutate: the architecture has no decision that could be changed.")
        return self._first_allowed(lambda: mutation(architecture.decisions, rng), architecture)

    def neighbours(self, architecture: Architecture, rng: random.Random) -> Iterator[Architecture]:
        """Yield, in random order, an allowed architecture for each way to change one decision.

        Numbers change by a step first; larger changes of them come last, and of numbers with more than a thousand
        options a thousand are drawn. All other decisions that are still reached
        are kept; those that are newly reached are drawn. Changes that lead to the same network are left out.
        """
        choices: dict[str, Choice] = {}

        def replay(path: str, choice: Choice) -> int:
            choices[path] = choice
            return choice.index(architecture.decisions[path], path)

        self._record(replay)
        for decide in changes_of_one(architecture.decisions, choices, rng):
            neighbour = self._record(decide)
            if neighbour != architecture and self.refused_by(neighbour.network) is None:
                yield neighbour

    def crossover(self, first: Architecture, second: Architecture, rng: random.Random) -> Architecture:
        """Inherit every decision from one of two parents, at random where both have it (uniform crossover).

        A decision that only one parent has is inherited from it; one that neither has is drawn.

        Raises:
            SpaceError: If the constraints refuse too many in a row.
        """
        return self._first_allowed(lambda: inheritance(first.decisions, second.decisions, rng))

    def architecture(self, decisions: Mapping[str, Label]) -> Architecture:
        """Take up the decisions of a record.

        Raises:
            SpaceError: If a decision is missing, is not of this space, has an unknown label, or a constraint refuses.
        """

        def replay(path: str, choice: Choice) -> int:
            if path not in decisions:
                raise SpaceError(
                    f"{path}: the architecture has no decision here; expected one of {listed(choice.labels)}."
                )
            return choice.index(decisions[path], path)

        architecture = self._record(replay)
        if extra := set(decisions) - set(architecture.decisions):
            raise SpaceError(f"architecture: {unknown('decision', min(extra), architecture.decisions)}")
        if refused := self.refused_by(architecture.network):
            raise SpaceError(f"architecture {architecture.key}: constraint {refused!r} refuses it.")
        return architecture

    def decided(self, decide: Decide) -> Architecture:
        """Take the decisions that a function gives, path by path; the constraints are not asked, see `refused_by`."""
        return self._record(decide)

    def decode(self, architecture: Architecture) -> Any:
        """Return the closed network description of an architecture."""
        return architecture.network

    def encode(self, architecture: Architecture) -> tuple[Vector, Mask]:
        """Turn an architecture into numbers; see `Encoding`.

        Returns:
            The values `(size,)` and which of them stand for decisions that were reached `(size,)`.
        """
        return self.encoding.encode(architecture)

    @cached_property
    def encoding(self) -> Encoding:
        """Where each decision stands in the vectors of `encode`."""
        return Encoding(self)

    def ask(self, trial: BaseTrial) -> Architecture:
        """Take the decisions from any Optuna trial; paths are the parameters' names.

        Raises:
            SpaceError: If a constraint refuses what the trial's sampler proposed, or a decision that was enqueued is
                none of the space.
        """

        def suggest(path: str, choice: Choice) -> int:
            try:
                if choice.is_integer:
                    values = cast(range, choice.options)
                    return values.index(trial.suggest_int(path, values[0], values[-1], step=values.step))
                return choice.index(trial.suggest_categorical(path, tuple(choice.labels)), path)
            except NasError:
                raise
            except ValueError as error:
                raise SpaceError(
                    f"{path}: trial {trial.number} proposes another value ({error}); expected one of "
                    f"{', '.join(map(str, choice.labels[:8]))}{', ...' if len(choice.labels) > 8 else ''}."
                ) from error

        architecture = self._record(suggest)
        if refused := self.refused_by(architecture.network):
            raise SpaceError(f"trial {trial.number}: constraint {refused!r} refuses the proposed architecture.")
        return architecture

    def enumerate(self) -> Iterator[Architecture]:
        """Yield every allowed set of decisions once, the last decision changing fastest.

        Several of them may build one network; they are then equal.
        """
        digits: list[tuple[int, int]] = []
        while True:
            position = 0

            def count(_: str, choice: Choice) -> int:
                nonlocal position
                if position == len(digits):
                    digits.append((0, len(choice.options)))
                position += 1
                return digits[position - 1][0]

            architecture = self._record(count)
            if not self.refused_by(architecture.network):
                yield architecture
            while digits and digits[-1][0] + 1 == digits[-1][1]:
                digits.pop()
            if not digits:
                return
            digits[-1] = (digits[-1][0] + 1, digits[-1][1])

    @property
    def size(self) -> int:
        """The number of sets of decisions, before constraints; a lower bound unless `size_is_exact`."""
        return self._cardinality.number

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is the exact number, which it is unless many ties depend on each other."""
        return self._cardinality.exact

    @cached_property
    def _cardinality(self) -> Cardinality:
        return cardinality(self.network)

    @property
    def written(self) -> tuple[Any, list[str]]:
        """The description with all its choices as JSON values, and the constraints' names."""
        return description.written(self.network), sorted(self.constraints)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the description with all its choices: 16 hexadecimal digits."""
        return _digest(json.dumps(self.written, sort_keys=True))

    def changes(self, old: Space) -> list[str]:
        """Say what changed from an older space to this one: a line for each path and constraint."""
        (before, had), (after, has) = old.written, self.written
        lines = description.difference(before, after)
        lines += [f"constraint {name}: removed" for name in had if name not in has]
        return lines + [f"constraint {name}: added" for name in has if name not in had]

    def extremes(self, cost: Callable[[Any], float]) -> tuple[Architecture, Architecture]:
        """Find the architectures that cost least and most; see `extreme` for how far that is exact.

        Args:
            cost: Of a closed network description; one that raises a `NasError` is passed over.

        Raises:
            SpaceError: If the constraints refuse what was found.
        """
        starts: list[Mapping[str, Label]] = [{}]
        if self.constraints:
            rng = random.Random(0)
            starts += [self.sample(rng).decisions for _ in range(_STARTS)]
        least, most = (
            self.architecture(extreme(self.network, cost, largest, lambda net: self.refused_by(net) is None, starts))
            for largest in (False, True)
        )
        return least, most

    def describe(self) -> str:
        """Print the exact size, the smallest and largest network, and the tree of choices, one line each.

        Networks are compared by parameters, if the description has a method `cost` that counts them.
        """
        lines = [f"{'' if self.size_is_exact else 'at least '}{self.size:,} architectures"]
        if callable(getattr(resolve(self.network, lambda _path, _choice: 0), "cost", None)):
            found = " found" if self.constraints else ""
            try:
                least, most = self.extremes(lambda net: net.cost("params"))
                lines += [f"smallest{found}: {_costs(least.network)}", f"largest{found}: {_costs(most.network)}"]
            except NasError as error:
                lines.append(f"smallest, largest: unknown. {error.message}")
        lines += [f"constraint {name}" for name in self.constraints]
        return "\n".join(lines + list(description.describe(self.network, "network", 0)))

    def refused_by(self, network: Any) -> str | None:
        """Name the first constraint that refuses a resolved network, or None.

        Raises:
            SpaceError: If a constraint fails instead of answering.
        """
        for name, allows in self.constraints.items():
            try:
                allowed = allows(network)
            except SpaceError:
                raise
            except Exception as error:
                raise SpaceError(
                    f"constraint {name!r}: failed with {type(error).__name__}: {error}; expected True or False.",
                    "Mend the predicate; it is given every network that the space can resolve to.",
                ) from error
            if not allowed:
                return name
        return None

    def _record(self, decide: Decide) -> Architecture:
        decisions: dict[str, Label] = {}

        def record(path: str, choice: Choice) -> int:
            index = decide(path, choice)
            decisions[path] = choice.labels[index]
            return index

        return Architecture(decisions, resolve(self.network, record))

    def _first_allowed(self, decider: Callable[[], Decide], parent: Architecture | None = None) -> Architecture:
        """Propose until one passes all constraints and is not the parent."""
        refusals: Counter[str] = Counter()
        for _ in range(_ATTEMPTS):
            architecture = self._record(decider())
            refused = self.refused_by(architecture.network)
            if refused is None and architecture != parent:
                return architecture
            refusals[refused or ""] += 1
        name, count = refusals.most_common(1)[0]
        if not name:
            raise SpaceError(
                f"mutate: {count} of {_ATTEMPTS} changes of one decision led to the same network, and none that is "
                "allowed to another; expected a decision that makes a difference.",
                "Give the choices options that build different networks.",
            )
        raise SpaceError(
            f"constraint {name!r} refused {count} of {_ATTEMPTS} proposals, and none passed all constraints.",
            "Loosen the constraint, or build what it wants into the choices.",
        )


def _costs(network: Any) -> str:
    return f"{network.cost('params'):,} params, {network.cost('macs'):,} MACs"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
