"""The terms of a run: kept with all they need, wherever it is opened from, and refused where they are not its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import LOCAL

from nas.blocks.cost import count_params
from nas.errors import BlockError, NasError, RunError, TaskError
from nas.evaluation.build import build
from nas.pipeline.context import WorkerContext
from nas.pipeline.run import begin_run, open_run
from nas.runs.lock import writing
from nas.space.source import load_space
from nas.training import Training

SPACE = """
from beside import Encoder
from nas import Space, choose
from nas.blocks import Network

space = Space(Network({"table": Encoder(choose(4, 8))}))
"""
BESIDE = """
from dataclasses import dataclass
from torch import nn

@dataclass(frozen=True)
class Encoder:
    width: int

    def build(self, given):
        return Lazy(given.shape[0], self.width)

class Lazy(nn.Module):
    def __init__(self, features, width):
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x):
        from package.activation import activate
        return activate(self.linear(x))
"""
PICTURES = """
from nas import Space, choose
from nas.blocks import ConvNet, Network

space = Space(Network({"image": ConvNet(choose(4, 8))}))
"""
ACTIVATION = "from torch.nn.functional import relu as activate\n"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A space with a module beside it, which imports another where it is used."""
    folder = tmp_path / "theirs"
    (folder / "package").mkdir(parents=True)
    (folder / "space.py").write_text(SPACE)
    (folder / "beside.py").write_text(BESIDE)
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "activation.py").write_text(ACTIVATION)
    (folder / "unused.py").write_text("raise RuntimeError\n")
    return folder / "space.py"


def begin(folder: Path, space: Path, table: Path, storage: str = "", **asked: Any) -> WorkerContext:
    with writing(folder):
        return begin_run(folder, space, {"data": table, "label": "kind", **asked}, storage)[1]


def built(context: WorkerContext) -> int:
    network = context.space().architecture({"encoders.table.width": 8}).network
    return count_params(build(network, context.task, 0))


def test_a_run_named_relatively_is_whole_and_opens_from_anywhere(
    tmp_path: Path, space: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(table, tmp_path / "table.csv")
    begin(Path("run"), Path("theirs/space.py"), Path("table.csv"))
    kept = {str(file.relative_to("run")) for file in Path("run").rglob("*.py")}
    assert kept == {"space.py", "modules/beside.py", "modules/package/__init__.py", "modules/package/activation.py"}
    shutil.rmtree(space.parent)
    monkeypatch.chdir("/")
    _, context = open_run(tmp_path / "run")
    assert built(context) > 0
    assert context.space_file == space
    assert Path(json.loads((tmp_path / "run/run.json").read_text())["data"]) == tmp_path / "table.csv"


def test_a_run_keeps_its_modules_when_theirs_are_changed(tmp_path: Path, space: Path, table: Path) -> None:
    before = built(begin(tmp_path / "run", space, table))
    changed = BESIDE.replace("nn.Linear(features, width)", "nn.Linear(features, width, bias=False)")
    (space.parent / "beside.py").write_text(changed)
    other = tmp_path / "other"
    assert built(begin(other, space, table)) == before - 8
    assert built(open_run(tmp_path / "run")[1]) == before
    assert built(open_run(other)[1]) == before - 8


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("4, 8", "4, 9"), "space.py: was changed since the run began"),
        (lambda text: text + "\n1 / 0\n", "ZeroDivisionError"),
        (lambda text: text[:40], "space"),
        (lambda text: "", "defines no spaces"),
    ],
)
def test_a_space_that_was_changed_in_the_run_is_refused(
    tmp_path: Path, space: Path, table: Path, damage: Callable[[str], str], message: str
) -> None:
    begin(tmp_path / "run", space, table)
    file = tmp_path / "run" / "space.py"
    file.write_text(damage(file.read_text()))
    with pytest.raises(NasError, match=message):
        open_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": "zero"}, "run.json: is damaged: TypeError: seed is 'zero'; expected int"),
        ({"seed": True}, "seed is True; expected int"),
        ({"name": ["run"]}, r"name is \['run'\]; expected"),
        ({"objectives": ["acuracy"]}, "unknown objective 'acuracy'"),
        (
            {"objectives": ["accuracy"]},
            "has objectives accuracy; its study has 3 to maximize and minimize and minimize",
        ),
        ({"objectives": [1]}, "objectives is"),
        ({"limits": ["params<"]}, "limit 'params<': expected"),
        ({"training": {"epochs": 3}}, "run.json: is damaged: training:"),
        ({"training": "long"}, "training is 'long'; expected"),
        ({"id": "another"}, "the study 'run' is another run's of the same name"),
        ({"target": "phone"}, "target is 'phone'; expected"),
        ({"target": {"name": "phone", "kind": "Phone"}}, "unknown kind of target 'Phone'; known: LocalTarget"),
        ({"target": {"kind": "LocalTarget", "cores": 3}}, "run.json: is damaged: target: .*'cores'"),
        ({"target": {**LOCAL, "threads": "two"}}, "run.json: is damaged: target: threads is 'two'; expected int"),
        ({"task_fingerprint": "0"}, "differ from those that the run was begun with"),
        ({"space_fingerprint": "0"}, "was changed since the run began"),
    ],
    ids=str,
)
def test_a_record_that_was_edited_is_refused(
    tmp_path: Path, space: Path, table: Path, changed: dict[str, Any], message: str
) -> None:
    begin(tmp_path / "run", space, table)
    file = tmp_path / "run" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    with pytest.raises(NasError, match=message):
        open_run(tmp_path / "run")


