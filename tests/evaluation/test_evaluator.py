"""One candidate, cheap before dear: what is measured when, and what a noisy measurement may decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nas import module
from nas.blocks import Dense, Network
from nas.evaluation.assess import Measure
from nas.evaluation.build import build
from nas.evaluation.context import EvaluationContext, EvaluationJob
from nas.evaluation.evaluator import evaluate
from nas.evaluation.outcome import Outcome
from nas.formats.onnx_export import compare
from nas.formats.weights import WEIGHTS_FILE, load_weights
from nas.objectives.objective import parse_limit
from nas.targets import Latency, LocalTarget
from nas.tasks import Classification, Task
from nas.tasks.task import Modality, Split
from nas.training import Training


def split(n: int) -> Split:
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    return Split({"table": x}, (x[:, 0] > 0).astype(np.int64))


TASK = Task("made", {"table": Modality("vector", (6,), 0.0, 1.0, {})}, Classification(("no", "yes")), split(128),
            split(64), split(64))  # fmt: skip


def job(folder: Path) -> EvaluationJob:
    return EvaluationJob(Network({"table": Dense(8)}), {}, folder)


def latency(ms: float, quality: str = "good") -> Latency:
    return Latency(ms, (ms, ms), ms, ms, 1.0, 1.0, 8, quality, 10, 10, {"cpu": "made"})


def meter(given: Iterator[Latency], calls: list[Path]) -> Measure:
    def measure(paths: Sequence[Path]) -> Sequence[Latency]:
        calls.extend(paths)
        return [next(given) for _ in paths]

    return measure


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[Outcome, int]]:
    def evaluated(latencies: Sequence[Latency], *limits: str) -> tuple[Outcome, int]:
        calls: list[Path] = []
        bounds = tuple(parse_limit(text) for text in limits)
        network = Network({"table": Dense(8)})
        measure = meter(iter(latencies), calls)
        context = EvaluationContext(TASK, Training(epochs=1), bounds, measure)
        outcome = evaluate(EvaluationJob(network, {}, tmp_path / "0"), context)
        return outcome, len(calls)

    return evaluated


def test_the_file_that_ships_is_measured_once(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(1.0)])
    assert calls == 1
    assert outcome.metrics["latency_ms"] == 1.0
    assert "latency_untrained_ms" not in outcome.metrics


def test_a_limit_on_latency_is_held_before_training_and_after(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(1.0), latency(3.0)], "latency_ms<=2")
    assert calls == 2
    assert outcome.state == "infeasible"
    assert (outcome.metrics["latency_untrained_ms"], outcome.metrics["latency_ms"]) == (1.0, 3.0)
    assert "accuracy" in outcome.metrics


def test_what_breaks_a_limit_is_never_trained(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(3.0)], "latency_ms<=2")
    assert (outcome.state, calls) == ("infeasible", 1)
    assert "accuracy" not in outcome.metrics


def test_a_noisy_latency_refuses_nothing_before_training(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(3.0, "noisy"), latency(1.5)], "latency_ms<=2")
    assert (outcome.state, calls) == ("complete", 2)
    assert outcome.metrics["latency_ms"] == 1.5


def test_a_noisy_latency_refuses_nothing_after_training(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(1.0), latency(3.0, "noisy")], "latency_ms<=2")
    assert (outcome.state, calls) == ("complete", 2)
    outcome, _ = run([latency(1.0), latency(3.0, "noisy")], "latency_ms<=2", "params<=1")
    assert outcome.state == "infeasible"


def test_without_a_limit_a_noisy_latency_is_kept_as_such(run: Callable[..., tuple[Outcome, int]]) -> None:
    outcome, calls = run([latency(3.0, "noisy")])
    assert (outcome.state, calls) == ("complete", 1)
    assert outcome.metrics["latency_quality"] == "noisy"


def test_the_trained_file_is_the_one_that_is_measured(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def measure(paths: Sequence[Path]) -> Sequence[Latency]:
        seen.extend(path.read_bytes() for path in paths)
        return LocalTarget(patience_s=0.2).measure(paths)

    folder = tmp_path / "0"
    context = EvaluationContext(TASK, Training(epochs=1), (), measure)
    outcome = evaluate(EvaluationJob(Network({"table": Dense(8)}), {}, folder), context)
    assert seen == [(folder / "model.onnx").read_bytes()]
    assert outcome.metrics["latency_ms"] > 0


class Shy(nn.Module):
    """A user's encoder that stands neither shapes without values nor a single zero; with or without a tie in it."""

    def __init__(self, shape: tuple[int, ...], shy: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(shape[0], shape[0]), nn.Linear(shape[0], shape[0])
        self.second.weight = self.first.weight
        self.shy = shy

    def forward(self, x: Tensor) -> Tensor:
        if self.shy and len(x) == 1 and not torch.onnx.is_in_onnx_export() and not x.any():
            raise ValueError("nothing to see")
        return self.second(self.first(x).relu())


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Outcome]:
    def evaluated(shy: bool, *limits: str) -> Outcome:
        network = Network({"table": module(Shy, shy=shy)})
        bounds = tuple(parse_limit(text) for text in limits)
        measure = meter(iter([latency(1.0)] * 2), [])
        context = EvaluationContext(TASK, Training(epochs=1), bounds, measure)
        return evaluate(EvaluationJob(network, {}, tmp_path / "0"), context)

    return evaluated


