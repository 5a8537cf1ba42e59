from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundles import AUDIO, IMAGE, LABELS, STEPS, TABLE, describe, make_bundle, run, tone, write_wav
from numpy.typing import NDArray

from nas.blocks import Gated, Input, Network, Series, Text
from nas.evaluation.build import input_shapes
from nas.formats.onnx_export import export_onnx
from nas.runtime import PredictError, PredictWarning, load_bundle, log_mel, predict, prepare, read_wav, softmax


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", image=IMAGE, audio=AUDIO)


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "table", table=TABLE)


# prepare


@pytest.mark.parametrize(
    ("shape", "n"), [((2, 3), 1), ((1, 2, 3), 1), ((1, 1, 2, 3), 1), ((5, 2, 3), 5), ((5, 1, 2, 3), 5)]
)
def test_arrays_with_or_without_channel_and_batch_axis(shape: tuple[int, ...], n: int) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    prepared = prepare(values, IMAGE)
    assert prepared.shape == (n, 1, 2, 3)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared.ravel(), values.ravel())


def test_file_is_the_same_as_its_array(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(prepare(tmp_path / "a.npy", IMAGE), prepare(values, IMAGE))
    np.testing.assert_array_equal(prepare(str(tmp_path / "a.npy"), IMAGE), prepare(values, IMAGE))


@pytest.mark.parametrize("header", [b"P5\n3 2\n255\n", b"P5 # by hand\n3 2\n# levels\n255 "])
@pytest.mark.parametrize("pixels", [bytes(range(6)), b"\n\n \t\r\n", b"######"])
def test_pgm_pixels_are_kept_whatever_they_are(tmp_path: Path, header: bytes, pixels: bytes) -> None:
    (tmp_path / "a.pgm").write_bytes(header + pixels)
    assert prepare(tmp_path / "a.pgm", IMAGE).astype(np.uint8).tobytes() == pixels


def test_wav_gives_the_log_mel_of_training(tmp_path: Path) -> None:
    samples = tone(8000)
    write_wav(tmp_path / "a.wav", samples)
    expected = log_mel(samples.astype(np.float32) / 32768, STEPS)
    assert expected.dtype == np.uint8
    np.testing.assert_array_equal(prepare(tmp_path / "a.wav", AUDIO)[0, 0], expected)


def test_short_and_long_recordings_fit_the_window(tmp_path: Path) -> None:
    for n in (1, 400, 8064):
        assert prepare(write_wav(tmp_path / "a.wav", tone(n)), AUDIO).shape == (1, 1, 40, 62)
    long = write_wav(tmp_path / "a.wav", tone(30000))
    with pytest.warns(PredictWarning, match=r"audio: .*a.wav lasts 3.75 s: the first 1.01 s are used"):
        cut = prepare(long, AUDIO, "audio")
    np.testing.assert_array_equal(cut, prepare(write_wav(tmp_path / "a.wav", tone(8064)), AUDIO))


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_a_long_recording_is_cut_as_if_it_were_resampled_whole(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 4 * rate).astype(np.int16)
    file = write_wav(tmp_path / "a.wav", noise, rate)
    with pytest.warns(PredictWarning, match="lasts 4.00 s"):
        cut = prepare(file, AUDIO)[0, 0]
    np.testing.assert_array_equal(cut, log_mel(read_wav(file, 8000), STEPS))


def test_a_truncated_recording_is_refused(tmp_path: Path) -> None:
    file = write_wav(tmp_path / "a.wav", tone(800))
    file.write_bytes(file.read_bytes()[:-101])
    with pytest.raises(PredictError, match="says that it holds 800 samples, but ends after 749"):
        prepare(file, AUDIO)


def test_log_mel_shows_a_tone_where_it_is() -> None:
    tops = [
        int(log_mel(tone(8000, hz=hz) / np.float32(32768), STEPS).mean(axis=1).argmax()) for hz in (300, 1000, 3000)
    ]
    assert tops == sorted(set(tops))


def test_log_mel_of_silence_is_the_floor() -> None:
    assert not log_mel(np.zeros(100, dtype=np.float32), STEPS).any()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_rates_agree_within_a_few_decibels(tmp_path: Path, rate: int) -> None:
    coded = prepare(write_wav(tmp_path / "a.wav", tone(rate, rate), rate), AUDIO)[0, 0]
    expected = log_mel(tone(8000) / np.float32(32768), STEPS)
    loud = expected == expected.max(axis=0)
    assert np.abs(coded - expected)[loud].max() <= 10, "10 of 255 is 3 dB"


def test_eight_bits_and_stereo(tmp_path: Path) -> None:
    samples = tone(800)
    eight = np.rint(samples / 256 + 128).astype(np.uint8)
    np.testing.assert_allclose(
        read_wav(write_wav(tmp_path / "8.wav", eight, width=1), 8000), samples / 32768, atol=0.005
    )
    stereo = np.stack([samples, np.zeros_like(samples)], axis=1)
    np.testing.assert_allclose(
        read_wav(write_wav(tmp_path / "2.wav", stereo, channels=2), 8000), samples / 65536, atol=1e-6
    )


RANGED: dict[str, Any] = {**IMAGE, "preprocessing": {**IMAGE["preprocessing"], "range": [0, 255]}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((2, 3), 0.5), "image: has values from 0.5 to 0.5; expected 0 to 255. If 1 .* multiply it by 255"),
        (np.full((2, 3), True), "image: has values from 1 to 1; expected 0 to 255. If 1 is its brightest"),
        (np.full((2, 3), 256), "image: has values from 256 to 256; expected 0 to 255.$"),
        (np.full((2, 3), -1.0), "image: has values from -1 to -1; expected 0 to 255.$"),
    ],
)
def test_another_range_is_refused(value: NDArray[Any], message: str) -> None:
    with pytest.raises(PredictError, match=message):
        prepare(value, RANGED, "image")


