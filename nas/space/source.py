"""Read a search space from a Python file, which is the user's own program, and the modules beside it.

The folder of the file stays importable afterwards, as it is while Python runs a script: a block may import where it is
used. Two spaces may have modules of one name beside them, so those of another folder are forgotten.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path
from types import ModuleType

from nas.errors import SpaceError
from nas.space.space import Space

MODULES_FOLDER = "modules"
"""Beside a run's copy of its space: the modules that it needs."""


class _SpaceFolder(str):
    """An entry of the import path that a space put there.

    Attributes:
        before: Modules that were imported from it by others.
    """

    before: frozenset[str]


def load_space(path: str | Path) -> Space:
    """Run a Python file and return the space that it defines, under any name.

    Args:
        path: The file; its folder can be imported from.

    Raises:
        SpaceError: If the file is missing, has a syntax error, fails, or does not define exactly one space.
    """
    file = Path(path)
    try:
        source = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpaceError(f"{file}: there is no such file; expected a Python file that defines a space.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{file}: cannot be read: {error}.") from None
    return space_from_source(source, file, [file.parent, file.parent / MODULES_FOLDER])


def space_from_source(source: str, file: Path, folders: Sequence[Path] = ()) -> Space:
    """Run the text of a space file.

    Args:
        source: The text.
        file: What it is called in errors.
        folders: What can be imported from, in this order; default the file's own folder.

    Raises:
        SpaceError: As `load_space`.
    """
    try:
        code = compile(source, str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise SpaceError(f"{file}:{line}: {getattr(error, 'msg', error)}; expected a Python file.") from None
    module = ModuleType(f"space_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    before = _make_importable([folder.resolve() for folder in folders or [file.parent]])
    try:
        exec(code, module.__dict__)  # noqa: S102 - a space file is the user's own program
        return _only_space(module, file)
    except (Exception, SystemExit) as error:
        _make_importable(before)
        if isinstance(error, SpaceError) and _line(error, file) is None:
            raise
        raise SpaceError(f"{file}:{_line(error, file) or 1}: {type(error).__name__}: {error}") from error


def _line(error: BaseException, file: Path) -> int | None:
    """The line of a file that an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(file)), None)


def _only_space(module: ModuleType, file: Path) -> Space:
    spaces = {id(value): value for value in vars(module).values() if isinstance(value, Space)}
    if len(spaces) != 1:
        raise SpaceError(
            f"{file}: defines {len(spaces) or 'no'} spaces; expected exactly one.",
            "End the file with: space = Space(Network(...)).",
        )
    return next(iter(spaces.values()))


def side_modules(file: Path) -> Mapping[str, bytes]:
    """The modules below the folder of a loaded space file that it imports, wherever in its text: path → content.

    Found by reading the code, so also what a block imports when it is used; and what was imported by other ways. One
    that is not Python is left out: whoever imports it says so.
    """
    folder = file.resolve().parent
    finder = ModuleFinder(path=[str(folder)])
    finder.run_script(str(file.resolve()))
    imported = [*finder.modules.values(), *(sys.modules[name] for name in _imported_from(folder))]
    paths = {Path(m.__file__).resolve() for m in imported if getattr(m, "__file__", None)}  # pyright: ignore
    theirs = [p for p in paths - {file.resolve()} if p.suffix == ".py" and not p.is_relative_to(_NAS)]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(theirs)}


_NAS = Path(__file__).resolve().parent.parent
"""Never copied, also where a space lies beside it."""


def _make_importable(folders: Sequence[Path]) -> Sequence[Path]:
    """Put folders in front of the import path, in the place of those of an earlier space; gives these.

    Where they differ, what was imported from those is forgotten, save what others had imported before.
    """
    entries = [entry for entry in sys.path if isinstance(entry, _SpaceFolder)]
    before = [Path(entry) for entry in entries]
    if before == [*folders]:
        return before
    sys.path[:] = [entry for entry in sys.path if not isinstance(entry, _SpaceFolder)]
    for entry in entries:
        for name in _imported_from(Path(entry)) - entry.before:
            del sys.modules[name]
    sys.path[:0] = [_SpaceFolder(folder) for folder in folders]
    for entry in sys.path[: len(folders)]:
        if isinstance(entry, _SpaceFolder):
            entry.before = _imported_from(Path(entry))
    return before


def _imported_from(folder: Path) -> frozenset[str]:
    return frozenset(name for name, module in sys.modules.items() if _is_below(name, module, folder))


def _is_below(name: str, module: ModuleType, folder: Path) -> bool:
    """Whether a module was imported from a folder, and not from elsewhere or from an installation in it."""
    top = folder / name.partition(".")[0]
    file = getattr(module, "__file__", None)
    return (
        file is not None
        and top.name != "nas"
        and (Path(file) == top.with_name(f"{top.name}.py") or Path(file).is_relative_to(top))
    )
