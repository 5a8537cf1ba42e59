"""How much memory one inference of an ONNX file needs, by a plan over its graph.

Counted are the weights, and the most tensors that are alive at once when the nodes are run in the file's order: each
from the node that makes it to the last one that reads it, the outputs to the end. Sizes are those of a real run of one
sample. What a runtime saves by joining operators and by writing in place, and what operators need inside, is not in it,
so that the same file has the same number on every device.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from nas.errors import ExportError
from nas.targets import LENGTHS, ONNX_ERRORS


def peak_memory_bytes(file: Path) -> int:
    """The bytes of weights and of the tensors that are alive at once, at most, in one inference of one sample.

    Raises:
        ExportError: If ONNX Runtime cannot run the file.
    """
    model = onnx.load(file)
    try:
        sizes = _sizes(model)
    except ONNX_ERRORS as error:
        raise ExportError(f"{file}: its memory cannot be planned: {str(error).splitlines()[0]}") from error
    weights = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
    return weights + _most_alive(model.graph, sizes)


def _most_alive(graph: onnx.GraphProto, sizes: Mapping[str, int]) -> int:
    """The most bytes of tensors that are alive while a node runs; a node's inputs and outputs all are."""
    last: dict[str, int] = {}
    for position, node in enumerate(graph.node):
        last |= dict.fromkeys(node.input, position)
    last |= dict.fromkeys((given.name for given in graph.output), len(graph.node))
    alive = {given.name: sizes[given.name] for given in graph.input if given.name in sizes}
    most = sum(alive.values())
    for position, node in enumerate(graph.node):
        alive |= {name: sizes[name] for name in node.output if name in sizes}
        most = max(most, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > position}
    return most


def _sizes(model: onnx.ModelProto) -> dict[str, int]:
    """The bytes of each input and of what each node makes, in one run of zeros in which all of it is an output."""
    outputs = {given.name for given in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name and name not in outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), _plain(), providers=["CPUExecutionProvider"], enable_fallback=0
    )
    del model.graph.output[len(outputs) :]
    lengths = {entry.key: entry.value for entry in model.metadata_props}
    sizes = {"batch": 1, **json.loads(lengths.get(LENGTHS, "{}"))}
    feeds = {
        given.name: np.zeros([n if isinstance(n, int) else sizes.get(n, 1) for n in given.shape], _type(given.type))
        for given in session.get_inputs()
    }
    names = [output.name for output in session.get_outputs()]
    tensors: dict[str, Any] = {**feeds, **dict(zip(names, session.run(names, feeds), strict=True))}
    return {name: int(np.asarray(tensor).nbytes) for name, tensor in tensors.items()}


def _plain() -> Any:
    """Options under which the file's own nodes run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _type(name: str) -> type[np.generic]:
    """Of an input, by ONNX Runtime's name for it."""
    kinds: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}
    return kinds.get(name, np.int64)
