"""The card: every number, what other languages need, and nothing from data that acts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import RECORD

from nas.compression import Quantize
from nas.deploy.card import LISTED, number, text, write_card
from nas.deploy.proof import Proof
from nas.runs.models import Model
from nas.tasks import Classification, Split, Task

HOSTILE = "a|b`c`<script>x</script>[d](http://e.f)\n# g **h** ![i](j) www.k.l \x1b[2J $m$"
METRICS: dict[str, Any] = {
    "accuracy": 0.9, "test_accuracy": 0.8, "latency_ms": 0.5, "latency_interval_ms": [0.5, 0.6],
    "latency_quality": "good", "p50_ms": 0.7, "p95_ms": 0.9, "size_bytes": 1234, "params": 77, "macs": 88,
    "device": {"batch": 1, "threads": 1, "onnxruntime": "1.32.0", "cpu": "AMD"},
}  # fmt: skip
BUNDLE: dict[str, Any] = {
    "output": {"type": "Classification", "labels": ["no", "yes"]},
    "modalities": {
        "table": {
            "preprocessing": {
                "files": [".npy", ".csv"],
                "columns": [{"name": "age", "fill": 41.5}, {"name": "colour", "levels": [f"c{k}" for k in range(30)]}],
            },
            "optional": False,
        }
    },
    "tensors": {
        "inputs": [{"name": "table", "type": "tensor(float)", "shape": ["batch", 31]}],
        "outputs": [{"name": "logits", "type": "tensor(float)", "shape": ["batch", 2]}],
    },
    "sha256": "ab" * 32,
    "oldest_onnxruntime": "1.17.0",
    "prepare_ms": 0.0321,
    "prepared": {"table": ".json"},
}
PROOF = Proof(1e-7, 60, 1e-4, 0.95, {"accuracy": 0.9, "test_accuracy": 0.8})


def task(name: str = "t.csv:kind", attribution: str = "") -> Task:
    split = Split({"table": np.zeros((60, 31), np.float32)}, np.zeros(60, np.int64))
    return Task(name, {}, Classification(("no", "yes")), split, split, split, attribution)


def card(**changes: Any) -> str:
    model = Model("1-refined", 1, "refined", (), None, {"head.hidden": 16}, METRICS, Path())
    given: dict[str, Any] = {"record": RECORD, "task": task(), "model": model, "twin": model, "proof": PROOF}
    return write_card(**given | {"bundle": BUNDLE} | changes)


@pytest.mark.parametrize(
    "line",
    [
        "python predict.py table=table.csv",
        "numpy and onnxruntime only, 1.17.0 or newer",
        "| age | number | a number; where it is missing 41.5 |",
        "| input | table | tensor(float) | batch × 31 |",
        "| output | logits | tensor(float) | batch × 2 |",
        "**logits**: probabilities are their softmax, and the largest is the answer. Labels, in their order: no, yes.",
        f"(SHA-256 `{'ab' * 32}`)",
        "| median, 95th percentile | 0.7000, 0.9000 ms |",
        "| preparation, besides | 0.0321 ms | from files (table .json) to",
        "| validation accuracy | 0.9000 | this file in ONNX Runtime, 60 samples",
        "| head.hidden | 16 |",
    ],
)
def test_what_a_card_says(line: str) -> None:
    assert line in card()


def test_long_columns_are_cut_aloud() -> None:
    said = card()
    assert f"c{LISTED - 1}, … (bundle.json has all) |" in said
    assert "one number for each of 30 levels" in said
    assert f"c{LISTED}," not in said


def test_a_quantized_model_stands_beside_its_twin() -> None:
    twin = Model("1-refined", 1, "refined", (), None, {}, {**METRICS, "latency_ms": 1.0, "size_bytes": 4000}, Path())
    ratios = {"bytes_ratio": 0.3, "time_ratio": 0.5, "pass_time_ratio": 0.5, "sha256": "x"}
    model = replace(twin, name="1-refined-int8", passes=(Quantize(),), metrics={**METRICS, **ratios})
    said = card(model=model, twin=twin)
    assert "says of 95.0 % of the validation samples the same as that twin" in said
    assert "| latency | 0.5000 ms | 1.0000 ms; measured in turns, the file takes 0.50 of its time |" in said
    assert "| size | 1234 bytes | 4000 bytes |" in said
    assert "as when it was made" in said
    assert "32 bits |" not in card()


class Hostile(Quantize):
    """A pass whose label would act."""

    @property
    def label(self) -> str:
        return HOSTILE


def test_nothing_from_data_or_names_acts() -> None:
    modality = {
        "preprocessing": {"files": [".npy"], "values": HOSTILE, "columns": [{"name": HOSTILE, "levels": [HOSTILE]}]},
        "optional": True,
    }
    tensors = {side: [{"name": HOSTILE, "type": HOSTILE, "shape": [HOSTILE]}] for side in ("inputs", "outputs")}
    bundle = {
        **BUNDLE,
        "output": {"type": "Classification", "labels": [HOSTILE]},
        "modalities": {HOSTILE: modality},
        "tensors": tensors,
    }
    bundle |= {"prepared": {HOSTILE: HOSTILE}, "oldest_onnxruntime": HOSTILE}
    device = {**METRICS["device"], "cpu": HOSTILE, "onnxruntime": HOSTILE}
    metrics = {**METRICS, "device": device, "latency_quality": HOSTILE}
    model = Model(HOSTILE, 1, "refined", (Hostile(),), None, {HOSTILE: HOSTILE}, metrics, Path())
    record = replace(RECORD, name=HOSTILE, task=HOSTILE, created=HOSTILE, revision=HOSTILE, versions={HOSTILE: HOSTILE})
    said = card(
        record=record, task=task(HOSTILE, HOSTILE), model=model, twin=replace(model, name=HOSTILE * 2), bundle=bundle
    )
    block = said[said.index("```") : said.rindex("```")]
    outside = said.replace(block, "")
    assert "\x1b" not in said
    assert "\n# g" not in said
    for sign in ("<script", "http://", "www.", "![i]", "**h**", "[d]", "$m$", "|b", "`c`"):
        assert not re.search(rf"(?<!\\){re.escape(sign)}", outside), sign
    assert len(block.splitlines()) == 2


def test_a_plain_text_stays() -> None:
    assert text("encoders.table.width 3-refined, 0.5 (Grün)") == "encoders.table.width 3-refined, 0.5 (Grün)"


def test_what_is_unknown_is_a_dash() -> None:
    assert [number(value, ".2f") for value in (1, float("nan"), None, "x")] == ["1.00", "–", "–", "–"]
