"""Static 8-bit quantization of an ONNX file, calibrated on training data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from nas.compression.passes import ApplyContext, TrainedModel, WorksOn
from nas.errors import CompressionError, unknown
from nas.formats.onnx_file import all_nodes, stamp
from nas.space.choices import is_open
from nas.targets import LENGTHS, ONNX_ERRORS

OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Mul", "Relu", "Clip", "Concat", "GlobalAveragePool", "AveragePool")
"""What is computed in 8 bits; recurrent units and normalisation stay in 32."""

SCHEMES = ("static-int8",)


@dataclass(frozen=True)
class Quantize:
    """Weights in signed, activations in unsigned 8 bits, with scales fixed by calibration.

    Attributes:
        scheme: `static-int8`: QDQ format, weights per channel.

    Raises:
        CompressionError: If the scheme is unknown.
    """

    works_on: ClassVar[WorksOn] = "file"
    is_exact: ClassVar[bool] = False
    scheme: Literal["static-int8"] = "static-int8"

    def __post_init__(self) -> None:
        if not is_open(self) and self.scheme not in SCHEMES:  # pyright: ignore[reportUnnecessaryContains]
            raise CompressionError(f"Quantize.scheme: {unknown('scheme', str(self.scheme), SCHEMES)}")

    @property
    def label(self) -> str:
        """Its width: `int8`."""
        return "int8"

    def apply(self, model: TrainedModel, context: ApplyContext) -> TrainedModel:
        """Write a quantized copy of the file, with scales found on the calibration samples.

        Raises:
            CompressionError: If nothing in the file can be quantized, or onnxruntime refuses it.
        """
        source = model.onnx(self.label)
        quantized = _quantized(source, context.calibration)
        if not any(node.op_type == "DequantizeLinear" for node in quantized.graph.node):
            raise CompressionError(f"{source.name}: has no operator that can be quantized.")
        _keep_softmax(quantized.graph)
        stamp(quantized)
        draft = context.file.with_name(context.file.name + ".part")
        draft.write_bytes(shorten_names(quantized).SerializeToString())
        draft.replace(context.file)
        return TrainedModel(None, context.file, model.input_shapes)


def _quantized(source: Path, calibration: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """A file as onnxruntime quantizes it."""
    with tempfile.TemporaryDirectory(prefix="nas-quantize-") as folder, _quiet():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(quantized),
                _Samples(prepared, calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_raw_layers(prepared),
            )
        except (*ONNX_ERRORS, DecodeError, ValueError, RuntimeError, TypeError) as error:
            raise CompressionError(f"{source.name}: cannot be quantized: {str(error).splitlines()[0]}") from error
        return onnx.load(quantized)


class _Samples(CalibrationDataReader):
    """Hands out calibration samples in batches."""

    def __init__(self, model: Path, samples: Mapping[str, NDArray[Any]], batch: int = 32) -> None:
        names = [given.name for given in onnx.load(model, load_external_data=False).graph.input]
        total = len(samples[names[0]])
        self.batches = iter(
            [{n: samples[n][i : i + batch].astype(np.float32) for n in names} for i in range(0, total, batch)]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return next(self.batches, None)


def shorten_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every inner tensor and node a short name: in a small file the names weigh as much as the weights."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    free = (name for number in count() if (name := f"{number:x}") not in kept)
    short = {"": "", **{name: name for name in kept}}

    def rename(name: str) -> str:
        if name not in short:
            short[name] = next(free)
        return short[name]

    for node in model.graph.node:
        node.name, node.doc_string = "", ""
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for tensor in model.graph.initializer:
        tensor.name, tensor.doc_string = rename(tensor.name), ""
    del model.graph.value_info[:]
    kept_metadata = [entry for entry in model.metadata_props if entry.key == LENGTHS]
    del model.metadata_props[:]
    model.metadata_props.extend(kept_metadata)
    return model


ELEMENTWISE = ("Add", "Clip", "Div", "Mul", "Sub", "Unsqueeze", "Where")
WEIGHTED = ("Conv", "Gemm", "GRU", "LSTM", "MatMul")


def _raw_layers(model: Path) -> list[str]:
    """What stays in 32 bits at the input.

    What is done to raw values one by one, such as standardisation, since they need all their bits (token ids above 255
    have no 8-bit form at all); a convolution of fewer than four channels, which is several times slower in 8 bits than
    in 32; and whatever leads to a logarithm, such as a front end of sound, since small energies count there.
    """
    graph = onnx.load(model, load_external_data=False).graph
    channels = {tensor.name: tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) in (3, 4)}
    raw = {value.name for value in graph.input}
    excluded: list[str] = []
    for node in graph.node:
        if not raw.intersection(node.input):
            continue
        if node.op_type in ELEMENTWISE:
            excluded.append(node.name)
            raw.update(node.output)
        elif node.op_type == "Conv" and channels.get(node.input[1], 0) < 4:
            excluded.append(node.name)
    return excluded + _before_logarithms(graph)


def _before_logarithms(graph: onnx.GraphProto) -> list[str]:
    """Nodes that a logarithm depends on, where weights follow it; at the end of a network it is of probabilities."""
    feeds = {name: node for node in graph.node for name in node.output}
    followed: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in WEIGHTED or followed.intersection(node.output):
            followed.update(node.input)
    names: list[str] = []
    seen: set[str] = set()
    left = [name for node in graph.node if node.op_type == "Log" and followed & {*node.output} for name in node.input]
    while left:
        name = left.pop()
        if name in feeds and name not in seen:
            seen.add(name)
            names.append(feeds[name].name)
            left += feeds[name].input
    return names


def _keep_softmax(graph: onnx.GraphProto) -> None:
    """Let every softmax read what was computed, not its 8 bits.

    A softmax between 8 bits is one operator to ONNX Runtime, which gives something else in 1.16 to 1.27 at least.
    """
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        given = made.get(node.input[0]) if node.op_type == "Softmax" else None
        if given is not None and given.op_type == "DequantizeLinear" and given.input[0] in made:
            node.input[0] = made[given.input[0]].input[0]
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        read = _read(graph)
        unread = [node for node in graph.node if node.op_type == kind and not read.intersection(node.output)]
        for node in unread:
            graph.node.remove(node)
    unused = [tensor for tensor in graph.initializer if tensor.name not in _read(graph)]
    for tensor in unused:
        graph.initializer.remove(tensor)


def _read(graph: onnx.GraphProto) -> set[str]:
    """The names of the tensors that something reads."""
    return {value.name for value in graph.output} | {name for node in all_nodes(graph) for name in node.input}


@contextmanager
def _quiet() -> Generator[None]:
    """Keep onnxruntime's advice, meant for developers of quantizers, from the user's terminal."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
