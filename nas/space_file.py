"""Read a search space from a Python file."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from nas.errors import SpaceError
from nas.space import Space


def load_space(path: str | Path) -> Space:
    """Run a Python file and return the space that it defines, under any name.

    Args:
        path: The file; its folder can be imported from while it runs.

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
    return space_from_source(source, file)


def space_from_source(source: str, file: Path) -> Space:
    """Run the text of a space file; `file` names it in errors and its folder is importable meanwhile.

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
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        exec(code, module.__dict__)  # noqa: S102 - a space file is the user's own program
    except (Exception, SystemExit) as error:
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(file)), 1
        )
        raise SpaceError(f"{file}:{line}: {type(error).__name__}: {error}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    spaces = {id(value): value for value in vars(module).values() if isinstance(value, Space)}
    if len(spaces) != 1:
        raise SpaceError(
            f"{file}: defines {len(spaces) or 'no'} spaces; expected exactly one.",
            "End the file with: space = Space(Network(...)).",
        )
    return next(iter(spaces.values()))
