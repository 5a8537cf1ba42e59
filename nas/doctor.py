"""What this machine can do, and what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch

from nas.errors import NasError
from nas.pipeline.executors.lanes import TRIALS_PER_GPU
from nas.tasks.builtin.speech import Utterance, speak
from nas.training import find_device


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        ok: Whether it is there.
        text: What was found, or how to mend it.
        optional: Whether the product works without it.
    """

    what: str
    ok: bool
    text: str
    optional: bool = False


def checks() -> list[Finding]:
    """Look at everything that a search needs."""
    cores, free = os.cpu_count() or 1, shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        Finding("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        Finding("cores", True, f"{cores}: that many trials at a time"),
        Finding("disk", free > 1, f"{free:.1f} GiB free here; a search of 50 trials writes about 0.1"),
        Finding("torch", True, f"{torch.__version__}, CUDA {'yes' if torch.cuda.is_available() else 'no'}"),
        _training(),
        Finding("onnxruntime", True, f"{onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}"),
        _speech(),
        Finding(
            "data folder",
            "NAS_DATA" in os.environ,
            os.environ.get("NAS_DATA", "NAS_DATA is not set; only the task avdigits needs it"),
            optional=True,
        ),
        Finding(
            "chromium",
            shutil.which("chromium") is not None,
            shutil.which("chromium") or "not installed; only the test of the page needs it",
            optional=True,
        ),
    ]


def _training() -> Finding:
    try:
        device = find_device()
    except NasError as error:
        return Finding("training", False, str(error))
    if device.kind == "cpu":
        return Finding("training", True, "on the CPU, one trial a core")
    count = torch.cuda.device_count()
    return Finding("training", True, f"on {device}; {count} such, {TRIALS_PER_GPU} trials on each")


def _speech() -> Finding:
    try:
        samples, rate = next(iter(speak([Utterance("one", "en", 175, 50, 50)])))
    except (NasError, OSError) as error:
        return Finding("speech", False, f"{error}\nOnly making the task digits needs it.", optional=True)
    return Finding("speech", True, f"espeak-ng says 'one' in {len(samples) / rate:.2f} s of sound, for the task digits")
