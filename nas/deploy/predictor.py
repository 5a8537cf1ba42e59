"""The program that a bundle is run with: `predict.py`, and the code that it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

from nas import runtime

PACKAGE = "nas_runtime"
"""What the code is called there, where no other package of that name is."""


def copy_predictor(folder: Path) -> None:
    """Copy the program into a folder that is to be a bundle.

    Raises:
        OSError: If it cannot be written.
    """
    shutil.copyfile(Path(__file__).with_name("predict.py"), folder / "predict.py")
    (folder / PACKAGE).mkdir()
    for file in sorted(Path(runtime.__file__).parent.glob("*.py")):
        shutil.copyfile(file, folder / PACKAGE / file.name)
