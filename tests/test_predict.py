from __future__ import annotations

import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas import predict as predictor
from nas.blocks import Gated, Input, Network, Series, Text
from nas.evaluate import input_shapes
from nas.export import export_onnx
from nas.predict import PredictError, load_bundle, log_mel, predict, prepare, read_wav, softmax
from nas.tasks.digits import audio_preprocessing

STEPS = dict(audio_preprocessing())
IMAGE: dict[str, Any] = {"kind": "image", "shape": [1, 2, 3], "preprocessing": {"files": [".npy", ".pgm"]}}
AUDIO: dict[str, Any] = {"kind": "audio", "shape": [1, 40, 62], "preprocessing": STEPS}
TABLE: dict[str, Any] = {
    "kind": "vector",
    "shape": [3],
    "preprocessing": {
        "files": [".npy", ".csv", ".json"],
        "columns": [{"name": "size", "fill": 5.0}, {"name": "colour", "levels": ["blue", "red"]}],
    },
}
LABELS = ["low", "high"]


def sums(shapes: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A model whose second logit is the sum over all inputs, less 10 times the number of inputs; the first is 0."""
    nodes = [helper.make_node("Flatten", [name], [f"{name}_flat"]) for name in shapes]
    nodes += [
        helper.make_node("Concat", [f"{name}_flat" for name in shapes], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "weight", "bias"], ["logits"]),
    ]
    width = sum(int(np.prod(shape)) for shape in shapes.values())
    weight = np.stack([np.zeros(width), np.ones(width)], axis=1).astype(np.float32)
    bias = np.array([0, -10 * len(shapes)], dtype=np.float32)
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", *s]) for n, s in shapes.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def make_bundle(folder: Path, **modalities: dict[str, Any]) -> Path:
    folder.mkdir()
    shutil.copy(predictor.__file__, folder / "predict.py")
    onnx.save(sums({name: tuple(m["shape"]) for name, m in modalities.items()}), str(folder / "model.onnx"))
    (folder / "bundle.json").write_text(json.dumps({"labels": LABELS, "modalities": modalities}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", image=IMAGE, audio=AUDIO)


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "table", table=TABLE)


def write_wav(path: Path, samples: NDArray[Any], rate: int = 8000, width: int = 2, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return path


def tone(n: int, rate: int = 8000, hz: float = 440.0) -> NDArray[np.int16]:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(n) / rate)).astype(np.int16)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "predict.py", *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )


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
    for n in (1, 400, 30000):
        assert prepare(write_wav(tmp_path / "a.wav", tone(n)), AUDIO).shape == (1, 1, 40, 62)


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


def test_table_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("colour,size\nred,1\ngreen,NA\n,nan\n")
    np.testing.assert_array_equal(prepare(tmp_path / "a.csv", TABLE), [[1, 0, 1], [5, 0, 0], [5, 0, 0]])
    (tmp_path / "a.json").write_text('{"size": 2, "colour": "blue"}')
    np.testing.assert_array_equal(prepare(tmp_path / "a.json", TABLE), [[2, 1, 0]])


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
        (TABLE, "a.csv", b"", "holds no rows"),
        (TABLE, "a.csv", b"size,colour\nmany,red\n", "column 'size': 'many' is not a number"),
        (TABLE, "a.csv", b"other\n1\n", "a row has columns other; expected size, colour"),
        (TABLE, "a.csv", b"size\ninf\n", "holds NaN or infinite values"),
        (TABLE, "a.json", b"{", "a.json: cannot be read"),
        (TABLE, "a.json", b"[1]", "holds no rows"),
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
    (folder / "model.onnx").write_bytes(b"junk")
    with pytest.raises(PredictError, match=r"model.onnx: cannot be loaded"):
        load_bundle(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(PredictError, match=r"is incomplete \(model.onnx is missing\)"):
        load_bundle(folder)
    for content in ("{", "{}", "[]"):
        (folder / "bundle.json").write_text(content)
        with pytest.raises(PredictError, match=r"bundle.json: is damaged"):
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


@pytest.mark.parametrize(("name", "content"), [("row.csv", "size,colour\n20,red\n"), ("row.json", '{"size": 20}')])
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
    ],
)
def test_script_says_what_is_wrong(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "bad.npz").write_bytes(b"junk")
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


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
            "optional": True, "tokens": bool(given.vocabulary),
        }
        for name, given in inputs.items()
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps({"labels": LABELS, "modalities": modalities}))
    return folder


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
    with pytest.raises(PredictError, match="text: steps that are not there come before others"):
        predict(bundle, {"text": np.array([[3, 0, 5]])})
    with pytest.raises(PredictError, match=r"got inputs \[\]; expected .*at least one; .* may be missing"):
        predict(bundle, {})
    with pytest.raises(PredictError, match="voice: holds NaN or infinite values"):
        predict(bundle, {"voice": np.full((1, 2, 4), np.inf)})
    with pytest.raises(PredictError, match=r"voice: has shape \(1, 3, 4\); expected \(2, 4\)"):
        predict(bundle, {"voice": np.zeros((1, 3, 4))})
