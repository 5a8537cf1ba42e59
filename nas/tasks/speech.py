"""Words spoken by espeak-ng's synthetic voices, through the library inside `espeakng-loader`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import espeakng_loader
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
    """Say each utterance.

    All of a voice's state is set before each word, so a word sounds the same whatever was said before it.

    Yields:
        Samples `(t,)` between -1 and 1, and their rate in Hz.

    Raises:
        TaskError: If the library cannot start or does not know a voice.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    folder = espeakng_loader.get_data_path().encode()
    rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, folder, _DONT_EXIT))
    if rate <= 0:
        raise TaskError("speech: espeak-ng cannot start.", "pip install --force-reinstall espeakng-loader")
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
            if library.espeak_SetVoiceByName(said.voice.encode()):
                raise TaskError(f"speech: espeak-ng has no voice {said.voice!r}.")
            for parameter, value in ((_RATE, said.rate), (_PITCH, said.pitch), (_RANGE, said.pitch_range)):
                library.espeak_SetParameter(parameter, value, 0)
            text = said.text.encode()
            library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
            yield np.concatenate(chunks).astype(np.float32) / 32768, rate
    finally:
        library.espeak_Terminate()
