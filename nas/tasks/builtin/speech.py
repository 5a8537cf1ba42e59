"""Words spoken by espeak-ng's synthetic voices, through the library inside `espeakng-loader`."""

from __future__ import annotations

import ctypes
import importlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import TaskError

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
_RATE, _PITCH, _RANGE = 1, 3, 4

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Utterance:
    """A word and how it is said.

    Attributes:
        text: What is said.
        voice: Language and variant, for example `en-us+f3`.
        rate: Words a minute.
        pitch: From 0 to 100.
        pitch_range: From 0, monotone, to 100.
    """

    text: str
    voice: str
    rate: int
    pitch: int
    pitch_range: int


def speak(utterances: Sequence[Utterance]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Say each utterance; the same list always sounds the same.

    The library keeps state that ending and starting it again does not clear, and draws from a generator seeded by the
    clock. So each call loads a fresh copy of it and seeds that.

    Yields:
        Samples `(t,)` between -1 and 1, and their rate in Hz.

    Raises:
        TaskError: If the library is not installed, cannot start or does not know a voice.
    """
    source, voices = _installed()
    with tempfile.TemporaryDirectory(prefix="nas-speech-") as folder:
        copy = shutil.copy(source, folder)
        library = ctypes.CDLL(copy)
        rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, str(voices).encode(), _DONT_EXIT))
        if rate <= 0:
            raise TaskError("speech: espeak-ng cannot start.", "pip install --force-reinstall espeakng-loader")
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        chunks: list[NDArray[np.int16]] = []

        def collect(samples: Any, count: int, _events: Any) -> int:
            if samples and count:
                chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            return 0

        callback = _Callback(collect)
        library.espeak_SetSynthCallback(callback)
        try:
            for said in utterances:
                chunks.clear()
                _set_voice(library, voices, said)
                text = said.text.encode()
                library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
                yield np.concatenate(chunks).astype(np.float32) / np.float32(32768), rate
        finally:
            library.espeak_Terminate()


def _installed() -> tuple[Path, Path]:
    """The library's file and the folder of its voices."""
    try:
        loader = importlib.import_module("espeakng_loader")
    except ImportError:
        raise TaskError("speech: the package espeakng-loader is missing.", "pip install 'nas[digits]'") from None
    return Path(loader.get_library_path()), Path(loader.get_data_path())


def _set_voice(library: ctypes.CDLL, voices: Path, said: Utterance) -> None:
    _, _, variant = said.voice.partition("+")
    known = not variant or (voices / "voices" / "!v" / variant).exists()
    if not known or library.espeak_SetVoiceByName(said.voice.encode()):
        raise TaskError(f"speech: espeak-ng has no voice {said.voice!r}.")
    for parameter, value in ((_RATE, said.rate), (_PITCH, said.pitch), (_RANGE, said.pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
