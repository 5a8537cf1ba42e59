"""`avdigits`: handwritten and spoken digits, both made hard, from a data folder (after AV-MNIST)."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nas.errors import TaskError
from nas.tasks.builtin.digits import image_preprocessing
from nas.tasks.outputs import Classification
from nas.tasks.task import Modality, Split, Task, statistics

FILE = Path("avdigits") / "avdigits.npz"
CODING = "log-mel of 8 kHz, n_fft 256, hop 128; dB = value / 255 * 80 - 60"
ATTRIBUTION = "avdigits, derived from MNIST and the Free Spoken Digit Dataset, CC BY-SA 4.0"


def load_avdigits(data: Path | None) -> Task:
    """Load the real audio-visual digits.

    Args:
        data: The data folder; without it the environment's `NAS_DATA`.

    Raises:
        TaskError: If no folder is named, or the file is missing or damaged.
    """
    folder = data or (Path(os.environ["NAS_DATA"]) if "NAS_DATA" in os.environ else None)
    if folder is None:
        raise TaskError("task avdigits: no data folder is named.", "Give --data DIR, or set NAS_DATA.")
    file = next((f for f in (folder / FILE, folder / FILE.name) if f.exists()), None)
    if file is None:
        raise TaskError(
            f"task avdigits: {folder / FILE} is missing.",
            "Give the folder that holds it: --data DIR, or set NAS_DATA.",
        )
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as arrays:
            splits = {
                s: Split(
                    {"image": arrays[f"image_{s}"][:, None], "audio": arrays[f"audio_{s}"][:, None]},
                    arrays[f"label_{s}"].astype(np.int64),
                )
                for s in ("train", "valid", "test")
            }
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TaskError(f"{file}: is damaged: {error}", "Copy it again from where it came from.") from None
    train = splits["train"].inputs
    return Task(
        "avdigits",
        {
            "image": Modality("image", (1, 28, 28), *statistics(train["image"]), image_preprocessing()),
            "audio": Modality(
                "audio",
                (1, 40, 62),
                *statistics(train["audio"]),
                {"files": [".npy"], "values": CODING, "range": [0, 255]},
            ),
        },
        Classification(tuple("0123456789")),
        splits["train"],
        splits["valid"],
        splits["test"],
        ATTRIBUTION,
        folder=folder.absolute(),
    )
