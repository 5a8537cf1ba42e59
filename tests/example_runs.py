"""The command in a process of its own, what a run's ledger says was proposed, and the terms of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nas.pipeline.loop import COUNTED
from nas.runs.ledger import Trial, open_ledger
from nas.runs.record import RunRecord
from nas.space.source import space_from_source
from nas.space.space import Architecture
from nas.targets import LocalTarget, target_values

SPACE = """
from nas import Space, choose, integer
from nas.blocks import MLP, Dense, Network

space = Space(
    Network(
        encoders={"table": Dense(width=choose(16, 32, 64), depth=integer(1, 3))},
        head=MLP(hidden=choose(0, 16), dropout=choose(0.0, 0.2)),
    )
)
"""
"""Dense networks on a table."""

LOCAL = target_values(LocalTarget())
"""The target of most runs, as they keep it."""

RECORD = RunRecord(
    name="run",
    command="nas search",
    space_file="s.py",
    space_fingerprint="f",
    task="t",
    data="",
    label=(),
    output={"type": "Classification", "labels": ["no", "yes"]},
    scores=("accuracy",),
    task_fingerprint="g",
    objectives=("accuracy", "latency_ms"),
    limits=("params<=9",),
    target=LOCAL,
    sampler="random",
    seed=0,
    training={"epochs": 2},
    storage="journal",
    versions={"python": "3"},
    revision="r",
    created="now",
)
"""Terms of a run that nobody searched."""


def nas(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    line = [sys.executable, "-m", "nas.cli", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


def counted(run: Path) -> list[Architecture]:
    """The architectures of the trials that count, in their order."""
    ledger = open_ledger(run)
    space = space_from_source(ledger.space_source, run / "space.py")
    return [space.architecture(t.decisions) for t in ledger.trials() if t.state in COUNTED]


def kept(trial: Trial) -> tuple[object, ...]:
    """What never changes of a trial that was told; its latency may be measured again."""
    return trial.number, trial.state, dict(trial.decisions), trial.metrics.get("accuracy"), trial.reason, trial.finished