def test_terms_that_are_left_out_are_as_they_were(tmp_path: Path, space: Path, table: Path) -> None:
    begin(tmp_path / "run", space, table, seed=3, epochs=5)
    for asked in ({}, {"epochs": 5}, {"seed": 3}, {"seed": 3, "epochs": 5}):
        assert begin(tmp_path / "run", space, table, **asked).training == Training(seed=3, epochs=5)
    for asked, message in (({"epochs": 6}, "epochs 5, not 6"), ({"seed": 0}, "seed 3, not 0")):
        with pytest.raises(RunError, match=f"was begun with {message}"):
            begin(tmp_path / "run", space, table, **asked)


def test_a_space_that_does_not_fit_begins_no_run(tmp_path: Path, table: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(
        "from nas import Space\nfrom nas.blocks import Dense, Network\nspace = Space(Network({'tabel': Dense()}))"
    )
    with pytest.raises(BlockError, match=r"does not fit task '.*:kind' with table \(8,\): .*Did you mean 'table'"):
        begin(tmp_path / "run", file, table)
    file.write_text(
        "from nas import Space\nfrom nas.blocks import ConvNet, Network\nspace = Space(Network({'table': ConvNet()}))"
    )
    with pytest.raises(BlockError, match="does not fit task"):
        begin(tmp_path / "run", file, table)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("does", ["raise SystemExit(0)", "import nothing_of_this_name", "raise OSError('gone')"])
def test_whatever_a_first_network_does_begins_no_run(tmp_path: Path, space: Path, table: Path, does: str) -> None:
    (space.parent / "package" / "activation.py").write_text(f"def activate(x):\n    {does}\n")
    with pytest.raises(BlockError, match=r"does not fit task .*activation.py:2, in activate"):
        begin(tmp_path / "run", space, table)
    assert not (tmp_path / "run").exists()


def test_data_beside_a_module_are_found_as_long_as_it_is_the_same(tmp_path: Path, space: Path, table: Path) -> None:
    module = "from pathlib import Path\nfrom torch.nn.functional import relu as activate\n"
    read = "WIDTHS = Path(__file__).with_name('widths.txt').read_text()\n"
    (space.parent / "package" / "activation.py").write_text(module + read)
    (space.parent / "package" / "widths.txt").write_text("8")
    begin(tmp_path / "run", space, table)
    assert built(open_run(tmp_path / "run")[1]) > 0


def test_a_runs_own_copy_of_its_space_is_one(tmp_path: Path, space: Path, table: Path) -> None:
    begin(tmp_path / "run", space, table)
    shutil.rmtree(space.parent)
    assert load_space(tmp_path / "run" / "space.py").size == 2


GONE = [
    ("from nas.blocks import Residue\n", "cannot import name 'Residue' from 'nas.blocks'"),
    ("from nas import Codes\n", "cannot import name 'Codes' from 'nas'"),
    ("import nas.gone\n", "No module named 'nas.gone'"),
    ("import nas.blocks\nnas.blocks.Residue\n", "module 'nas.blocks' has no attribute 'Residue'"),
    ("import nas\nnas.gone\n", "module 'nas' has no attribute 'gone'"),
]


@pytest.mark.parametrize(("line", "message"), GONE, ids=[line.strip() for line, _ in GONE])
def test_a_space_of_another_version_says_so(tmp_path: Path, space: Path, table: Path, line: str, message: str) -> None:
    begin(tmp_path / "run", space, table)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["versions"]["nas"] == version("nas")
    record["versions"]["nas"] = "0.0.7"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    (tmp_path / "run" / "space.py").write_text(line + SPACE)
    told = f"a name that nas {version('nas')} does not have: .*{message}.* The run was begun with nas 0.0.7.\n"
    with pytest.raises(RunError, match=told):
        open_run(tmp_path / "run")


def test_a_space_that_needs_what_is_not_ours_is_not_of_another_version(
    tmp_path: Path, space: Path, table: Path
) -> None:
    begin(tmp_path / "run", space, table)
    (tmp_path / "run" / "space.py").write_text("import nothing_of_this_name\n" + SPACE)
    with pytest.raises(RunError, match=r"the run's copy of its space: .*No module named 'nothing_of_this_name'"):
        open_run(tmp_path / "run")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an avdigits of some random samples."""
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    arrays: dict[str, Any] = {}
    for split in ("train", "valid", "test"):
        arrays[f"image_{split}"] = rng.integers(0, 255, (4, 28, 28), np.uint8)
        arrays[f"audio_{split}"] = rng.integers(0, 255, (4, 40, 62), np.uint8)
        arrays[f"label_{split}"] = np.arange(4)
    np.savez(folder / "avdigits.npz", **arrays)
    return folder


def test_the_folder_that_the_environment_names_is_kept(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pictures.py"
    file.write_text(PICTURES)
    monkeypatch.setenv("NAS_DATA", str(data))
    with writing(tmp_path / "run"):
        ledger, _ = begin_run(tmp_path / "run", file, {"task": "avdigits"})
    assert ledger.record.data == str(data.absolute())
    monkeypatch.delenv("NAS_DATA")
    assert open_run(tmp_path / "run")[1].task.folder == data.absolute()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "data": str(tmp_path / "gone")}))
    with pytest.raises(TaskError, match=r"no data folder is named.\nGive --data DIR, or set NAS_DATA"):
        open_run(tmp_path / "run")
    monkeypatch.setenv("NAS_DATA", str(data))
    assert open_run(tmp_path / "run")[1].task.name == "avdigits"


def test_two_runs_of_one_name_cannot_share_a_database(tmp_path: Path, space: Path, table: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    begin(tmp_path / "a" / "run", space, table, storage=url)
    with pytest.raises(RunError, match=r"holds a run named 'run' already"):
        begin(tmp_path / "b" / "run", space, table, storage=url)
    assert not (tmp_path / "b").exists()
    with pytest.raises(RunError, match="its study lies in a sqlite database, and none was named"):
        open_run(tmp_path / "a" / "run")
