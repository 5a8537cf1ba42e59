"""Small bundles and inputs, for tests of the predictor."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas.deploy.predictor import copy_predictor
from nas.tasks.builtin.digits import audio_preprocessing

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
    copy_predictor(folder)
    return describe(folder, sums({name: tuple(m["shape"]) for name, m in modalities.items()}), modalities)


def describe(folder: Path, model: onnx.ModelProto | bytes, modalities: dict[str, Any]) -> Path:
    """Write a model and the description that goes with it."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    description = {"output": {"type": "Classification", "labels": LABELS}, "modalities": modalities, "sha256": digest}
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder


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
