"""The program in a bundle: found from anywhere, and each bundle's own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from bundles import IMAGE, make_bundle

from nas.deploy.predictor import PACKAGE, copy_predictor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", image=IMAGE)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in [each for each in sys.modules if each.startswith(PACKAGE)]:
        del sys.modules[name]


def load(folder: Path, name: str = "of_a_bundle") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", *arguments], cwd=cwd, capture_output=True, text=True)


def another(folder: Path) -> Path:
    """A bundle whose code is of another version: its certainty is shown otherwise."""
    bundle = make_bundle(folder, image=IMAGE)
    file = bundle / PACKAGE / "outputs.py"
    file.write_text(file.read_text().replace("{share:.1%}", "{share:.3%}"))
    return bundle


def test_it_runs_from_any_folder(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3), 200))
    (tmp_path / "elsewhere").mkdir()
    for cwd, program in ((folder, "predict.py"), (tmp_path, "bundle/predict.py"), (tmp_path / "elsewhere", folder)):
        for isolated in ([], ["-I"]):
            script = folder / "predict.py" if program is folder else program
            done = python(*isolated, script, tmp_path / "a.npy", cwd=cwd)
            assert (done.returncode, done.stdout, done.stderr) == (0, "high 100.0%  low 0.0%\n", "")


def test_it_is_imported_from_the_path(folder: Path, tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(folder)!r})
from predict import PredictError, load_bundle, predict
try:
    predict(load_bundle(pathlib.Path({str(folder)!r})), {{}})
except PredictError as error:
    print(type(error).__module__, error)
"""
    done = python("-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("predict got inputs []; expected ['image'].\n", "")


def test_its_functions_reach_other_processes(folder: Path, tmp_path: Path) -> None:
    code = f"""
import multiprocessing, sys
import numpy as np
sys.path.insert(0, {str(folder)!r})
from predict import prepare
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(prepare, (np.ones((2, 3)), {IMAGE!r})).shape)
"""
    (tmp_path / "parallel.py").write_text(code)
    done = python("parallel.py", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("(1, 1, 2, 3)\n", "")


def test_equal_bundles_share_their_code(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "copy"))
    first, second = load(folder), load(other)
    assert first.PredictError is second.PredictError
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    (folder / "model.onnx").unlink()
    assert first.main([str(tmp_path / "a.npy")]) == 2, "each has its own folder"
    assert second.main([str(tmp_path / "a.npy")]) == 0


def test_bundles_of_two_versions_run_each_their_own_code(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = load(folder), load(another(tmp_path / "other"))
    np.save(tmp_path / "a.npy", np.full((2, 3), 200))
    for module, line in ((first, "high 100.0%  low 0.0%\n"), (second, "high 100.000%  low 0.000%\n")) * 2:
        assert module.main([str(tmp_path / "a.npy")]) == 0
        assert capsys.readouterr().out == line


def test_a_bundle_that_is_replaced_brings_its_code(folder: Path, tmp_path: Path) -> None:
    before = load(folder)
    shutil.rmtree(folder)
    another(folder)
    assert load(folder).predict is not before.predict


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("", "is missing. Copy the bundle again, with the folder in it."),
        ("__init__.py", "is missing. Copy the bundle again, with the folder in it."),
        ("audio.py", r"is incomplete \(No module named 'nas_runtime_\w{16}.audio'\). Copy the bundle again."),
        ("limits.py", r"is incomplete \(cannot import name 'limits' from 'nas_runtime_.*\). Copy the bundle again."),
    ],
)
def test_code_that_was_not_copied_is_said(folder: Path, lost: str, message: str) -> None:
    gone = folder / PACKAGE / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    for _ in range(2):
        with pytest.raises(ImportError, match=rf"^{folder / PACKAGE}: {message}$") as raised:
            load(folder)
    done = python("predict.py", "a.npy", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {raised.value}\n"


def test_the_committed_program_is_copied_as_it_is(tmp_path: Path) -> None:
    copy_predictor(tmp_path)
    nas = Path(__file__).parents[2] / "nas"
    assert (tmp_path / "predict.py").read_bytes() == (nas / "deploy" / "predict.py").read_bytes()
    code = {file.name: file.read_bytes() for file in (nas / "runtime").glob("*.py")}
    assert {file.name: file.read_bytes() for file in (tmp_path / PACKAGE).iterdir()} == code