def test_black_and_dark_pictures_and_quiet_sounds_are_in_range() -> None:
    for value in (np.zeros((2, 3)), np.full((2, 3), 1.5), np.full((2, 3), 255)):
        np.testing.assert_array_equal(prepare(value, RANGED)[0, 0], value)
    quiet = np.eye(40, 62, dtype=np.uint8)
    assert prepare(quiet, {**AUDIO, "preprocessing": {**STEPS, "range": [0, 255]}}).max() == 1


def test_softmax_of_large_logits_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [0.0, -2000.0]])), [[0.5, 0.5], [1, 0]])


# errors of prepare


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((3, 2)), r"image: has shape \(3, 2\); expected \(1, 2, 3\), or a batch of such"),
        (np.zeros((0, 2, 3)), "image: is empty; expected at least one sample"),
        (np.full((2, 3), np.nan), "image: holds NaN or infinite values"),
        (np.full((2, 3), "a"), "image: holds <U1; expected numbers"),
    ],
)
def test_wrong_arrays(value: NDArray[Any], message: str) -> None:
    with pytest.raises(PredictError, match=message):
        prepare(value, IMAGE, "image")


@pytest.mark.parametrize(
    ("modality", "name", "content", "message"),
    [
        (IMAGE, "a.png", b"", r"a.png cannot be read; expected .npy, .pgm"),
        (IMAGE, "a.npy", b"junk", "is not a .npy file of numbers"),
        (IMAGE, "a.npy", b"", "is not a .npy file of numbers"),
        (IMAGE, "a.pgm", b"P2\n3 2\n255\n", "is not a binary PGM picture of 8 bits"),
        (IMAGE, "a.pgm", b"P5\n3 2\n65535\n" + bytes(12), "is not a binary PGM picture of 8 bits"),
        (IMAGE, "a.pgm", b"P5\n3 2\n255\n12", "has 2 pixels; expected 3 x 2"),
        (IMAGE, "a.pgm", b"P5\n2 2\n255\n1234", r"has shape \(2, 2\); expected \(1, 2, 3\)"),
        (AUDIO, "a.wav", b"", "is not a PCM WAV file: it ends too early"),
        (AUDIO, "a.wav", b"junk of some length", "is not a PCM WAV file: "),
        (TABLE, "a.png", b"", r"a.png cannot be read; expected .npy, .csv, .json"),
    ],
)
def test_wrong_files(tmp_path: Path, modality: dict[str, Any], name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PredictError, match=message):
        prepare(tmp_path / name, modality)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PredictError, match=r"image: .*gone.npy does not exist"):
        prepare(tmp_path / "gone.npy", IMAGE, "image")


def test_wav_without_samples_or_of_other_widths(tmp_path: Path) -> None:
    with pytest.raises(PredictError, match="holds no samples"):
        read_wav(write_wav(tmp_path / "a.wav", np.zeros(0, np.int16)), 8000)
    with pytest.raises(PredictError, match="has 32 bits a sample; expected 8 or 16"):
        read_wav(write_wav(tmp_path / "a.wav", np.zeros(9, np.int32), width=4), 8000)


# bundles


