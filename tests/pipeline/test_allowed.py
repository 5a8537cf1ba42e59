"""A search of candidates that hang, grow, or never end: each becomes its reason, once, and the others go on."""

from __future__ import annotations

from pathlib import Path

from nas.pipeline.search import search

SPACE = """
import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from nas import Space, choose
from nas.blocks import Network

STARTED = Path({started!r})


class Greedy(nn.Module):
    def __init__(self, how: str, features: int) -> None:
        super().__init__()
        self.how, self.linear, self.held = how, nn.Linear(features, 8), []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and not torch.onnx.is_in_onnx_export():
            if self.how in ("hangs", "grows"):
                (STARTED / f"{{self.how}}-{{time.monotonic_ns()}}").touch()
            if self.how == "hangs":
                re.match("(a+)+$", "a" * 64 + "b")
            while self.how == "grows":
                self.held.append(bytearray(b"x") * 20_000_000)
            if self.how == "dawdles":
                time.sleep(0.5)
        return self.linear(x)


@dataclass(frozen=True)
class Encoder:
    how: str

    def build(self, given):
        return Greedy(self.how, given.shape[0])


space = Space(Network(encoders={{"table": Encoder(how=choose("well", "hangs", "grows", "dawdles"))}}))
"""


def test_what_takes_too_much_fails_once_and_the_others_go_on(tmp_path: Path, table: Path) -> None:
    started = tmp_path / "started"
    started.mkdir()
    (tmp_path / "space.py").write_text(SPACE.format(started=str(started)))
    ledger = search(
        tmp_path / "space.py", tmp_path / "run", data=table, label="kind", objectives=("accuracy", "size_bytes"),
        sampler="grid", trials=4, epochs=90, trial_time_s=15.0, trial_memory_bytes=2_000_000_000, workers=2,
    )  # fmt: skip
    told = {trial.decisions["encoders.table.how"]: trial for trial in ledger.trials()}
    assert {how: trial.state for how, trial in told.items()} == {
        "well": "complete", "hangs": "failed", "grows": "failed", "dawdles": "failed",
    }  # fmt: skip
    assert "was ended after" in told["hangs"].reason and "a trial may take 15 s and 2.00 GB" in told["hangs"].reason
    assert "GB of memory; a trial may take" in told["grows"].reason
    assert "epochs; a trial may take 15 s" in told["dawdles"].reason
    assert sorted(file.name.split("-")[0] for file in started.iterdir()) == ["grows", "hangs"]
    assert "re.py" not in told["hangs"].reason
    assert "forward" in (ledger.trial_folder(told["hangs"].number) / "error.txt").read_text()
    assert not {path.suffix for path in (tmp_path / "run" / "trials").iterdir()} & {".ended", ".where", ".part"}
    assert "latency_ms" not in told["well"].metrics
