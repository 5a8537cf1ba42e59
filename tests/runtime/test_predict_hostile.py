"""Damaged and hostile bundles and inputs: one sentence each, no traceback, and no memory or time without end."""

from __future__ import annotations

import io
import json
import os
import random
import re
import resource
import struct
import subprocess
import sys
import time
import wave
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from bundles import AUDIO, IMAGE, LABELS, TABLE, describe, make_bundle, sums
from onnx import TensorProto, helper, numpy_helper

from nas.runtime import PredictError, load_bundle, main, predict
from nas.runtime.command import _named

DIGEST = "0" * 64


def value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes: list[onnx.NodeProto], *constants: onnx.TensorProto, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A model of the input `image`, with the output `logits`."""
    inputs, outputs = [value("image", kind, ["batch", 1, 2, 3])], [value("logits", TensorProto.FLOAT, ["batch", None])]
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, [*constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def endless() -> onnx.ModelProto:
    """A loop that never ends."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still_on"]), helper.make_node("Abs", ["state"], ["next"])], "body",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("state", TensorProto.FLOAT, None)],
        [value("still_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Loop", ["", "true", "flat"], ["logits"], body=body),
    ]
    return model(nodes, numpy_helper.from_array(np.array(True), "true"))


def greedy() -> onnx.ModelProto:
    """A sample of 24 bytes, repeated to 240 GB."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Expand", ["flat", "shape"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["logits"], axes=[0]),
    ]
    return model(nodes, numpy_helper.from_array(np.array([10**10, 6]), "shape"))


def slow_to_load() -> onnx.ModelProto:
    """Hundreds of products of large constants, which are computed before the first sample."""
    ones = numpy_helper.from_array(np.array([1e-4], dtype=np.float32))
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["c0"], value=ones)]
    nodes += [helper.make_node("MatMul", [f"c{i}", "c0"], [f"c{i + 1}"]) for i in range(500)]
    nodes += [
        helper.make_node("ReduceMean", ["c500"], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Add", ["flat", "mean"], ["logits"]),
    ]
    return model(nodes, numpy_helper.from_array(np.array([2000, 2000]), "shape"))


def npy(header: str | bytes, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    said = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(said)) + said + content


def header(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


def wav(**fields: int) -> bytes:
    """A WAV file of silence, some fields of whose header are forged."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(800))
    content = bytearray(stream.getvalue())
    places = {"format": (20, "<H"), "channels": (22, "<H"), "rate": (24, "<I"), "bits": (34, "<H"), "size": (40, "<I")}
    for name, given in fields.items():
        offset, kind = places[name]
        struct.pack_into(kind, content, offset, given)
    return bytes(content)


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def damaged(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def said(capsys: pytest.CaptureFixture[str], folder: Path, *inputs: str) -> str:
    """What the command says, which is one line and an exit code of 2."""
    assert main([*inputs, "--bundle", str(folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert len(shown.err) < 2000
    return shown.err


# descriptions


def output(labels: Any) -> dict[str, Any]:
    return {"type": "Classification", "labels": labels}


def with_image(**changes: Any) -> dict[str, Any]:
    return {"output": output(LABELS), "sha256": DIGEST, "modalities": {"image": {**IMAGE, **changes}}}


def with_column(**column: Any) -> dict[str, Any]:
    steps = {"files": [".csv"], "columns": [{"name": "size", "fill": 1.0, **column}]}
    return with_image(shape=[1], preprocessing=steps)


def with_sound(**steps: Any) -> dict[str, Any]:
    return with_image(shape=[1, 40, 62], preprocessing={**AUDIO["preprocessing"], **steps})


FILES = {"files": [".npy"]}


@pytest.mark.parametrize(
    ("description", "fault"),
    [
        ([], "is no object"),
        (None, "is no object"),
        (7, "is no object"),
        ({**with_image(), "output": output("yes")}, "labels are not two texts"),
        ({**with_image(), "output": output([1, 2])}, "labels are not two texts"),
        ({**with_image(), "output": output(["a", "a"])}, "a label is there twice"),
        ({**with_image(), "output": None}, "output is no object; export it again"),
        ({**with_image(), "output": {"type": ["Regression"]}}, "there is no output of type"),
        ({**with_image(), "output": {"type": "Oracle"}}, "there is no output of type 'Oracle'"),
        ({**with_image(), "output": {"type": "Binary", "labels": ["a", "b", "c"]}}, "labels are not two"),
        (
            {**with_image(), "output": {"type": "Regression", "mean": 0, "std": 0}},
            "mean and std are no number",
        ),
        (
            {**with_image(), "output": {"type": "Regression", "mean": "0", "std": 1}},
            "mean and std are no number",
        ),
        ({**with_image(), "output": {"type": "Embedding", "size": 0}}, "size is no number of outputs"),
        ({**with_image(), "output": {"type": "MultiTask", "parts": {}}}, "parts are no object"),
        (
            {**with_image(), "output": {"type": "MultiTask", "parts": {"a": {"type": "MultiTask", "parts": {}}}}},
            "a: is damaged: there is no output of type 'MultiTask'",
        ),
        ({**with_image(), "sha256": None}, "the hash of model.onnx"),
        ({**with_image(), "modalities": {}}, "modalities are missing"),
        ({**with_image(), "modalities": [1]}, "modalities are missing"),
        ({**with_image(), "modalities": {"image": []}}, "image: is damaged: is no object"),
        (with_image(kind=3), "has no kind"),
        (with_image(shape="23"), "shape is no list of 1 to 8 sizes"),
        (with_image(shape=[]), "shape is no list of 1 to 8 sizes"),
        (with_image(shape=[1, -2, 3]), "is no list of sizes"),
        (with_image(shape=[1, 2.0, 3]), "is no list of sizes"),
        (with_image(shape=[True, 2, 3]), "is no list of sizes"),
        (with_image(shape=[60000, 60000]), "has more than 67108864 elements"),
        (with_image(shape=[10**30]), "is no list of sizes"),
        (with_image(preprocessing=[]), "preprocessing is no object"),
        (with_image(preprocessing={}), "preprocessing names no files"),
        (with_image(preprocessing={"files": [1]}), "preprocessing names no files"),
        (with_image(preprocessing={**FILES, "range": [0]}), "range is not two numbers"),
        (with_image(preprocessing={**FILES, "range": [0, "x"]}), "range is not two rising numbers"),
        (with_image(preprocessing={**FILES, "range": [255, 0]}), "range is not two rising numbers"),
        (with_image(vocabulary="x"), "vocabulary is no number of tokens"),
        (with_image(preprocessing={**FILES, "columns": {}}), "columns are no list"),
        (with_image(preprocessing={**FILES, "columns": [1]}), "a column has no name"),
        (with_column(name=None), "a column has no name"),
        (with_column(fill="x"), "image: column 'size': is damaged: has neither levels nor a finite fill"),
        (with_column(fill=1e300), "has neither levels nor a finite fill"),
        (with_column(levels=None), "levels are not different texts"),
        (with_column(levels=["a", "a"]), "levels are not different texts"),
        (with_column(levels=["a", "b"]), r"columns make 2 numbers, but its shape is \[1\]"),
        (with_column(decimal="x"), "has no such marks"),
        (with_column(decimal=[1]), "has no such marks"),
        (with_column(decimal=",", thousands=","), "has one mark for two things"),
        (with_sound(rate=0), "rate is not between 1000 and 768000"),
        (with_sound(n_fft=1e9), "n_fft is not between"),
        (with_sound(n_fft=65536, frames=62, mels=4096), "n_fft, frames or mels are too many"),
        (with_sound(hop="1"), "hop is not between"),
        (with_sound(db_range=0), "db_range is no positive number"),
        (with_sound(db_floor=None), "db_floor is no number"),
        (with_sound(mels=41), r"shape \[1, 40, 62\] is not \(mels, frames\)"),
    ],
)
def test_descriptions_of_wrong_types_and_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], description: Any, fault: str
) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps(description))
    (tmp_path / "model.onnx").touch()
    with pytest.raises(PredictError, match=f"bundle.json: (image: )?.*{fault}"):
        load_bundle(tmp_path)
    said(capsys, tmp_path, "a.npz")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'{"a":' * 50_000, b'{"output": NaN}', b"9" * 5000,
        b'{"output": {}, "output": {}}', b'"' + b"x" * (1 << 24), bytes(range(256)),
    ],
    ids=["empty", "cut", "utf-16", "lists", "objects", "NaN", "digits", "twice", "large", "garbage"],
)  # fmt: skip
def test_descriptions_that_are_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (tmp_path / "bundle.json").write_bytes(content)
    (tmp_path / "model.onnx").touch()
    assert "bundle.json: " in said(capsys, tmp_path, "a.npz")


