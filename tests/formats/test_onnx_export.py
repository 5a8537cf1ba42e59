"""The gate: a file that does not compute what the network does is not kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from nas.errors import ExportError
from nas.formats.onnx_export import export_onnx
from nas.formats.onnx_file import RUNTIMES, oldest_runtime, run_onnx, stamp
from nas.targets import LENGTHS

SHAPES = {"x": (4,)}


class Fickle(nn.Module):
    """Computes something else each time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class NotANumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0 * 0


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            raise RuntimeError("not this one")
        return x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Fickle(), "differs from torch by .* of the largest output; expected at most 1e-04"),
        (NotANumber(), "differs from torch by nan"),
        (Refuses(), "cannot be written as ONNX: not this one"),
    ],
)
def test_a_file_that_differs_is_refused_and_not_kept(module: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export_onnx(module, SHAPES, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_modes_are_restored(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    module[1].eval()
    export_onnx(module, SHAPES, tmp_path / "m.onnx")
    assert module.training
    assert not module[1].training


def test_the_file_is_scored_in_batches(tmp_path: Path) -> None:
    module = nn.Linear(4, 3)
    export_onnx(module, SHAPES, tmp_path / "m.onnx")
    x = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(x)).numpy()
    assert np.allclose(run_onnx(tmp_path / "m.onnx", {"x": x, "unused": x}, batch=3), expected, atol=1e-5)
    targets = expected.argmax(1)
    targets[:4] = (targets[:4] + 1) % 3
    assert (run_onnx(tmp_path / "m.onnx", {"x": x}).argmax(1) == targets).mean() == pytest.approx(0.6)


class Cumulative(nn.Module):
    """Gives what no exporter can keep for another length: the length it was traced at."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(2) * float(x.shape[2])


def test_a_file_that_is_right_at_one_length_only_is_refused(tmp_path: Path) -> None:
    export_onnx(Cumulative(), {"x": (4, 6)}, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="differs from torch by"):
        export_onnx(Cumulative(), {"x": (4, 6)}, tmp_path / "free.onnx", free=["x"])
    assert not (tmp_path / "free.onnx").exists()


def test_a_file_of_free_length_names_its_axes_and_the_length_to_measure_at(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    export_onnx(module, {"x": (4, 6)}, tmp_path / "m.onnx", free=["x"])
    model = onnx.load(tmp_path / "m.onnx")
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", 4, "x_length"]
    assert {p.key: json.loads(p.value) for p in model.metadata_props} == {LENGTHS: {"x_length": 6}}


def test_weights_too_small_for_normal_numbers_are_zero_in_the_file(tmp_path: Path) -> None:
    net = nn.Linear(4, 3)
    with torch.no_grad():
        net.weight.fill_(1e-39)
        net.weight[0, 0] = 0.5
    export_onnx(net, SHAPES, tmp_path / "m.onnx")
    weights = [onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "m.onnx").graph.initializer]
    (matrix,) = [w for w in weights if w.ndim == 2]
    assert sorted(matrix.ravel().tolist()) == [0.0] * 11 + [0.5]
    assert net.weight.detach()[1, 1].item() != 0.0


def made(*nodes: onnx.NodeProto, opset: int = 20, ir: int = 10, **domains: int) -> onnx.ModelProto:
    """A model of some nodes from `x` to `y`."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d.replace("_", "."), v) for d, v in domains.items())]
    return helper.make_model(helper.make_graph(list(nodes), "g", [x], [y]), opset_imports=sets, ir_version=ir)


def sets(model: onnx.ModelProto) -> dict[str, int]:
    return {given.domain: given.version for given in model.opset_import}


def test_a_file_names_only_what_its_nodes_use_and_as_old_as_it_is(tmp_path: Path) -> None:
    model = made(helper.make_node("Relu", ["x"], ["y"]), ai_onnx_ml=5, com_microsoft=1)
    stamp(model)
    assert (sets(model), model.ir_version) == ({"": 14}, 7)
    onnx.save(model, tmp_path / "m.onnx")
    onnx.checker.check_model(model)
    x = np.array([[-1, 0, 1, 2]], np.float32)
    assert run_onnx(tmp_path / "m.onnx", {"x": x}).tolist() == [[0, 0, 1, 2]]
    assert oldest_runtime(tmp_path / "m.onnx") == RUNTIMES[0][0]


def test_operators_of_other_sets_keep_them() -> None:
    model = made(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), com_microsoft=1, ai_onnx_ml=5)
    stamp(model)
    assert (sets(model), model.ir_version) == ({"": 20, "com.microsoft": 1}, 10)


def test_operators_inside_others_count() -> None:
    x, y, inner = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y", "inner"))
    branches = [
        helper.make_graph([helper.make_node(kind, ["x"], ["inner"])], kind, [], [inner]) for kind in ("Gelu", "Relu")
    ]
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1])
    model = helper.make_model(
        helper.make_graph([yes, node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 20)]
    )
    stamp(model)
    assert sets(model) == {"": 20}


@pytest.mark.parametrize(
    ("opset", "ir", "release"),
    [(9, 4, "1.16.0"), (19, 9, "1.16.0"), (20, 9, "1.17.0"), (19, 10, "1.18.0"), (99, 10, onnxruntime.__version__)],
)
def test_the_oldest_runtime_is_told_by_opset_and_format(opset: int, ir: int, release: str, tmp_path: Path) -> None:
    onnx.save(made(helper.make_node("Relu", ["x"], ["y"]), opset=opset, ir=ir), tmp_path / "m.onnx")
    assert oldest_runtime(tmp_path / "m.onnx") == release


def test_an_exported_file_is_stamped(tmp_path: Path) -> None:
    export_onnx(nn.Linear(4, 3), SHAPES, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert (sets(model), model.ir_version) == ({"": 13}, 7)
