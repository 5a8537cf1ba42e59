"""From what is asked to what is kept: one form for every term, read back equal, and named where it differs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import NasError, RunError, TaskError
from nas.objectives.metrics import METRICS
from nas.pipeline.run_config import DEFAULTS, check_same, config_from, described, differences
from nas.pipeline.terms import Terms
from nas.runs.config import RunConfig
from nas.runs.record import RunRecord, record_from
from nas.samplers import SAMPLERS
from nas.targets import TARGETS, LocalTarget, target_values
from nas.training import PROXIES, Augmentation, Training

FOUND: dict[str, Any] = {
    "name": "run", "command": "", "space_file": "s.py", "space_fingerprint": "f", "task_fingerprint": "g",
    "storage": "journal", "versions": {}, "revision": "", "created": "now",
    "output": {"type": "Classification", "labels": ["a", "b"]}, "scores": ("accuracy",),
}  # fmt: skip
"""What a record has besides its terms."""

METRIC = st.sampled_from(sorted(METRICS))
BOUND = st.floats(allow_nan=False, allow_infinity=False)
TRAININGS = st.builds(
    Training,
    epochs=st.integers(1, 99),
    lr=st.floats(1e-5, 1),
    augmentation=st.builds(Augmentation, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 2**31),
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(Path),
        "label": st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=3),
        "objectives": st.lists(METRIC, min_size=1, unique=True),
        "limits": st.lists(st.builds("{}{}{!r}".format, METRIC, st.sampled_from(["<=", ">="]), BOUND)),
        "sampler": st.sampled_from(sorted(SAMPLERS)),
        "screen": st.sampled_from(sorted(PROXIES)),
        "proposals": st.integers(1, 99),
        "training": TRAININGS,
        "epochs": st.integers(1, 99),
        "seed": st.integers(0, 2**31),
        "target": st.sampled_from(sorted(TARGETS)),
        "threads": st.integers(1, 64),
    },
)


def kept(config: RunConfig) -> RunRecord:
    """A config after its journey through `run.json`."""
    return record_from(json.loads(json.dumps(asdict(RunRecord(**(FOUND | vars(config)))), ensure_ascii=False)))


@given(TERMS)
def test_what_is_kept_is_read_back_equal(terms: Any) -> None:
    config = config_from(terms)
    record = kept(config)
    assert {name: getattr(record, name) for name in vars(config)} == vars(config)
    assert kept(record) == record


@given(TERMS, TERMS)
def test_a_run_is_resumed_by_the_terms_it_was_begun_with_or_by_a_part_of_them(begun: Any, other: Any) -> None:
    record = kept(config_from(begun))
    for name in begun:
        assert config_from({name: begun[name]}, record) == record or name in ("training", "seed")
    assert config_from(begun, record) == record
    assert config_from({}, record) == record
    asked = config_from(other, record)
    assert config_from(other, asked) == asked


def test_nothing_that_is_asked_is_the_default_and_none_is_nothing() -> None:
    assert config_from({}) == DEFAULTS
    assert config_from({"seed": None, "label": None, "data": None}) == DEFAULTS
    assert DEFAULTS.training == described(Training())


@pytest.mark.parametrize(
    ("terms", "seed", "training"),
    [
        ({"seed": 3}, 3, Training(seed=3)),
        ({"seed": 3, "epochs": 2}, 3, Training(seed=3, epochs=2)),
        ({"seed": 3, "training": Training(epochs=4)}, 3, Training(epochs=4)),
        ({"training": Training(seed=5), "epochs": 2}, 0, Training(seed=5, epochs=2)),
    ],
    ids=str,
)
def test_epochs_and_seed_change_the_training_unless_it_has_its_own(terms: Terms, seed: int, training: Training) -> None:
    config = config_from(terms)
    assert (config.seed, config.training) == (seed, described(training))


def test_values_have_one_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: Terms = {
        "data": "t.csv", "label": "y", "objectives": ["params"], "limits": [" params <= 9.0 "],
        "sampler": optuna.samplers.TPESampler(),
    }  # fmt: skip
    config = config_from(asked)
    assert config == replace(
        DEFAULTS, data=str(tmp_path / "t.csv"), label=("y",), objectives=("params",), limits=("params<=9",),
        sampler="optuna:TPESampler",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"objectives": ["acuracy"]}, "unknown objective 'acuracy'"),
        ({"limits": ["params"]}, "limit 'params': expected METRIC<=NUMBER"),
        ({"target": "locl"}, "unknown target 'locl'; known: local"),
        ({"threads": 0}, "threads: 0; expected at least 1"),
        ({"screen": "synflo"}, "unknown proxy 'synflo'"),
    ],
    ids=str,
)
def test_a_term_that_is_wrong_by_itself_says_so(terms: Terms, message: str) -> None:
    with pytest.raises(NasError, match=message):
        config_from(terms)


def test_a_built_in_task_has_no_column() -> None:
    with pytest.raises(TaskError, match=r"--task digits --label y: .* expected one of both.\nLeave --task out"):
        config_from({"task": "digits", "label": "y"})


def test_a_label_is_one_column_or_several() -> None:
    assert config_from({"label": "y"}).label == config_from({"label": ["y"]}).label == ("y",)
    assert config_from({"label": ["y", "z"]}).label == ("y", "z")


BEGUN = replace(DEFAULTS, objectives=("accuracy", "latency_ms"))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"seed": 3}, "run: was begun with seed 0, not 3"),
        ({"epochs": 6}, "run: was begun with epochs 10, not 6"),
        ({"training": Training(augmentation=Augmentation(shift=0.5))}, "run: was begun with shift 0.04, not 0.5"),
        ({"limits": ["params<=9"]}, "run: was begun with limits none, not params<=9"),
        ({"screen": "params"}, "run: was begun with screen none, not params"),
        ({"objectives": ["params"]}, "was begun with objectives accuracy, latency_ms, not params"),
    ],
    ids=str,
)
def test_other_terms_are_refused_and_named(terms: Terms, message: str) -> None:
    with pytest.raises(RunError, match=f"{message}.\nGo on with its own terms"):
        check_same(Path("run"), BEGUN, config_from(terms, BEGUN))


def test_data_may_lie_elsewhere() -> None:
    check_same(Path("run"), DEFAULTS, config_from({"data": "/elsewhere"}, DEFAULTS))


def test_a_target_keeps_its_threads_unless_others_are_asked_for() -> None:
    begun = config_from({"threads": 2})
    assert begun.target == target_values(LocalTarget(threads=2))
    assert config_from({"target": "local"}, begun) == begun
    asked = config_from({"threads": 4}, begun)
    assert asked.target == target_values(LocalTarget(threads=4))
    check_same(Path("run"), begun, asked)
    phone = replace(begun, target={**begun.target, "name": "phone"})
    with pytest.raises(RunError, match="was begun with target phone, not local"):
        check_same(Path("run"), phone, config_from({"target": "local"}, phone))


def test_differences_go_into_objects() -> None:
    assert differences("x", {"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == [("c", 2, 3)]
    assert differences("x", {"a": 1}, {}) == [("a", 1, None)]
    assert differences("x", [1], [1]) == []


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"seed": "3"}, "seed: '3'; expected a whole number"),
        ({"seed": 1.5}, "seed: 1.5; expected a whole number"),
        ({"epochs": 0}, "epochs: 0; expected at least 1"),
        ({"epochs": 3.0}, "epochs: 3.0; expected a whole number"),
        ({"threads": "2"}, "threads: '2'; expected a whole number"),
        ({"proposals": 0}, "proposals: 0; expected at least 1"),
        ({"training": {"epochs": 1}}, "training: .*; expected a Training"),
    ],
)
def test_what_is_asked_in_python_is_checked_as_on_the_command_line(terms: Any, said: str) -> None:
    with pytest.raises(NasError, match=said):
        config_from(terms)


def test_numbers_of_numpy_and_single_texts_are_taken() -> None:
    terms: Any = {"seed": np.int64(3), "epochs": np.int64(4), "objectives": "accuracy", "limits": "params<=9"}
    config = config_from(terms)
    assert (config.seed, config.training["epochs"]) == (3, 4)
    assert (config.objectives, config.limits) == (("accuracy",), ("params<=9",))
    assert json.loads(json.dumps(config.training)) == config.training