def test_batch_gives_a_row_of_probabilities_each(folder: Path) -> None:
    image = np.array([[[0, 0, 0], [0, 0, 0]], [[200, 0, 0], [0, 0, 0]]], dtype=np.uint8)
    probabilities = predict(load_bundle(folder), {"image": image, "audio": np.zeros((2, 40, 62))})
    assert probabilities.shape == (2, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert probabilities.argmax(axis=1).tolist() == [0, 1]


def test_inputs_have_to_be_the_modalities(folder: Path) -> None:
    with pytest.raises(PredictError, match=r"got inputs \['image'\]; expected \['audio', 'image'\]"):
        predict(load_bundle(folder), {"image": np.zeros((2, 3))})


def test_inputs_have_to_be_as_many(folder: Path) -> None:
    with pytest.raises(PredictError, match="the inputs differ in number"):
        predict(load_bundle(folder), {"image": np.zeros((2, 2, 3)), "audio": np.zeros((3, 40, 62))})


def test_incomplete_and_damaged_bundles(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PredictError, match=r"is not a bundle \(bundle.json is missing\)"):
        load_bundle(tmp_path)
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(PredictError, match=r"model.onnx: is not the file that was exported \(its hash differs\)"):
        load_bundle(folder)
    file.unlink()
    with pytest.raises(PredictError, match=r"is incomplete \(model.onnx is missing\)"):
        load_bundle(folder)


# command line


def test_script_predicts_from_files(folder: Path) -> None:
    np.save(folder / "pic.npy", np.full((2, 3), 200, dtype=np.uint8))
    write_wav(folder / "word.wav", tone(4000))
    done = run(folder, "image=pic.npy", "audio=word.wav")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "high 100.0%  low 0.0%\n"
    assert run(folder, "image=pic.npy", "audio=word.wav", "--top", "1").stdout == "high 100.0%\n"


def test_script_predicts_from_an_archive_as_json(folder: Path, tmp_path: Path) -> None:
    np.savez(folder / "sample.npz", image=np.zeros((2, 2, 3)), audio=np.zeros((2, 40, 62)), label=np.zeros(2))
    done = run(folder, "sample.npz", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    assert set(rows[0]) == set(LABELS)
    assert sum(rows[0].values()) == pytest.approx(1, rel=1e-5)


def test_script_needs_nothing_of_the_package(folder: Path) -> None:
    np.savez(folder / "sample.npz", image=np.zeros((2, 3)), audio=np.zeros((40, 62)))
    code = (
        "import sys; sys.modules['nas'] = sys.modules['torch'] = None; import predict; "
        "sys.exit(predict.main(['sample.npz']))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "content"), [("row.csv", "size,colour\n20,red\n"), ("row.json", '{"size": 20, "colour": null}')]
)
def test_script_predicts_from_a_row(table_folder: Path, name: str, content: str) -> None:
    (table_folder / name).write_text(content)
    assert run(table_folder, name).stdout.startswith("high")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["image=gone.npy", "audio=gone.wav"], "error: image: gone.npy does not exist"),
        (["pic.npy"], "error: input 'pic.npy': expected NAME=FILE with NAME one of image, audio."),
        (["gone.npz"], "gone.npz"),
        (["bad.npz"], "error: bad.npz: cannot be read"),
        (["image=predict.py", "--bundle", "."], "error: got inputs ['image']; expected ['audio', 'image']."),
        (["a=b", "--bundle", "nowhere"], "error: nowhere: is not a bundle"),
        (["image=a.npy", "image=b.npy"], "error: inputs image=a.npy, image=b.npy: a name is there twice"),
        (["image=.", "audio=."], "error: image: . cannot be read; expected .npy, .pgm."),
        (["a.npz", "--top", "0"], "argument --top: '0' is no whole number from 1"),
    ],
)
def test_script_says_what_is_wrong(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "bad.npz").write_bytes(b"junk")
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_is_read_otherwise_is_said_beside_the_answer(table_folder: Path) -> None:
    (table_folder / "rows.csv").write_text("size,colour\n20,pink\nmany,red\n")
    done = run(table_folder, "rows.csv", "--top", "1")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["high 100.0%", "low 98.2%"]
    assert done.stderr.splitlines() == [
        "note: table: column 'size': 1 of 2 values ('many') is no number, so 5, the median of training, stands for it.",
        "note: table: column 'colour': 1 of 2 values ('pink') is no level that training saw, so it has none.",
    ]


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "\\xe9t\\xe9"), ("cp1252", "été"), ("utf-8", "été")])
def test_any_terminal_can_show_labels_and_errors(folder: Path, encoding: str, shown: str) -> None:
    description = json.loads((folder / "bundle.json").read_text())
    description["output"]["labels"] = ["été", "雨\x1b[31m\u202e"]
    (folder / "bundle.json").write_text(json.dumps(description))
    np.savez(folder / "é.npz", image=np.zeros((2, 3)), audio=np.zeros((40, 62)))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    told = [
        subprocess.run([sys.executable, "predict.py", name], cwd=folder, capture_output=True, env=environment)
        for name in ("é.npz", "gone é\x1b[2J.npz")
    ]
    assert [done.returncode for done in told] == [0, 2]
    rain = "雨" if encoding == "utf-8" else "\\u96e8"
    expected = f"{shown} 100.0%  {rain}\\x1b[31m\\u202e 0.0%\n"
    assert told[0].stdout.decode(encoding) == expected
    assert told[1].stderr.decode(encoding).endswith("\\x1b[2J.npz: is not there; expected a file.\n")