def test_places_that_are_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.json").mkdir()
    for folder in (tmp_path, tmp_path / "gone", Path(__file__)):
        assert "is not a bundle" in said(capsys, folder, "a.npz")


# models


def flat(*outputs: str) -> list[onnx.NodeProto]:
    return [helper.make_node("Flatten", ["image"], [*outputs])]


def constant(name: str, numbers: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, dtype=np.float32), name)


NAN = [*flat("flat"), helper.make_node("Gemm", ["flat", "weight"], ["logits"])]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "model.onnx: cannot be loaded: "),
        (b"junk", "model.onnx: cannot be loaded: "),
        (sums({"image": (1, 2, 3)}).SerializeToString()[:-9], "model.onnx: cannot be loaded: "),
        (sums({"image": (1, 2, 3)}).SerializeToString().replace(b"Gemm", b"Gem\xff"), "cannot be loaded: 'utf-8'"),
        (sums({"other": (1, 2, 3)}), r"model.onnx: takes \['other'\] and gives 1 outputs; expected \['image'\]"),
        (sums({"image": (1, 9, 3)}), "sample 0: cannot be computed: "),
        (model([helper.make_node("Cast", ["image"], ["logits"], to=1)], kind=TensorProto.INT64), "sample 0: cannot be"),
        (model([helper.make_node("NoSuchThing", ["image"], ["logits"])]), "cannot be loaded: "),
        (greedy(), "sample 0: cannot be computed: .*while running Expand node"),
        (model(flat("logits")), "sample 0: the model gives no 2 finite numbers, as its description says"),
        (model(NAN, constant("weight", np.full((6, 2), np.nan))), "the model gives no 2 finite numbers"),
        (model([helper.make_node("Reshape", ["image", "to"], ["logits"])],
               numpy_helper.from_array(np.array([7, 7]), "to")), "cannot be (loaded|computed)"),
    ],
    ids=["empty", "junk", "cut", "text", "names", "shape", "type", "operator", "memory", "width", "nan", "reshape"],
)  # fmt: skip
def test_models_that_do_not_fit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | onnx.ModelProto, fault: str
) -> None:
    describe(tmp_path, content, {"image": IMAGE})
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    assert main([str(tmp_path / "a.npy"), "--bundle", str(tmp_path)]) == 2
    shown = capfd.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1), "the runtime prints nothing besides"
    assert re.search(fault, shown.err)


