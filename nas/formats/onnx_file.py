"""ONNX files: run on one thread, and stamped with the oldest operator sets that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

RUNTIMES = (("1.16.0", 19, 9), ("1.17.0", 20, 9), ("1.18.0", 21, 10))
"""Releases of ONNX Runtime with the newest opset and file format that each reads, by its table of compatibility.

The first is the oldest that is tested; 1.15, which the table gives opset 19 too, lacks some of its operators."""


def run_onnx(path: Path, inputs: Mapping[str, NDArray[Any]], batch: int = 256) -> NDArray[np.float32]:
    """Run a file on one thread; see `run_session`."""
    return run_session(open_onnx(path), inputs, batch)


def open_onnx(path: Path) -> onnxruntime.InferenceSession:
    """Open a file on one thread, its batch and free lengths open."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path),
        options,
        providers=["CPUExecutionProvider"],
        enable_fallback=0,  # which prints
    )


def run_session(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, NDArray[Any]], batch: int = 256
) -> NDArray[np.float32]:
    """Run an open file.

    Args:
        session: From `open_onnx`.
        inputs: Input name → `(n, *shape)` of any type; names that the file does not have are left out.
        batch: Samples a run.

    Returns:
        `(n, outputs)`.
    """
    names = [given.name for given in session.get_inputs()]
    count = len(inputs[names[0]])
    parts: list[NDArray[np.float32]] = [
        session.run(None, {n: inputs[n][start : start + batch].astype(np.float32) for n in names})[0]  # pyright: ignore[reportAssignmentType]
        for start in range(0, count, batch)
    ]
    return np.concatenate(parts)


def stamp(model: onnx.ModelProto) -> None:
    """Name the operator sets that a model's nodes use, each as old as it may be, and the oldest format that holds them.

    A runtime refuses a file that names a set it does not know, whether a node uses it or not. An operator is what it
    was in the opset that last changed it, so a file may name the newest of those instead of the exporter's own.
    """
    if model.functions:  # what their operators need is named in them
        return
    named = {given.domain: given.version for given in model.opset_import}
    used: dict[str, int] = {}
    for node in all_nodes(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        used[domain] = max(used.get(domain, 1), _since(node.op_type, named.get(domain, 1), domain))
    used.setdefault("", named.get("", 1))  # a runtime adds operators of ONNX's own
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in sorted(used.items()))
    if set(used) == {""}:
        model.ir_version = min(model.ir_version, _format_of(used[""]))


def oldest_runtime(path: Path) -> str:
    """The oldest of `RUNTIMES` that opens a file, by the operator sets and the format that it names.

    Returns:
        Its version; that of the one that is installed where the file is too new for all of them.

    Raises:
        OSError: If the file cannot be read.
    """
    model = onnx.load(path, load_external_data=False)
    opset = max((given.version for given in model.opset_import if given.domain in ("", "ai.onnx")), default=1)
    fits = (release for release, *newest in RUNTIMES if opset <= newest[0] and model.ir_version <= newest[1])
    return next(fits, onnxruntime.__version__)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from all_nodes(inner)


def _since(operator: str, version: int, domain: str) -> int:
    """The opset that last changed an operator; that of the file where it is not ONNX's own."""
    try:
        return onnx.defs.get_schema(operator, version, domain).since_version
    except onnx.defs.SchemaError:
        return version


def _format_of(opset: int) -> int:
    return onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
