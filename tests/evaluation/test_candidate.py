"""A network, its passes and its recipe: one description, evaluated to one file, whose way can be gone again."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import Candidate, Space, choose, maybe
from nas.blocks import MLP, Dense, Input, Network, count_params, limit
from nas.compression import Pass, Prune, Quantize
from nas.errors import CompressionError, NasError, TrainingError
from nas.evaluation.assess import assess
from nas.evaluation.build import build
from nas.evaluation.candidate import candidate_of
from nas.evaluation.context import EvaluationContext, EvaluationJob
from nas.evaluation.evaluator import evaluate
from nas.evaluation.outcome import Outcome
from nas.formats.onnx_export import compare
from nas.formats.onnx_file import run_onnx
from nas.objectives.objective import parse_limit
from nas.pipeline.compress import load_stages
from nas.pipeline.context import WorkerContext
from nas.runs.models import Model, stages, write_model
from nas.targets import Latency, LocalTarget
from nas.tasks import Classification, Task
from nas.tasks.task import Modality, Split
from nas.training import Recipe, Training

HALF, EIGHT = Prune(0.5), Quantize()
NETWORK = Network({"table": Dense(32)}, head=MLP(32))


def split(n: int) -> Split:
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32)
    return Split({"table": x}, (x[:, 0] > 0).astype(np.int64))


TASK = Task("made", {"table": Modality("vector", (6,), 0.0, 1.0, {})}, Classification(("no", "yes")), split(128),
            split(64), split(64))  # fmt: skip
SPACE = Space(
    Candidate(
        Network({"table": Dense(choose(8, 16))}),
        passes=choose(none=(), int8=(EIGHT,), both=(Prune(ratio=choose(0.25, 0.5)), EIGHT)),
        training=Recipe(lr=choose(1e-3, 4e-3), epochs=choose(1, 2)),
    )
)


def evaluated(described: Any, folder: Path, *limits: str) -> Outcome:
    measured: list[Path] = []

    def measure(paths: Sequence[Path]) -> Sequence[Latency]:
        measured.extend(paths)
        ms = [path.stat().st_size / 1e4 for path in paths]
        return [Latency(t, (t, t), t, t, 1.0, 1.0, 8, "good", 10, 10, {}) for t in ms]

    context = EvaluationContext(TASK, Training(epochs=2), tuple(parse_limit(text) for text in limits), measure)
    return evaluate(EvaluationJob(described, {}, folder), context)


def test_a_space_has_choices_in_all_three_parts() -> None:
    assert SPACE.size == 2 * (1 + 1 + 2) * 2 * 2
    paths = {path for architecture in SPACE.enumerate() for path in architecture.decisions}
    assert paths == {"network.encoders.table.width", "passes", "passes.both.0.ratio", "training.lr", "training.epochs"}
    assert len(set(SPACE.enumerate())) == SPACE.size
    for architecture in SPACE.enumerate():
        assert SPACE.architecture(architecture.decisions) == architecture
        assert candidate_of(architecture.network).chain in (
            (), (EIGHT,), (Prune(0.25), EIGHT), (HALF, EIGHT)
        )  # fmt: skip
    rng = random.Random(0)
    assert SPACE.mutate(SPACE.sample(rng), rng).decisions


def test_equal_networks_with_other_passes_or_training_are_others() -> None:
    described = choose(
        plain=NETWORK, wrapped=Candidate(NETWORK), empty=Candidate(NETWORK, (None, ()), Recipe()),
        int8=Candidate(NETWORK, (EIGHT,)), maybe=Candidate(NETWORK, (None, [EIGHT])),
        pruned=Candidate(NETWORK, (HALF,)), slow=Candidate(NETWORK, training=Recipe(lr=1e-3)),
    )  # fmt: skip
    keys = {str(each.decisions["network"]): each.key for each in Space(described).enumerate()}
    assert keys["plain"] == keys["wrapped"] == keys["empty"]
    assert keys["int8"] == keys["maybe"]
    assert len(set(keys.values())) == 4


def test_passes_may_be_left_out() -> None:
    space = Space(Candidate(NETWORK, passes=(maybe(HALF), maybe(EIGHT))))
    chains = [candidate_of(each.network).chain for each in space.enumerate()]
    assert chains == [(), (EIGHT,), (HALF,), (HALF, EIGHT)]


def test_a_network_costs_what_it_is_described_as() -> None:
    network = Network({"t": Dense(choose(8, 64))}, inputs={"t": Input((6,))}, outputs=2)
    space = Space(Candidate(network, (EIGHT,)), {"small": limit("params", 200)})
    assert [each.network.network.encoders["t"].width for each in space.enumerate()] == [8]
    assert "smallest" in space.describe()


@pytest.mark.parametrize(
    ("described", "error", "message"),
    [
        (3, TrainingError, "the space resolves to int; expected a Network or a Candidate"),
        (Candidate(3), TrainingError, "the space resolves to Candidate; expected a Network or a Candidate"),  # pyright: ignore
        (Candidate(NETWORK, training=Training()), TrainingError, "is a Training; expected a Recipe"),  # pyright: ignore
        (Candidate(NETWORK, ("int8",)), CompressionError, "Candidate.passes: 'int8'; expected passes"),  # pyright: ignore
        (Candidate(NETWORK, (EIGHT, HALF)), CompressionError, r"chain \(int8, prune50\): goes on after int8"),
    ],
)
def test_what_is_no_candidate_is_refused(described: Any, error: type[NasError], message: str) -> None:
    with pytest.raises(error, match=message):
        candidate_of(described)


def test_the_recipe_overrides_the_runs_training(tmp_path: Path) -> None:
    evaluated(Candidate(NETWORK, training=Recipe(epochs=3)), tmp_path / "0")
    assert len((tmp_path / "0" / "history.csv").read_text().splitlines()) == 1 + 3
    same = [evaluated(each, tmp_path / "n").metrics for each in (NETWORK, Candidate(NETWORK))]
    assert same[0]["accuracy"] == same[1]["accuracy"]
    assert (tmp_path / "n" / "model.onnx").read_bytes()
    assert not (tmp_path / "n" / "stages").exists()


@pytest.mark.parametrize("passes", [(HALF,), (EIGHT,), (HALF, EIGHT), (Prune(0.25), HALF)])
def test_what_is_scored_and_kept_is_what_the_passes_made(passes: tuple[Pass, ...], tmp_path: Path) -> None:
    folder = tmp_path / "0-refined"
    outcome = evaluated(Candidate(NETWORK, passes), folder)
    assert outcome.state == "complete", outcome.reason
    file, metrics = folder / "model.onnx", outcome.metrics
    assert metrics["size_bytes"] == file.stat().st_size < (folder / "stages" / "0" / "model.onnx").stat().st_size
    assert metrics["latency_ms"] == file.stat().st_size / 1e4
    assert metrics["accuracy"] == assess(file, TASK.output, {"": TASK.valid})["accuracy"]
    assert metrics["params"] == count_params(build(NETWORK, TASK, 0))
    assert ("agreement" in metrics) == (EIGHT in passes)
    assert ("compressed_params" in metrics) == (passes != (EIGHT,))
    assert sorted(p.name for p in (folder / "stages").iterdir()) == [str(n) for n in range(len(passes))]
    assert not (folder / "untrained").exists()

    model = write_model(folder, Model("0-refined", 0, "refined", passes, None, {}, metrics, folder))
    source = "from nas import Space\nfrom test_candidate import NETWORK\nspace = Space(NETWORK)"
    context = WorkerContext(source, tmp_path / "s.py", TASK, LocalTarget(), Training(), (), tmp_path)
    way = stages(model)
    assert [each.passes for each in way] == [passes[:n] for n in range(len(passes) + 1)]
    for number, each in enumerate(way):
        if EIGHT in each.passes:
            continue
        network = load_stages(context, way[: number + 1])
        assert compare(network, each.folder / "model.onnx", TASK.valid.inputs).max_rel <= 1e-4
        assert each.metrics["sha256"]


def test_limits_on_size_and_latency_are_held_against_what_passes_make(tmp_path: Path) -> None:
    wide = Network({"table": Dense(64, 2)}, head=MLP(64))
    large = evaluated(wide, tmp_path / "0").metrics["size_bytes"]
    small = evaluated(Candidate(wide, (EIGHT,)), tmp_path / "1").metrics["size_bytes"]
    assert small < large
    between = f"size_bytes<={(small + large) // 2}"
    assert evaluated(Candidate(wide, (EIGHT,)), tmp_path / "2", between).state == "complete"
    assert evaluated(wide, tmp_path / "3", between).state == "infeasible"
    below = evaluated(Candidate(wide, (EIGHT,)), tmp_path / "4", f"size_bytes<={small - 200}")
    assert below.state == "infeasible"
    assert "train_s" not in below.metrics
    timed = evaluated(Candidate(wide, (HALF, EIGHT)), tmp_path / "5", f"latency_ms<={large / 1e4 * 0.9}")
    assert timed.state == "complete"
    assert timed.metrics["latency_untrained_ms"] == pytest.approx(timed.metrics["latency_ms"], rel=0.05)
    assert not (tmp_path / "5" / "untrained").exists()


def test_the_same_candidate_gives_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        evaluated(Candidate(NETWORK, (HALF, EIGHT), Recipe(lr=1e-3)), tmp_path / name)
    first, second = (run_onnx(tmp_path / name / "model.onnx", TASK.valid.inputs) for name in "ab")
    assert np.array_equal(first, second)
    stage = json.loads((tmp_path / "a" / "stages" / "1" / "metrics.json").read_text())
    assert {"accuracy", "size_bytes", "sha256"} <= set(stage)
