from __future__ import annotations

import numpy as np
import pytest

from nas.errors import TaskError
from nas.tasks.builtin.digits import VARIANTS
from nas.tasks.builtin.speech import Utterance, speak


def words(*voices: str) -> list[Utterance]:
    return [Utterance("seven", voice, rate=160, pitch=50, pitch_range=50) for voice in voices]


def test_samples_are_floats_of_a_spoken_word() -> None:
    ((samples, rate),) = list(speak(words("en-us+f3")))
    assert samples.dtype == np.float32
    assert rate == 22050
    assert 0.2 < len(samples) / rate < 1.5
    assert 0.05 < np.abs(samples).max() <= 1


def test_the_same_list_sounds_the_same_again() -> None:
    said = words("en+m1", "en-us+f3", "en+klatt2", "en-029+zac")
    for (first, _), (second, _) in zip(speak(said), speak(said), strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_voice_of_the_task_is_known_and_differs_from_the_plain_one() -> None:
    names = [name for variants in VARIANTS.values() for name in variants]
    plain, *others = [samples for samples, _ in speak(words("en", *(f"en+{name}" for name in names)))]
    same = [n for n, s in zip(names, others, strict=True) if len(s) == len(plain) and np.allclose(s, plain)]
    assert not same


def test_rate_shortens_the_word() -> None:
    slow, fast = (Utterance("seven", "en", rate, 50, 50) for rate in (120, 240))
    (long, _), (short, _) = speak([slow, fast])
    assert len(short) < 0.8 * len(long)


@pytest.mark.parametrize("voice", ["nosuch", "en+nosuch"])
def test_unknown_voice_is_named(voice: str) -> None:
    with pytest.raises(TaskError, match=rf"speech: espeak-ng has no voice '{voice.replace('+', '[+]')}'"):
        list(speak(words(voice)))