def test_a_model_that_is_not_the_one_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle", image=IMAGE)
    content = (folder / "model.onnx").read_bytes()
    for other in (content[:-1], content[: len(content) // 2], damaged(content, 200), content + b" ", b""):
        (folder / "model.onnx").write_bytes(other)
        assert "model.onnx: is not the file that was exported (its hash differs). Copy it again." in said(
            capsys, folder, "a.npz"
        )


@pytest.mark.parametrize(
    ("hostile", "limit", "message"),
    [
        (endless, "RUN_S", "error: sample 0: cannot be computed within 0.5 s.\n"),
        (slow_to_load, "LOAD_S", "model.onnx: cannot be loaded within 0.5 s.\n"),
    ],
)
def test_models_that_never_end(
    tmp_path: Path, hostile: Callable[[], onnx.ModelProto], limit: str, message: str
) -> None:
    folder = make_bundle(tmp_path / "bundle", image=IMAGE)
    describe(folder, hostile(), {"image": IMAGE})
    np.save(folder / "a.npy", np.ones((2, 3)))
    code = f"import sys, predict; predict.limits.{limit} = 0.5; sys.exit(predict.main(['a.npy']))"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert time.monotonic() - begun < 10
    assert done.returncode == 2
    assert done.stderr.endswith(message)
    assert done.stderr.count("\n") == 1


def test_many_samples_have_time_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(make_bundle(tmp_path / "bundle", image=IMAGE))

    class Slow:
        def run(self, *_: Any) -> list[Any]:
            time.sleep(0.05)
            return [np.zeros((1, 2), np.float32)]

    monkeypatch.setattr("nas.runtime.limits.RUN_S", 0.2)
    assert len(predict(replace(bundle, session=Slow()), {"image": np.ones((10, 2, 3))})) == 10


def test_what_nobody_expects_is_not_lost_in_a_thread(tmp_path: Path) -> None:
    bundle = load_bundle(make_bundle(tmp_path / "bundle", image=IMAGE))

    class Odd:
        def run(self, *_: Any) -> list[Any]:
            raise AssertionError("odd")

    with pytest.raises(AssertionError, match="odd"):
        predict(replace(bundle, session=Odd()), {"image": np.ones((10, 2, 3))})


# inputs

HUGE = header("(30000, 100000)")
INPUTS: dict[str, tuple[str, bytes]] = {
    "npy empty": ("a.npy", b""),
    "npy junk": ("a.npy", bytes(range(256))),
    "npy claims 3 GB": ("a.npy", npy(HUGE, bytes(1000))),
    "npy claims more than memory": ("a.npy", npy(header("(10000000000000000000000,)"))),
    "npy claims less": ("a.npy", npy(header("(2, 3)"), bytes(7))),
    "npy of negative shape": ("a.npy", npy(header("(-2, -3)"), bytes(6))),
    "npy of texts in its shape": ("a.npy", npy(header("('2', 3)"), bytes(6))),
    "npy of 100 dimensions": ("a.npy", npy(header("(" + "1," * 100 + ")"), bytes(1))),
    "npy of no dimension": ("a.npy", npy(header("()"), bytes(1))),
    "npy of objects": ("a.npy", npy(header("(6,)", "'|O'"), b"cos\nsystem\n(S'true'\ntR.")),
    "npy of records": ("a.npy", npy(header("(6,)", "[('a', '|u1')]"), bytes(6))),
    "npy of texts": ("a.npy", npy(header("(6,)", "'<U1'"), bytes(24))),
    "npy of nothing": ("a.npy", npy(header("(6,)", "'<U0'"))),
    "npy of complex numbers": ("a.npy", npy(header("(2, 3)", "'<c8'"), bytes(48))),
    "npy of an unknown type": ("a.npy", npy(header("(6,)", "'<x9'"), bytes(6))),
    "npy with code for a header": ("a.npy", npy("__import__('os').system('true')")),
    "npy with a deep header": ("a.npy", npy("[" * 9000)),
    "npy with a long header": ("a.npy", npy(b" " * 60_000)),
    "npy with a binary header": ("a.npy", npy(bytes(range(256)))),
    "npy of version 2 with a huge header": ("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    "npy of version 9": ("a.npy", npy(header("(2, 3)"), bytes(6), b"\x09\x00")),
    "npz empty": ("a.npz", b""),
    "npz junk": ("a.npz", b"PK\x03\x04junk" * 99),
    "npz that unpacks to 3 GB": ("a.npz", npz(image=npy(HUGE) + bytes(1 << 28))),
    "npz claims 3 GB": ("a.npz", npz(image=npy(HUGE, bytes(1000)))),
    "npz of other names": ("a.npz", npz(picture=npy(header("(2, 3)"), bytes(6)))),
    "npz with damage": ("a.npz", damaged(npz(image=npy(header("(2, 3)"), bytes(6))), 60)),
    "npz cut": ("a.npz", npz(image=npy(header("(2, 3)"), bytes(6)))[:-30]),
    "npz encrypted": ("a.npz", npz(image=b"x").replace(b"\x14\x03\x14\x00\x00", b"\x14\x03\x14\x00\x01")),
    "npz of an unknown packing": ("a.npz", npz(image=b"x").replace(b"\x00\x00\x08\x00", b"\x00\x00\x63\x00")),
    "npz of many files": ("a.npz", npz(image=b"x") + b"PK\x01\x02" * 10_001),
    "pgm empty": ("a.pgm", b""),
    "pgm claims much": ("a.pgm", b"P5\n999999999 999999999\n255\n12"),
    "pgm of 5000 digits": ("a.pgm", b"P5\n" + b"9" * 5000 + b" 2\n255\n12"),
    "pgm of no pixels": ("a.pgm", b"P5\n0 9\n255\n"),
    "pgm of comments": ("a.pgm", b"P5" + b"#\n" * 10_000_000),
    "another picture": ("a.png", b"\x89PNG"),
    "no ending": ("a", b""),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("hostile") / "bundle", image=IMAGE)


@pytest.mark.parametrize("name", INPUTS)
def test_pictures_and_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path, name: str) -> None:
    file, content = INPUTS[name]
    (tmp_path / file).write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said(capsys, folder, str(tmp_path / file))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"


SOUNDS: dict[str, bytes] = {
    "empty": b"",
    "junk": bytes(range(256)),
    "cut in the header": wav()[:30],
    "cut in the samples": wav()[:-100],
    "claims 4 GB": wav(size=0xFFFF_FF00),
    "no channels": wav(channels=0),
    "many channels": wav(channels=65535),
    "no rate": wav(rate=0),
    "a rate of 1": wav(rate=1),
    "a rate of 4 GHz": wav(rate=0xFFFF_FFFF),
    "no bits": wav(bits=0),
    "32 bits": wav(bits=32),
    "another coding": wav(format=85),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = make_bundle(tmp_path / "bundle", audio=AUDIO)
    (tmp_path / "a.wav").write_bytes(SOUNDS[name])
    assert "a.wav: " in said(capsys, folder, str(tmp_path / "a.wav"))


TABLES: dict[str, tuple[str, bytes]] = {
    "empty": ("a.csv", b""),
    "blank": ("a.csv", b"\n \n\n"),
    "garbage": ("a.csv", bytes(range(256)) * 99),
    "NUL": ("a.csv", b"size,colour\n1\0,red\n"),
    "a line of 10 MB": ("a.csv", b"size,colour\n" + b"1" * 10_000_000 + b",red\n"),
    "a header of 10 MB": ("a.csv", b"a" * 10_000_000 + b"\n1\n"),
    "50 million cells in a line": ("a.csv", b"size,colour\n1" + b"," * 50_000_001),
    "an open quote": ("a.csv", b'size,colour\n1,"red\n2,blue\n'),
    "ragged": ("a.csv", b"size,colour\n1,red\n1\n"),
    "control characters in names": ("a.csv", b"\x1b[2Jsize,col\x07our\n1,red\n"),
    "infinite": ("a.csv", b"size,colour\ninf,red\n"),
    "too large": ("a.csv", b"size,colour\n1e300,red\n"),
    "deep JSON": ("a.json", b"[" * 200_000),
    "a deep value": ("a.json", b'{"size": ' + b"[" * 900 + b"]" * 900 + b', "colour": 1}'),
    "a list in a cell": ("a.json", b'{"size": [1], "colour": "red"}'),
    "no objects": ("a.json", b"[[1, 2]]"),
    "infinite JSON": ("a.json", b'{"size": Infinity, "colour": "red"}'),
    "JSON of 5000 digits": ("a.json", b'{"size": ' + b"1" * 5000 + b', "colour": "red"}'),
    "JSON too large": ("a.json", b'{"size": 1e999, "colour": "red"}'),
    "JSON twice": ("a.json", b'{"size": 1, "size": 2, "colour": "red"}'),
    "JSON not UTF-8": ("a.json", b'{"size": "\x00\xff"}'),
    "Parquet junk": ("a.parquet", b"PAR1" + bytes(99) + b"PAR1"),
    "Parquet empty": ("a.parquet", b""),
    "another table": ("a.xlsx", b"PK"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = make_bundle(tmp_path / "bundle", table=TABLE)
    file, content = TABLES[name]
    (tmp_path / file).write_bytes(content)
    told = said(capsys, folder, str(tmp_path / file))
    assert "\x1b" not in told
    assert "\x07" not in told


def test_the_functions_raise_what_they_say(tmp_path: Path, folder: Path) -> None:
    for name in ("x" * 300 + ".npy", "a\0b.npy", "gone.npy"):
        with pytest.raises(PredictError, match="image: .*(does not exist|File name too long)"):
            predict(load_bundle(folder), {"image": tmp_path / name})
        with pytest.raises(PredictError, match="is not a bundle|File name too long"):
            load_bundle(tmp_path / name)


def test_places_that_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for suffix in (".npy", ".npz", ".pgm"):
        (tmp_path / f"a{suffix}").mkdir()
        assert f"a{suffix}: is not a file" in said(capsys, folder, str(tmp_path / f"a{suffix}"))
    for name in ("gone.npy", "a\0b.npy", "x" * 300 + ".npy", "\udcff.npy", "image=", "=", "=a.npy", "image"):
        said(capsys, folder, name)
    os.mkfifo(tmp_path / "pipe.npy")
    for name in (str(tmp_path / "pipe.npy"), "image=/dev/zero", "/dev/zero.npy"):
        said(capsys, folder, name)


def test_a_large_file_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        file.truncate(1 << 40)
    assert "has 1099511627776 bytes; expected at most 268435456" in said(capsys, folder, str(tmp_path / "a.npy"))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content, some bytes of which are changed, cut, repeated or put in."""
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        place, other = rng.randrange(len(content)), rng.randrange(len(content))
        new = rng.choice([rng.randbytes(4), b"\xff" * 4, bytes(4), b"9999", b'"\n,;', content[other : other + 20], b""])
        content = content[:place] + new + content[place + rng.choice([0, len(new), 8]) :] or b"x"
    return content


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pgm", "a.wav", "a.csv", "a.json", "a.parquet"])
@pytest.mark.filterwarnings("ignore::nas.runtime.PredictWarning")
def test_random_damage(tmp_path: Path, name: str) -> None:
    file, rng = tmp_path / name, random.Random(name)
    modality = {"a.wav": AUDIO, "a.csv": TABLE, "a.json": TABLE, "a.parquet": TABLE}.get(name, IMAGE)
    np.save(tmp_path / "a.npy", np.ones((2, 2, 3), np.uint8))
    (tmp_path / "a.npz").write_bytes(npz(given=(tmp_path / "a.npy").read_bytes()))
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 2\n255\n123456")
    (tmp_path / "a.wav").write_bytes(wav())
    rows = pd.DataFrame({"size": [1.5, 2, None], "colour": ["red", "blue", None], "more": [1, 2, 3]})
    rows.to_csv(tmp_path / "a.csv")
    rows.to_json(tmp_path / "a.json", orient="records")
    rows.to_parquet(tmp_path / "a.parquet")
    content = file.read_bytes()
    bundle = load_bundle(make_bundle(tmp_path / "bundle", given=modality))
    outcomes: list[str] = []
    for _ in range(100):
        file.write_bytes(mutated(content, rng))
        try:
            shares = predict(bundle, _named([str(file)], ["given"]))
            outcomes.append("predicted" if np.isfinite(shares).all() else "nonsense")
        except PredictError:
            outcomes.append("refused")
    assert set(outcomes) <= {"predicted", "refused"}
    assert outcomes.count("refused") > 10
