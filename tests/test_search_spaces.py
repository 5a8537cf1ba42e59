"""The ready spaces: each can be read, and what it proposes can be built, exported, run and counted."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from nas import Space, load_space
from nas.blocks.network import Network
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import run_onnx
from nas.tasks import load_table

FILES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.py"))
NAMES = {
    "digits", "avdigits", "tabular", "sentiment", "keyword_spotting", "image_mobile", "sensors", "tabular_image_text",
    "harmonic", "nasbench201",
}  # fmt: skip


def test_all_are_there() -> None:
    assert {file.stem for file in FILES} == NAMES


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_each_is_a_short_example_that_explains_itself(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert len(text.splitlines()) < 80


def test_candidates_can_be_built_exported_and_run(file: Path, tmp_path: Path) -> None:
    space = load_space(file)
    rng = random.Random(1)
    candidates = [space.sample(rng)]
    candidates += [space.mutate(candidates[0], rng), space.crossover(candidates[0], space.sample(rng), rng)]
    for architecture in candidates:
        network = architecture.network
        assert isinstance(network, Network)
        torch.manual_seed(0)
        module = network.build()
        assert network.cost("params") == sum(p.numel() for p in module.parameters())
        export_onnx(module, input_shapes(module), tmp_path / "m.onnx", free=module.free)
        one = {name: np.ones((1, *shape), np.float32) for name, shape in input_shapes(module).items()}
        outputs = run_onnx(tmp_path / "m.onnx", one)
        assert outputs.shape == (1, network.outputs)
        assert np.isfinite(outputs).all()


def test_architectures_are_encoded_and_travel(file: Path) -> None:
    space: Space = load_space(file)
    rng = random.Random(2)
    for _ in range(20):
        architecture = space.sample(rng)
        values, mask = space.encode(architecture)
        assert len(values) == len(mask) == space.encoding.size
        assert space.architecture(dict(architecture.decisions)) == architecture


def test_tabular_fits_any_table(table: Path) -> None:
    task, space = load_table(table, "kind"), load_space(FILES[0].with_name("tabular.py"))
    rng = random.Random(3)
    for _ in range(5):
        network = space.sample(rng).network
        assert isinstance(network, Network)
        module = network.build(task.inputs, task.output.size).eval()
        assert module(torch.from_numpy(task.valid.inputs["table"])).shape == (len(task.valid), 2)


def test_image_mobile_is_about_as_large_as_once_for_all() -> None:
    assert 1e19 < load_space(FILES[0].with_name("image_mobile.py")).size < 1e20