def test_a_reader_that_has_enough_is_no_error(table_folder: Path) -> None:
    (table_folder / "rows.csv").write_text("size,colour\n" + "20,red\n" * 20_000)
    line = f"{sys.executable} predict.py rows.csv | head -1"
    done = subprocess.run(["sh", "-c", line], cwd=table_folder, capture_output=True, text=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("home", ["HOME", "XDG_CACHE_HOME"])
def test_the_runtime_leaves_nothing_in_the_users_home(folder: Path, tmp_path: Path, home: str) -> None:
    np.savez(folder / "sample.npz", image=np.zeros((2, 3)), audio=np.zeros((40, 62)))
    (tmp_path / "home").mkdir()
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    environment = {**kept, "HOME": str(tmp_path / "home"), home: str(tmp_path / "home")}
    subprocess.run([sys.executable, "predict.py", "sample.npz"], cwd=folder, env=environment, check=True)
    assert not [*(tmp_path / "home").rglob("*")]


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a text and a series of free lengths, either of which may be missing."""
    inputs = {"text": Input((6,), vocabulary=20, free=True), "voice": Input((2, 8), free=True)}
    torch.manual_seed(0)
    net = Network({"text": Text(8), "voice": Series()}, Gated(8), modality_dropout=0.3).build(inputs, 2)
    folder = tmp_path_factory.mktemp("talking")
    export_onnx(net, input_shapes(net), folder / "model.onnx", free=net.free)
    modalities = {
        name: {
            "kind": "series", "shape": given.shape, "preprocessing": {"files": [".npy"]}, "free": True,
            "optional": True, "tokens": bool(given.vocabulary), "vocabulary": given.vocabulary,
        }
        for name, given in inputs.items()
    }  # fmt: skip
    return describe(folder, (folder / "model.onnx").read_bytes(), modalities)


def test_a_bundle_takes_other_lengths_and_does_without_what_is_optional(talking: Path) -> None:
    bundle = load_bundle(talking)
    text, voice = np.array([[3, 4, 5]]), np.random.default_rng(0).normal(size=(1, 2, 15))
    both = predict(bundle, {"text": text, "voice": voice})
    ended = np.concatenate([voice, np.full((1, 2, 5), np.nan)], -1)
    assert np.allclose(predict(bundle, {"text": text, "voice": ended}), both, atol=1e-6)
    for alone in ({"text": text}, {"voice": voice}):
        given = predict(bundle, alone)
        assert np.isfinite(given).all()
        assert not np.allclose(given, both, atol=1e-6)
    with pytest.raises(PredictError, match="voice: steps that are not there come before others"):
        predict(bundle, {"voice": ended[..., ::-1]})
    for ids in ([[3, -4, 5]], [[3, 4.5, 5]]):
        with pytest.raises(PredictError, match="text: holds .*; expected token ids, whole and from 0"):
            predict(bundle, {"text": np.array(ids)})
    with pytest.raises(PredictError, match="text: holds token 20; expected ids below 20"):
        predict(bundle, {"text": np.array([[3, 4, 20]])})
    with pytest.raises(PredictError, match="text: steps that are not there come before others"):
        predict(bundle, {"text": np.array([[3, 0, 5]])})
    with pytest.raises(PredictError, match=r"got inputs \[\]; expected .*at least one; .* may be missing"):
        predict(bundle, {})
    with pytest.raises(PredictError, match="voice: holds NaN or infinite values"):
        predict(bundle, {"voice": np.full((1, 2, 4), np.inf)})
    with pytest.raises(PredictError, match=r"voice: has shape \(1, 3, 4\); expected \(2, 4\)"):
        predict(bundle, {"voice": np.zeros((1, 3, 4))})


def test_an_interrupted_script_ends_with_130(folder: Path) -> None:
    code = """
import os, predict, signal, sys, threading, time
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.modules[predict.limits.__package__ + ".command"].load_bundle = lambda folder: time.sleep(9)
sys.exit(predict.main(["a.npz"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
