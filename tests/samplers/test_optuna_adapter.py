"""Samplers of Optuna and OptunaHub: what they propose is taken, but never twice."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from nas import Architecture, Space, choose, integer, repeat, sampler
from nas.errors import ExhaustedError, SamplerError
from nas.samplers import OptunaAdapter
from nas.samplers.optuna_adapter import OPTUNA

NEEDY = ("GridSampler", "PartialFixedSampler")
THEIRS = ["tpe", "gp", *(f"optuna:{name}" for name in OPTUNA if name not in NEEDY)]


@dataclass(frozen=True)
class Net:
    kind: Any
    layers: Any = ()
    extra: Any = None


@dataclass(frozen=True)
class Layer:
    width: Any
    expand: Any = None


SMALL = Space(Net(choose("a", "b", "c"), integer(2, 8, 2)))
SPACE = Space(Net(choose("a", "b"), repeat(Layer(integer(1, 6), choose(None, 2, 4)), 1, 3), integer(0, 9)))


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def judge(architecture: Architecture) -> float:
    return sum(label for label in architecture.decisions.values() if isinstance(label, int))


def run(made: optuna.Study, trials: int, space: Space) -> list[Architecture]:
    asked: list[Architecture] = []
    for _ in range(trials):
        trial = made.ask()
        asked.append(space.ask(trial))
        made.tell(trial, judge(asked[-1]))
    return asked


def study(name: str, space: Space, seed: int = 0) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler(name, space, seed))


@pytest.mark.parametrize("name", THEIRS)
def test_never_repeats_until_the_space_is_exhausted(name: str) -> None:
    made = study(name, SMALL)
    assert len(set(run(made, 12, SMALL))) == SMALL.size == 12
    with pytest.raises(ExhaustedError, match="the space is exhausted: all of its 12 architectures were proposed"):
        made.ask()


@pytest.mark.parametrize("name", THEIRS)
def test_the_same_seed_and_ledger_give_the_same_proposals(name: str) -> None:
    whole = run(study(name, SPACE), 16, SPACE)
    begun = study(name, SPACE)
    first = run(begun, 12, SPACE)
    begun.sampler = sampler(name, SPACE)  # what a new process does
    assert first + run(begun, 4, SPACE) == whole
    assert len(set(whole)) == 16


@pytest.mark.parametrize("name", ["tpe", "optuna:NSGAIISampler", "optuna:QMCSampler"])
def test_parallel_asks_differ(name: str) -> None:
    made = study(name, SMALL)
    run(made, 4, SMALL)
    assert len({SMALL.ask(made.ask()) for _ in range(8)}) == 8


@pytest.mark.parametrize("name", ["tpe", "optuna:NSGAIISampler", "optuna:CmaEsSampler", "optuna:QMCSampler"])
def test_what_a_constraint_refuses_is_never_proposed(name: str) -> None:
    space = Space(SMALL.network, {"b is small": lambda net: net.kind != "b" or net.layers < 4})
    asked = run(study(name, space), 9, space)  # Space.ask raises where a constraint refuses
    assert len(set(asked)) == 9


def test_generations_and_strategies_live_in_the_study() -> None:
    made = study("optuna:NSGAIISampler", SPACE)
    run(made, 60, SPACE)
    assert made.trials[-1].system_attrs["NSGAIISampler:generation"] == 1
    made = study("optuna:CmaEsSampler", SPACE)
    run(made, 60, SPACE)
    generations = [t.system_attrs["cma:generation"] for t in made.trials if "cma:generation" in t.system_attrs]
    assert max(generations) > 1


def test_a_model_learns_through_it() -> None:
    def best(name: str) -> float:
        return sum(max(map(judge, run(study(name, SPACE, seed), 40, SPACE))) for seed in range(3))

    assert best("tpe") > best("random")


class Stubborn(optuna.samplers.BaseSampler):
    """Always answers with the first option; some of it by the relative way."""

    asked = 0

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {"kind": CategoricalDistribution(("a", "b", "c"))}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        Stubborn.asked += 1
        return {"kind": "c"}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        assert param_name == "layers"
        assert trial.params == {"kind": "c"}
        return 6


def test_what_theirs_insists_on_is_changed_in_one_decision() -> None:
    made = optuna.create_study(sampler=OptunaAdapter(SMALL, lambda _: Stubborn()))
    first, *others = run(made, 12, SMALL)
    assert first.decisions == {"kind": "c", "layers": 6}
    near = others[: 2 + 3]  # all that are one decision away
    assert all(sum(a.decisions[path] != first.decisions[path] for path in first.decisions) == 1 for a in near)
    assert len({first, *others}) == 12
    assert Stubborn.asked == 1 + 2 * 11


class Needy(optuna.samplers.RandomSampler):
    def __init__(self, bounds: tuple[int, int], seed: int | None = None) -> None:
        super().__init__(seed)


class Broken(optuna.samplers.RandomSampler):
    def sample_independent(self, *_: Any) -> Any:
        raise ModuleNotFoundError("No module named 'cmaes'", name="cmaes")


class Astray(optuna.samplers.RandomSampler):
    def sample_independent(self, *_: Any) -> Any:
        return 7


def test_errors_say_who_cannot_what() -> None:
    with pytest.raises(SamplerError, match=r"sampler 'Needy': needs bounds; only samplers that need no more than"):
        OptunaAdapter(SMALL, Needy)
    for name in NEEDY:
        with pytest.raises(SamplerError, match=f"sampler 'optuna:{name}': needs "):
            sampler(f"optuna:{name}", SMALL)
    with pytest.raises(SamplerError, match=r"Broken: cannot propose: No module named 'cmaes'\npip install cmaes"):
        optuna.create_study(sampler=OptunaAdapter(SMALL, Broken)).ask()
    with pytest.raises(SamplerError, match=r"kind: Astray proposes none of \['a', 'b', 'c'\]"):
        optuna.create_study(sampler=OptunaAdapter(SMALL, Astray)).ask()
    several = optuna.create_study(directions=["minimize"] * 2, sampler=sampler("optuna:CmaEsSampler", SMALL))
    with pytest.raises(SamplerError, match="CmaEsSampler: cannot propose: .*multi-objective"):
        several.ask()
    several.enqueue_trial({"kind": "a"})
    with pytest.raises(SamplerError, match="CmaEsSampler: cannot propose: .*multi-objective"):
        several.ask()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where OptunaHub looks for what it has downloaded before; nothing is downloaded in tests."""
    import git
    import optunahub

    def fail(**_: Any) -> None:
        raise git.GitCommandError("fetch", 128, "Could not resolve host: github.com")

    monkeypatch.setenv("OPTUNAHUB_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(optunahub.hub, "_download_via_git", fail)
    monkeypatch.setattr(optunahub.hub, "_download_via_github_api", fail)
    return tmp_path / "github.com" / "optuna" / "optunahub-registry" / "main" / "package" / "samplers"


def publish(registry: Path, name: str, text: str) -> None:
    (registry / name).mkdir(parents=True)
    (registry / name / "__init__.py").write_text(text)


def test_a_sampler_of_the_hub(registry: Path) -> None:
    publish(
        registry,
        "evens",
        "import optuna\nfrom optuna.samplers import RandomSampler\n"
        "class EvenSampler(RandomSampler):\n"
        "    def sample_independent(self, study, trial, name, distribution):\n"
        "        return 4 if name == 'layers' else super().sample_independent(study, trial, name, distribution)\n"
        "__all__ = ['EvenSampler']\n",
    )
    asked = run(study("optunahub:evens", SMALL), 12, SMALL)
    assert len(set(asked)) == 12
    assert [a.decisions["layers"] for a in asked[:3]].count(4) >= 2
    assert asked == run(study("optunahub:evens", SMALL), 12, SMALL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "'optunahub:x': cannot be loaded: GitCommandError: (.|\n)*hub.optuna.org/samplers/x/"),
        (
            "import nothing_of_this_name",
            "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("from optuna.samplers import TPESampler", "'optunahub:x': the package has no sampler class; it lists "),
        (
            "from optuna.samplers import RandomSampler\nclass S(RandomSampler):\n    def __init__(self, bounds): ...",
            "sampler 'optunahub:x': needs bounds",
        ),
    ],
    ids=["no network", "missing requirement", "no class", "needs more"],
)
def test_a_package_of_the_hub_that_is_of_no_use(registry: Path, text: str | None, message: str) -> None:
    if text is not None:
        publish(registry, "x", text)
    with pytest.raises(SamplerError, match=message):
        sampler("optunahub:x", SMALL)


def test_without_the_package_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(SamplerError, match=r"'optunahub:x': needs the package optunahub\.\npip install 'nas\[hub\]'"):
        sampler("optunahub:x", SMALL)


def test_seeds_make_a_difference() -> None:
    assert run(study("tpe", SPACE, 1), 5, SPACE) != run(study("tpe", SPACE, 2), 5, SPACE)
    made = OptunaAdapter(SPACE, lambda seed: optuna.samplers.RandomSampler(random.Random(seed).getrandbits(16)), 3)
    assert len(set(run(optuna.create_study(sampler=made), 9, SPACE))) == 9
