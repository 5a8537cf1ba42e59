"""Run this bundle: numpy and onnxruntime are all that a device needs (and pyarrow for Parquet tables).

    python predict.py image=picture.npy audio=word.wav
    python predict.py sample.npz
    python predict.py rows.csv

In Python, with the bundle's folder on the path: `from predict import load_bundle, predict`. What is refused because it
takes too long or too much stands in `limits`: `predict.limits.RUN_S = 300`.

The code lies in `nas_runtime` beside this file. It is loaded by a name that its content makes, so that each of two
bundles in one process runs its own.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent
"""The bundle's folder."""


def _load(package: Path) -> ModuleType:
    """Load the code by a name that its content makes."""
    files = sorted(package.glob("*.py"))
    digest = hashlib.sha256(b"".join(b"%b\0%b\0" % (file.name.encode(), file.read_bytes()) for file in files))
    name = f"nas_runtime_{digest.hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, package / "__init__.py")
    if spec is None or spec.loader is None or not (package / "__init__.py").is_file():
        raise ImportError(f"{package}: is missing. Copy the bundle again, with the folder in it.")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, ImportError) and (error.name or "").startswith(name):
            raise ImportError(f"{package}: is incomplete ({error}). Copy the bundle again.") from None
        raise
    return module


try:
    _runtime = _load(FOLDER / "nas_runtime")
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.stderr.write(f"error: {error}\n")
    sys.exit(2)

for _name in _runtime.__all__:
    globals()[_name] = _value = getattr(_runtime, _name)
    if isinstance(_value, type) or callable(_value):
        _value.__module__ = __name__  # where it is found again, by tracebacks and other processes alike


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict from the command line, with this bundle unless the arguments name another; gives the exit code."""
    return _runtime.main(arguments, FOLDER)


if __name__ == "__main__":
    sys.exit(main())
