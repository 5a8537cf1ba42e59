"""What every target holds to: whoever adds one to `TARGETS` is held to it here."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

from nas.blocks import Dense, Input, Network
from nas.errors import TargetError
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.targets import KINDS, TARGETS, Target, load_target, target_from, target_values


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small network and a larger one."""
    made: list[Path] = []
    for width in (4, 512):
        net = Network({"table": Dense(width, 3)}).build({"table": Input((8,))}, 2)
        made.append(tmp_path_factory.mktemp("model") / "m.onnx")
        export_onnx(net, input_shapes(net), made[-1])
    return made


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


def test_it_is_a_value_of_json_that_is_read_back_equal(target: Target) -> None:
    assert type(target) in KINDS.values()
    values = target_values(target)
    assert json.loads(json.dumps(values)) == values
    assert target_from(values) == target == load_target(target.name)
    assert set(values) == {f.name for f in fields(target)} | {"kind"}
    anything: Any = target
    with pytest.raises(FrozenInstanceError):
        anything.name = "another"


def test_its_threads_are_those_that_are_asked_for(target: Target) -> None:
    two = load_target(target.name, threads=2)
    assert two == replace(target, threads=2)
    assert two.fingerprint() != target.fingerprint()
    assert target_from(target_values(two)) == two


def test_it_measures_files_in_their_order_and_says_on_what(target: Target, files: list[Path]) -> None:
    small, large = target.measure(files)
    assert 0 < small.latency_ms < large.latency_ms
    for latency in (small, large):
        assert latency.fingerprint == target.fingerprint()
        assert latency.quality in ("good", "noisy")
    assert json.loads(json.dumps(dict(target.fingerprint()))) == target.fingerprint()


def test_it_says_what_it_cannot_measure(target: Target, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="none.onnx: there is no such file"):
        target.measure([tmp_path / "none.onnx"])
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(TargetError, match=f"junk.onnx: .* on target '{target.name}'"):
        target.measure([tmp_path / "junk.onnx"])


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(TargetError, match="unknown kind of target 'LocalTargt'; known: LocalTarget. Did you mean"):
        target_from({"name": "local", "kind": "LocalTargt"})
