"""One contract for every pass: described, written, read again, applied or refused. A new pass gets a strategy here."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import MLP, Dense, Input, Network, count_params
from nas.blocks.network import MultimodalNet
from nas.compression import (
    PASSES,
    ApplyContext,
    Pass,
    Prune,
    Quantize,
    TrainedModel,
    check_chain,
    from_json,
    is_exact,
    to_json,
)  # fmt: skip
from nas.errors import CompressionError
from nas.evaluation.applied import trained_model
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import compare, export_onnx
from nas.formats.onnx_file import run_onnx

DRAWN: Mapping[str, st.SearchStrategy[Pass]] = {
    "Prune": st.builds(Prune, st.floats(0, 1, exclude_min=True, exclude_max=True)),
    "Quantize": st.just(Quantize()),
}
ANY = st.one_of(*DRAWN.values())
SAMPLES = {"t": np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)}
every_pass = pytest.mark.parametrize("kind", PASSES.values(), ids=PASSES)


@pytest.fixture
def given_model(tmp_path: Path) -> TrainedModel:
    """Dense layers that learnt nothing, and their file."""
    torch.manual_seed(0)
    net = Network({"t": Dense(32, 2)}, head=MLP(32)).build({"t": Input((12,))}, 3).eval()
    export_onnx(net, input_shapes(net), tmp_path / "model.onnx", SAMPLES)
    return trained_model(net, tmp_path / "model.onnx")


def test_every_pass_is_drawn() -> None:
    assert set(DRAWN) == set(PASSES)


@given(ANY)
def test_what_is_written_is_read_as_it_was(step: Pass) -> None:
    read = from_json(json.loads(json.dumps(to_json(step))), "model.json")
    assert read == step
    assert type(read) is type(step)
    assert hash(read) == hash(step)
    assert read.label == step.label


@given(ANY)
def test_a_label_is_a_safe_name(step: Pass) -> None:
    assert re.fullmatch(r"[a-z0-9_]+(\.[0-9]+)?", step.label)


@every_pass
def test_it_is_a_frozen_value_that_is_a_pass(kind: type[Any]) -> None:
    step = kind()
    assert isinstance(step, Pass)
    names = [field.name for field in dataclasses.fields(kind)]
    assert "type" not in names
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(step, name, getattr(step, name))
    assert step.works_on in ("network", "file")


@every_pass
def test_it_makes_a_model_of_a_model_and_leaves_that_as_it_was(
    kind: type[Pass], given_model: TrainedModel, tmp_path: Path
) -> None:
    step = kind()
    module, file = given_model.module, given_model.file
    assert isinstance(module, MultimodalNet)
    assert file is not None
    weights, content = {n: t.clone() for n, t in module.state_dict().items()}, file.read_bytes()
    tuned: list[torch.nn.Module] = []
    made = step.apply(given_model, ApplyContext(tmp_path / "made.onnx", SAMPLES, tuned.append))
    assert file.read_bytes() == content
    assert all(torch.equal(t, weights[n]) for n, t in module.state_dict().items())
    assert made.input_shapes == given_model.input_shapes
    if step.works_on == "file":
        assert made.module is None
        assert made.file == tmp_path / "made.onnx"
        assert not tuned
        assert np.isfinite(run_onnx(made.file, SAMPLES)).all()
        assert step.is_exact == (compare(module, made.file, SAMPLES).max_rel <= 1e-4)
    else:
        assert made.file is None
        assert isinstance(made.module, MultimodalNet)
        assert count_params(made.module) <= count_params(module)
        export_onnx(made.module, made.input_shapes, tmp_path / "made.onnx", SAMPLES)


@every_pass
def test_a_network_is_built_again_in_the_same_form(kind: type[Pass], given_model: TrainedModel, tmp_path: Path) -> None:
    step = kind()
    if step.works_on == "file":
        return

    def spoil(module: torch.nn.Module) -> None:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)

    first = step.apply(given_model, ApplyContext(fine_tune=spoil)).network(step.label)
    again = step.apply(given_model, ApplyContext()).network(step.label)
    again.load_state_dict(first.state_dict())
    values = torch.from_numpy(SAMPLES["t"])
    assert torch.equal(again.eval()(values), first.eval()(values))


@every_pass
def test_what_it_does_not_get_it_names(kind: type[Pass]) -> None:
    step = kind()
    with pytest.raises(CompressionError, match=rf"{step.label}: works on (the network|a file), and only a .* is given"):
        step.apply(TrainedModel(), ApplyContext())


@every_pass
def test_what_cannot_be_read_is_named_with_its_file(kind: type[Pass]) -> None:
    values, name = to_json(kind()), kind.__name__
    with pytest.raises(CompressionError, match=rf"model.json: pass {name}: unknown field 'odd'; known: "):
        from_json({**values, "odd": 1}, "model.json")
    for field in set(values) - {"type"}:
        with pytest.raises(CompressionError, match=rf"model.json: pass {name}: has no {field}; expected "):
            from_json({n: v for n, v in values.items() if n != field}, "model.json")
        for wrong in (None, [], {"a": 1}, "?", -1):
            with pytest.raises(CompressionError, match=rf"model.json: pass {name}: "):
                from_json({**values, field: wrong}, "model.json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "Prun"}, r"model.json: unknown pass 'Prun'; known: Prune, Quantize. Did you mean 'Prune'\?"),
        ({}, "model.json: unknown pass 'None'; known: "),
        ("int8", "model.json: pass 'int8'; expected its type and fields"),
        ({"type": "Prune", "ratio": 2.0}, r"model.json: pass Prune: Prune.ratio: 2.0; expected a number between"),
        (
            {"type": "Quantize", "scheme": "int4"},
            "pass Quantize: .*unknown scheme 'int4'; known: static-int8",
        ),
    ],
)
def test_what_is_no_pass_is_refused(values: Any, message: str) -> None:
    with pytest.raises(CompressionError, match=message):
        from_json(values, "model.json")


def test_a_pass_of_another_type_is_not_written() -> None:
    @dataclasses.dataclass(frozen=True)
    class Prune:  # of the same name as one of ours
        ratio: float = 0.5

    with pytest.raises(CompressionError, match="unknown pass 'Prune'"):
        to_json(Prune())  # pyright: ignore


@given(st.lists(ANY, max_size=4))
def test_chains_end_with_the_file_and_with_what_is_not_exact(chain: list[Pass]) -> None:
    places = [step.works_on for step in chain]
    possible = places == sorted(places, reverse=True) and is_exact(chain[:-1])
    try:
        check_chain(chain)
    except CompressionError as error:
        assert not possible
        assert "goes on after" in error.message
    else:
        assert possible