def test_tied_weights_are_trained_and_shared_on_disk(own: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = own(False)
    assert outcome.state == "complete"
    assert outcome.metrics["macs"] == 2 * 6 * 6 + 2 * 6
    again = build(Network({"table": module(Shy, shy=False)}), TASK, 1)
    load_weights(again, tmp_path / "0" / WEIGHTS_FILE)
    found = compare(again.eval(), tmp_path / "0" / "model.onnx", TASK.valid.inputs)
    assert found.max_rel < 1e-5


def test_what_cannot_be_counted_is_unknown_and_trained(own: Callable[..., Outcome]) -> None:
    outcome = own(True)
    assert outcome.state == "complete"
    assert "macs" not in outcome.metrics
    assert outcome.metrics["params"] == 6 * 6 + 2 * 6 + 6 * 2 + 2


def test_what_cannot_be_counted_meets_no_limit_on_it_and_is_not_trained(own: Callable[..., Outcome]) -> None:
    outcome = own(True, "macs<=1e9")
    assert (outcome.state, outcome.reason) == ("infeasible", "breaks macs<=1000000000 (unknown)")
    assert "accuracy" not in outcome.metrics
    assert own(True, "params<=1000").state == "complete"


def test_without_a_meter_nothing_is_timed(tmp_path: Path) -> None:
    outcome = evaluate(job(tmp_path / "0"), EvaluationContext(TASK, Training(epochs=1)))
    assert outcome.state == "complete"
    assert {"accuracy", "size_bytes"} <= outcome.metrics.keys()
    assert not {"latency_ms", "measure_s", "device"} & outcome.metrics.keys()


def test_each_epoch_is_told_and_training_ends_where_it_hears_no(tmp_path: Path) -> None:
    heard: list[tuple[int, list[str]]] = []

    def report(epoch: int, metrics: Mapping[str, float]) -> bool:
        heard.append((epoch, sorted(metrics)))
        return epoch < 1

    outcome = evaluate(job(tmp_path / "0"), EvaluationContext(TASK, Training(epochs=5)), report)
    assert (outcome.state, (tmp_path / "0").exists()) == ("stopped", False)
    assert heard == [(0, ["loss", "valid_accuracy"]), (1, ["loss", "valid_accuracy"])]


def test_training_begins_with_the_weights_that_fit(tmp_path: Path) -> None:
    still = Training(epochs=1, lr=0.0, weight_decay=0.0)
    first = evaluate(job(tmp_path / "0"), EvaluationContext(TASK, still))
    other = replace(job(tmp_path / "1"), initial=tmp_path / "0" / WEIGHTS_FILE)
    again = evaluate(other, EvaluationContext(TASK, replace(still, seed=7)))
    assert again.metrics["initial_tensors"] > 0
    assert again.metrics["accuracy"] == first.metrics["accuracy"]
    begun, taken = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("0", "1"))
    assert all(torch.equal(begun[name], taken[name]) for name in begun if name.endswith("weight"))


def test_memory_is_planned_where_it_is_wanted_and_bounded_before_training(tmp_path: Path) -> None:
    context = EvaluationContext(TASK, Training(epochs=1), wanted=frozenset({"peak_memory_bytes"}))
    found = evaluate(job(tmp_path / "0"), context).metrics
    assert found["peak_memory_bytes"] > 4 * found["params"]
    bound = replace(context, limits=(parse_limit("peak_memory_bytes<=100"),))
    refused = evaluate(job(tmp_path / "1"), bound)
    assert (refused.state, "train_s" in refused.metrics) == ("infeasible", False)
    assert "peak_memory_bytes" not in evaluate(job(tmp_path / "2"), replace(context, wanted=frozenset())).metrics
