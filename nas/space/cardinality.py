"""How many sets of decisions a description has, found without listing them.

Without ties it is a sum over options and a product over parts. A tie makes parts depend on each other, so counts are
kept apart for what was decided in the ties of a part that are also elsewhere, as factors of a graphical model are, and
a tie is summed out where the last of its places was counted (variable elimination; Dechter, 1999). Options of a tie
that open nothing anywhere are counted as one, as often as there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isqrt
from typing import Any

from nas.space.choices import Choice, Repeat, children, is_nested, nodes

MOST = 30_000
"""Pairs of counts that are multiplied for one part; where there are more, the size is a lower bound."""

_PLAIN = -1
"""Stands for all options of a tie that open nothing."""

Assignment = frozenset[tuple[str, int]]
Factor = Mapping[Assignment, int]
"""How many sets of decisions there are for each assignment of ties; a tie that is not reached is in none."""

_NOTHING: Assignment = frozenset()
_ONE: Factor = {_NOTHING: 1}


@dataclass(frozen=True)
class Cardinality:
    """A number of sets of decisions.

    Attributes:
        number: The number.
        exact: Whether it is that; otherwise there are more.
    """

    number: int
    exact: bool


def cardinality(network: Any) -> Cardinality:
    """Count the sets of decisions of a description.

    Returns:
        The exact number, or a lower bound where so many ties depend on each other that more than `MOST` pairs of
        counts would have to be multiplied at once.
    """
    counting = _Counting(network)
    total = reduce(counting.product, counting.factors(network, frozenset()), _ONE)
    return Cardinality(sum(total.values()), counting.exact)


class _Counting:
    """One count: the ties of the description, and whether all was counted so far."""

    def __init__(self, network: Any) -> None:
        self.exact = True
        self._places = _ties(network)
        self._nested: dict[str, set[int]] = defaultdict(set)
        self._options: dict[str, int] = {}
        for node in nodes(network):
            if isinstance(node, Choice) and node.tie is not None:
                self._nested[node.tie].update(_nested(node))
                self._options[node.tie] = len(node.options)

    def factors(self, node: Any, held: frozenset[str]) -> list[Factor]:
        """Factors whose product counts what is below a node; ties that are nowhere else are summed out.

        Args:
            node: The node.
            held: Ties that may not be summed out, since what is below is there several times.
        """
        if isinstance(node, Choice):
            found = [self._choice(node, held)]
        elif isinstance(node, Repeat):
            found = [self._repeat(node, held)]
        else:
            found = [factor for _, child in children(node) for factor in self.factors(child, held)]
        inside = _ties(node) if _named(found) else Counter[str]()
        closed = {tie for tie, places in inside.items() if places == self._places[tie]} - held
        told = [(_named([factor]), factor) for factor in found]
        while closed:
            tie = min(sorted(closed), key=lambda tie: len({other for ties, _ in told if tie in ties for other in ties}))
            closed.remove(tie)
            having = [factor for ties, factor in told if tie in ties]
            without = self._without(reduce(self.product, having, _ONE), tie)
            told = [(ties, factor) for ties, factor in told if tie not in ties]
            told.append((_named([without]), without))
        return [factor for _, factor in told]

    def product(self, first: Factor, second: Factor) -> Factor:
        """The factor of two parts together; where they disagree on a tie there is none."""
        common = _named([first]) & _named([second])
        ours, theirs = _grouped(first, common), _grouped(second, common)
        if _comparisons(ours, theirs, common) > MOST:
            self.exact = False
            return self.product(_largest(first), _largest(second))
        pairs = [(a, b) for a in ours for b in _agreeing(a, theirs, common)]
        if sum(len(ours[a]) * len(theirs[b]) for a, b in pairs) > MOST:
            self.exact = False
            return self.product(_largest(first), _largest(second))
        total: Counter[Assignment] = Counter()
        for a, b in pairs:
            for one in ours[a]:
                for other in theirs[b]:
                    total[one | other] += first[one] * second[other]
        return total

    def _choice(self, node: Choice, held: frozenset[str]) -> Factor:
        opening = _nested(node)
        plain = len(node.options) - len(opening)
        total: Counter[Assignment] = Counter()
        if node.tie is None or len(node.options) == 1:
            total[_NOTHING] += plain
            for index in opening:
                total.update(reduce(self.product, self.factors(node.options[index], held), _ONE))
            return +total
        for index in sorted(self._nested[node.tie]):
            below = self.factors(node.options[index], held) if index in opening else []
            total.update(reduce(self.product, below, {frozenset({(node.tie, index)}): 1}))
        if self._options[node.tie] > len(self._nested[node.tie]):
            total[frozenset({(node.tie, _PLAIN)})] += 1
        return total

    def _repeat(self, node: Repeat, held: frozenset[str]) -> Factor:
        item = reduce(self.product, self.factors(node.item, held | _ties(node.item).keys()), _ONE)
        total: Counter[Assignment] = Counter()
        power = _ONE
        for length in range(node.high + 1):
            if length >= node.low:
                total.update(power)
            power = self.product(power, item)
        return total

    def _without(self, factor: Factor, tie: str) -> Factor:
        """Sum a tie out."""
        total: Counter[Assignment] = Counter()
        plain = self._options[tie] - len(self._nested[tie])
        for assignment, number in factor.items():
            rest = frozenset(pair for pair in assignment if pair[0] != tie)
            total[rest] += number * (plain if (tie, _PLAIN) in assignment else 1)
        return total


def _ties(node: Any) -> Counter[str]:
    """At how many places each tie stands in a description; a choice of one option decides nothing."""
    choices = (below for below in nodes(node) if isinstance(below, Choice) and len(below.options) > 1)
    return Counter(choice.tie for choice in choices if choice.tie is not None)


def _nested(node: Choice) -> list[int]:
    """The options that may open something."""
    return [] if node.is_integer else [index for index, option in enumerate(node.options) if is_nested(option)]


def _named(factors: Sequence[Factor]) -> set[str]:
    """The ties that factors tell apart."""
    return {tie for factor in factors for assignment in factor for tie, _ in assignment}


def _grouped(factor: Factor, common: set[str]) -> Mapping[Assignment, list[Assignment]]:
    """Assignments by what they say of some ties."""
    groups: dict[Assignment, list[Assignment]] = defaultdict(list)
    for assignment in factor:
        groups[frozenset(pair for pair in assignment if pair[0] in common)].append(assignment)
    return groups


def _agreeing(ours: Assignment, theirs: Mapping[Assignment, Any], common: set[str]) -> list[Assignment]:
    """What disagrees on no tie; equal ones are found at once where all ties are reached."""
    if len(ours) == len(common):
        partial = [their for their in theirs if len(their) < len(common)]
        return [*([ours] if ours in theirs else []), *(their for their in partial if their <= ours)]
    decided = dict(ours)
    return [their for their in theirs if all(decided.get(tie, index) == index for tie, index in their)]


def _comparisons(ours: Collection[Assignment], theirs: Collection[Assignment], common: set[str]) -> int:
    """How often `_agreeing` looks at an assignment."""
    ours_partial, theirs_partial = (sum(len(each) < len(common) for each in side) for side in (ours, theirs))
    return ours_partial * len(theirs) + (len(ours) - ours_partial) * theirs_partial


def _largest(factor: Factor) -> Factor:
    """The entries that count most, few enough to be multiplied."""
    return dict(Counter(factor).most_common(isqrt(MOST)))
