"""What is said of trials and models in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import RECORD

from nas.compression import Pass, Prune, Quantize
from nas.report.progress import SearchProgress, describe, listed, pace, scores_text, what_passes_brought
from nas.runs.ledger import Trial, create_ledger
from nas.runs.models import Model
from nas.terminal import Terminal


def model(*passes: Pass, **metrics: Any) -> Model:
    values = {"latency_quality": "good", "pass_bytes_ratio": 0.4, "pass_time_ratio": 1.3, "bytes_ratio": 0.2,
              "time_ratio": 0.9}  # fmt: skip
    return Model("m", 0, "compressed", passes, "p", {}, values | metrics, Path())


def test_a_pass_that_is_slower_here_is_called_slower() -> None:
    assert what_passes_brought(model(Quantize())) == "; int8 here: 0.40 of the bytes, 1.30 of the time, slower"


def test_a_chain_tells_its_last_pass_and_all_together() -> None:
    text = what_passes_brought(model(Prune(0.5), Quantize(), pass_time_ratio=0.7))
    assert text == (
        "; int8 here: 0.40 of the bytes, 0.70 of the time, faster; all passes: 0.20 of the bytes, 0.90 of the time"
    )


def test_a_ratio_of_noisy_times_says_so() -> None:
    assert what_passes_brought(model(Quantize(), latency_quality="noisy")).endswith("slower (noisy)")


def test_a_model_without_passes_has_nothing_to_tell() -> None:
    assert what_passes_brought(Model("m", 0, "refined", (), None, {}, {"accuracy": 1.0}, Path())) == ""


@pytest.mark.parametrize(("ratio", "word"), [(0.97, "faster"), (0.99, "as fast"), (1.01, "as fast"), (1.03, "slower")])
def test_pace(ratio: float, word: str) -> None:
    assert pace(ratio) == word


def test_what_is_to_be_said_of_the_data_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = create_ledger(tmp_path / "run", replace(RECORD, notes=("column 'x' is left out: it is constant.",)), "")
    trial = Trial(0, "failed", {}, {}, "TrainingError: \x1b[2Jno")
    with SearchProgress(Terminal(), 3, None, as_json=False) as progress:
        progress.on_trial(ledger, trial)
        progress.on_trial(ledger, trial)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "note: column 'x' is left out: it is constant."
    assert [line.partition(";")[0] for line in said[1:]] == ["0/3 trial 0 failed: TrainingError: \\x1b[2Jno"] * 2


def test_a_noisy_latency_is_marked() -> None:
    metrics = {"latency_ms": 0.07, "latency_quality": "noisy", "p50_ms": 0.1, "size_bytes": 12345, "params": None}
    names = ("latency_ms", "p50_ms", "size_bytes", "params", "macs")
    assert listed(metrics, names) == "latency ~0.0700 ms, p50 0.1000 ms, size 12,345 bytes"
    assert describe(Trial(3, "complete", {}, metrics), ("latency_ms",)) == "trial 3: latency ~0.0700 ms"


def test_scores_stand_beside_those_over_seeds_and_on_test_data() -> None:
    metrics = {"accuracy": 0.9, "accuracy_mean": 0.8, "accuracy_std": 0.1, "test_accuracy": 0.7, "latency_ms": 1.0}
    assert scores_text(metrics, RECORD) == "accuracy 0.9000 (seeds 0.8000 ± 0.1000), test 0.7000, latency 1.0000 ms"
    assert scores_text({"accuracy": 0.9}, RECORD) == "accuracy 0.9000"
