"""The contract of every output: sizes, losses, scores, agreement, decoding, JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from nas.errors import TaskError
from nas.objectives.metrics import metric
from nas.runtime.outputs import answer, lines
from nas.tasks import Binary, Classification, Embedding, MultiLabel, MultiTask, Output, Regression, output_from

CASES: dict[str, Output] = {
    "Classification": Classification(("a", "b", "c")),
    "Binary": Binary(("no", "yes")),
    "MultiLabel": MultiLabel(("red", "green", "blue")),
    "Regression": Regression(100.0, 20.0),
    "Embedding": Embedding(4),
    "MultiTask": MultiTask(
        {"price": Regression(5.0, 2.0), "kind": Classification(("x", "y")), "on": Binary(("n", "y"))}
    ),
}
every_output = pytest.mark.parametrize("output", CASES.values(), ids=CASES)
N = 40


def targets_of(output: Output, seed: int = 0) -> NDArray[Any]:
    """Random targets in the form that an output takes."""
    rng = np.random.default_rng(seed)
    match output:
        case Classification() | Binary():
            return rng.integers(0, len(output.labels), N)
        case MultiLabel():
            return rng.integers(0, 2, (N, len(output.labels))).astype(np.float32)
        case Regression():
            return rng.normal(output.mean, output.std, N).astype(np.float32)
        case MultiTask():
            return np.stack([targets_of(part, seed) for part in output.parts.values()], axis=1).astype(np.float32)
        case _:
            return rng.integers(0, 3, N)


def perfect(output: Output, targets: NDArray[Any]) -> NDArray[np.float32]:
    """What a network gives that knows the targets."""
    match output:
        case Classification():
            return 20 * np.eye(len(output.labels), dtype=np.float32)[targets.astype(int)]
        case Binary():
            return (40 * targets[:, None] - 20).astype(np.float32)
        case MultiLabel():
            return 40 * targets - 20
        case Regression():
            return ((targets[:, None] - output.mean) / output.std).astype(np.float32)
        case MultiTask():
            parts = output.parts.values()
            return np.concatenate([perfect(part, targets[:, i]) for i, part in enumerate(parts)], axis=1)
        case _:
            return np.eye(output.size, dtype=np.float32)[targets]


def guessed(output: Output, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(N, output.size)).astype(np.float32)


@every_output
def test_metrics_are_in_the_registry_the_main_one_first(output: Output) -> None:
    assert output.main == output.scores[0]
    assert all(metric(name).stage == "trained" for name in output.scores)
    assert tuple(output.score(guessed(output), targets_of(output))) == output.scores
    assert metric(output.rate).direction == "maximize"


@every_output
def test_who_knows_the_targets_is_best(output: Output) -> None:
    targets = targets_of(output)
    best, other = output.score(perfect(output, targets), targets), output.score(guessed(output), targets)
    for name in output.scores:
        known, guess = best[name], other[name]
        assert known > guess if metric(name).direction == "maximize" else known < guess
    assert best[output.rate] == pytest.approx(1)
    assert all(type(value) is float for value in best.values())


@every_output
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_least_where_targets_are_known(output: Output, smoothing: float) -> None:
    targets = targets_of(output)
    true = torch.from_numpy(targets)
    known = output.loss(torch.from_numpy(perfect(output, targets)), true, smoothing)
    guess = torch.from_numpy(guessed(output)).requires_grad_()
    loss = output.loss(guess, true, smoothing)
    loss.backward()
    assert loss.ndim == 0
    assert guess.grad is not None
    assert torch.isfinite(guess.grad).all()
    assert known < loss or smoothing  # of certain answers smoothed targets are far


@every_output
def test_the_loss_of_mixed_samples_lies_between(output: Output) -> None:
    """As mixup weighs it: a share of the loss to the own targets, the rest to those of the partners."""
    own, others = torch.from_numpy(targets_of(output)), torch.from_numpy(targets_of(output, 5))
    outputs = torch.from_numpy(guessed(output))
    first, second = output.loss(outputs, own), output.loss(outputs, others)
    mixed = 0.3 * first + (1 - 0.3) * second
    assert min(first, second) <= mixed + 1e-6
    assert mixed - 1e-6 <= max(first, second)


@every_output
def test_networks_agree_with_themselves_and_not_with_others(output: Output) -> None:
    outputs = guessed(output)
    assert output.agreement(outputs, outputs) == 1.0
    assert output.agreement(outputs, guessed(output, 9)) < 0.9


@every_output
def test_what_is_decoded_can_be_told(output: Output) -> None:
    rows = output.decode(guessed(output))
    assert len(rows) == N
    description = json.loads(json.dumps(output.description))
    for row in rows:
        said = answer(description, row)
        assert json.loads(json.dumps(said)) == said
        told = lines(description, said, 2)
        assert len(told) == (3 if isinstance(output, MultiTask) else 1)
        assert all(told)


@every_output
def test_a_description_is_read_back_equal(output: Output) -> None:
    assert output_from(json.loads(json.dumps(output.description))) == output


@every_output
def test_columns_are_those_of_the_targets(output: Output) -> None:
    targets = targets_of(output)
    assert output.columns == (1 if targets.ndim == 1 else targets.shape[1])


names = st.text(min_size=1, max_size=8)
labels = st.lists(names, min_size=2, max_size=5, unique=True).map(tuple)
numbers = st.floats(-1e6, 1e6)
single = st.one_of(
    labels.map(Classification),
    labels.map(lambda found: Binary((found[0], found[1]))),
    labels.map(MultiLabel),
    st.builds(Regression, numbers, st.floats(1e-6, 1e6)),
    st.builds(Embedding, st.integers(1, 64), st.floats(0.01, 1)),
)
outputs = st.one_of(single, st.dictionaries(names, single, min_size=2, max_size=3).map(MultiTask))


@given(outputs)
def test_every_description_is_read_back_equal(output: Output) -> None:
    again = output_from(json.loads(json.dumps(output.description)))
    assert again == output
    assert (again.size, again.scores, again.columns) == (output.size, output.scores, output.columns)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TaskError, match="unknown output 'Clasification'; known: .*Did you mean 'Classification'"):
        output_from({"type": "Clasification"})


@pytest.mark.parametrize("smoothing", [0.0, 0.05])
def test_classes_are_learnt_by_cross_entropy_to_the_last_digit(smoothing: float) -> None:
    output, targets = CASES["Classification"], torch.from_numpy(targets_of(CASES["Classification"]))
    logits = torch.from_numpy(guessed(output))
    assert torch.equal(
        output.loss(logits, targets, smoothing), F.cross_entropy(logits, targets, label_smoothing=smoothing)
    )


def test_numbers_are_scored_in_the_unit_of_the_data() -> None:
    output = Regression(100.0, 20.0)
    scores = output.score(np.float32([[0.5], [-1.0]]), np.float32([110, 90]))
    assert scores == pytest.approx({"rmse": 50**0.5, "mae": 5.0, "r2": 0.5})
    assert output.score(np.float32([[0.0]]), np.float32([100]))["r2"] == 0.0
    assert output.decode(np.float32([[0.5]])).tolist() == [[110.0]]
    assert lines(output.description, answer(output.description, np.array([110.0])), 3) == ["110"]


def test_several_outputs_are_told_by_name() -> None:
    output = MultiTask({"price": Regression(5.0, 2.0), "kind": Classification(("x", "y"))})
    (row,) = output.decode(np.float32([[1.0, 0.0, 0.0]]))
    said = answer(output.description, row)
    assert said == {"price": {"value": 7.0}, "kind": {"x": 0.5, "y": 0.5}}
    assert lines(output.description, said, 1) == ["price: 7", "kind: x 50.0%"]
    assert output.scores == ("mean_score", "rmse:price", "mae:price", "r2:price", "accuracy:kind")


def test_a_mean_score_is_that_of_what_grows_with_quality() -> None:
    output = CASES["MultiTask"]
    scores = output.score(guessed(output), targets_of(output))
    assert scores["mean_score"] == pytest.approx(
        np.mean([scores["r2:price"], scores["accuracy:kind"], scores["accuracy:on"]])
    )
