"""An option is spelt once: every term is kept, and every default that is shown is the one that is taken."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from nas.pipeline.run_config import COSTS, DEFAULTS, config_from
from nas.pipeline.search import search
from nas.pipeline.terms import Terms, options
from nas.runs.config import RunConfig

PARTS = {"epochs": "training", "threads": "target"}
"""Terms that change a part of another."""


def test_every_term_is_kept_and_everything_kept_can_be_asked_for() -> None:
    assert {PARTS.get(name, name) for name in Terms.__annotations__} == {f.name for f in fields(RunConfig)}


@pytest.mark.parametrize("name", [name for name, option in options().items() if option.default])
def test_the_default_that_is_shown_is_the_one_that_is_taken(name: str) -> None:
    shown: Any = options()[name].default
    value: Any = getattr(DEFAULTS, PARTS.get(name, name))
    value = value[name] if name in PARTS else value["name"] if name == "target" else value
    value = ("the main metric", *COSTS) if name == "objectives" else value
    assert (", ".join(value) if isinstance(value, tuple) else str(value) or "none") == shown


def test_options_need_nothing_heavy() -> None:
    program = "import sys, nas.options; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "typer" in done.stdout.split()
    assert not {"torch", "ray", "pandas"} & set(done.stdout.split())


def test_a_term_that_there_is_not_is_refused(tmp_path: Path, space_file: Path) -> None:
    wrong: Any = {"epoch": 3}
    with pytest.raises(TypeError, match="unknown term 'epoch'; known: .*Did you mean 'epochs'"):
        search(space_file, tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
    assert config_from({"epochs": 3}).training["epochs"] == 3
