"""Imports run downwards, never back up."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import nas

NAS = Path(__file__).resolve().parent.parent / "nas"
ORDER = [
    "errors", "space", "objectives", "samplers", "runtime", "blocks", "tasks", "training", "targets", "formats",
    "compression", "runs", "terminal", "evaluation", "pipeline", "deploy", "report", "api", "doctor", "options",
    "cli", "__main__",
]  # fmt: skip
NO_TORCH = {"errors", "space", "objectives", "runs", "terminal", "samplers", "runtime"}
LEARNS = {f"samplers/rl/{name}.py" for name in ("adam", "controller", "discriminator", "policy_gradient")}
"""What needs torch to learn how to propose; imported where it is used."""


def room(path: Path) -> str:
    return path.relative_to(NAS).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(NAS.parent).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


FILES = sorted(f for f in NAS.rglob("*.py") if f != NAS / "__init__.py")


def test_every_room_has_its_place() -> None:
    assert {room(f) for f in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda f: str(f.relative_to(NAS)))
def test_imports_run_downwards(path: Path) -> None:
    own = ORDER.index(room(path))
    names = imports(path)
    above = {n for n in names if n.startswith("nas.") and n.split(".")[1] in ORDER[own + 1 :]}
    assert not above
    if room(path) in NO_TORCH and str(path.relative_to(NAS)) not in LEARNS:
        assert not {n for n in names if n.split(".")[0] == "torch"}
    if path.parent != NAS / "pipeline" / "executors":
        assert not {n for n in names if n.split(".")[0] == "ray"}


def test_passes_know_no_block() -> None:
    for path in (NAS / "compression").rglob("*.py"):
        assert not {name for name in imports(path) if name.startswith("nas.blocks")}, path.name


def modules(path: Path) -> set[str]:
    """The modules of this package that a file imports from; what `nas` gives by name is not one."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "nas":
            found.update(f"nas.{alias.name}" for alias in node.names if alias.name not in nas.__all__)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "nas"}


@pytest.mark.parametrize("folder", ["nas", "tests", "benchmarks", "search_spaces"])
def test_imports_name_what_is_there(folder: str) -> None:
    """Also where another version is installed beside this one: Python would take what is missing here from there."""
    named = {name: path for path in (NAS.parent / folder).rglob("*.py") for name in modules(path)}
    places = {name: NAS.joinpath(*name.split(".")[1:]) for name in named}
    missing = {n: named[n] for n, place in places.items() if not (place.is_dir() or place.with_suffix(".py").exists())}
    assert not missing


def test_what_ships_needs_numpy_and_onnxruntime_alone() -> None:
    allowed = {*sys.stdlib_module_names, "nas", "numpy", "onnxruntime", "pyarrow"}  # pyarrow: for Parquet tables
    assert not [each for each in (NAS / "runtime").iterdir() if each.is_dir() and each.name != "__pycache__"]
    for path in [*(NAS / "runtime").glob("*.py"), NAS / "deploy" / "predict.py"]:
        assert {name.split(".")[0] for name in imports(path)} <= allowed
        assert all(name.startswith("nas.runtime") for name in imports(path) if name.split(".")[0] == "nas")
        assert "from nas" not in path.read_text(), "it has another name in a bundle"
