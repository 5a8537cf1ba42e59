"""From torch to ONNX, with a gate: a file that does not compute what the network does is not kept.

The only place that calls `torch.onnx`. The exporter without dynamo takes a tenth of a second instead of seconds. The
batch axis is left open, and where a length is free the last axis too; a file with free lengths says in its metadata
which lengths it is measured at.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from nas.blocks.cost import evaluating
from nas.devices import LENGTHS, ONNX_ERRORS
from nas.errors import BUILD_ERRORS, ExportError

TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output."""

BATCHES = (1, 7)
"""Batch sizes that are compared."""

RUNTIMES = (("1.16.0", 19, 9), ("1.17.0", 20, 9), ("1.18.0", 21, 10))
"""Releases of ONNX Runtime with the newest opset and file format that each reads, by its table of compatibility.

The first is the oldest that is tested; 1.15, which the table gives opset 19 too, lacks some of its operators."""


@dataclass(frozen=True)
class Parity:
    """The proof that a file computes what its network does.

    Attributes:
        max_abs: Largest difference of an output.
        max_rel: The same relative to the largest output.
        samples: Samples compared.
        tolerance: Bound on `max_rel`.
    """

    max_abs: float
    max_rel: float
    samples: int
    tolerance: float = TOLERANCE


def export_onnx(
    module: nn.Module,
    input_shapes: Mapping[str, tuple[int, ...]],
    path: Path,
    samples: Mapping[str, NDArray[Any]] | None = None,
    free: Collection[str] = (),
) -> Parity:
    """Write a network as ONNX and prove the file against it.

    Args:
        module: Takes the inputs by position, in the order of `input_shapes`; gives logits `(b, outputs)`.
        input_shapes: Input name → shape without the batch axis.
        path: The file; appears only if the proof holds.
        samples: Real inputs `(n, *shape)` to compare on; random ones otherwise.
        free: Names of the inputs whose last axis may have another length in the deployed file.

    Returns:
        The proof.

    Raises:
        ExportError: If the network cannot be written, or its file differs from it.
        OSError: If the file cannot be written.
    """
    draft = path.with_name(path.name + ".part")
    try:
        with evaluating(module):
            _write(module, input_shapes, draft, free)
            given = samples or _random_samples(input_shapes)
            try:
                parity = compare(module, draft, given, free)
            except ONNX_ERRORS as error:
                raise ExportError(f"{path.name}: ONNX Runtime cannot run it: {str(error).splitlines()[0]}") from error
            except BUILD_ERRORS as error:
                raise ExportError(f"{path.name}: the network cannot run it: {str(error).splitlines()[0]}") from error
        if not parity.max_rel <= TOLERANCE:
            raise ExportError(
                f"{path.name}: ONNX Runtime differs from torch by {parity.max_rel:.1e} of the largest output; "
                f"expected at most {TOLERANCE:.0e}."
            )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return parity


def compare(module: nn.Module, path: Path, samples: Mapping[str, NDArray[Any]], free: Collection[str] = ()) -> Parity:
    """Compare a network in evaluation mode with a file, at batch sizes 1, 7 and all samples.

    Args:
        module: Takes the inputs by position, in the order of `samples`.
        path: The ONNX file.
        samples: Input name → `(n, *shape)`.
        free: Inputs whose last axis is free; they are compared at one and a half times their length too.
    """
    count = len(next(iter(samples.values())))
    parts = [{name: values[:batch] for name, values in samples.items()} for batch in sorted({*BATCHES, count})]
    session = open_onnx(path)
    worst_abs = worst_rel = 0.0
    for part in [*parts, *([_longer(parts[-1], free)] if free else [])]:
        with torch.inference_mode():
            expected = module(*(torch.from_numpy(v.astype(np.float32)) for v in part.values())).numpy()
        difference = float(np.abs(expected - run_session(session, part)).max())
        worst_abs = max(worst_abs, difference) if difference == difference else np.nan
        worst_rel = max(worst_rel, difference / max(float(np.abs(expected).max()), 1e-6))
    return Parity(worst_abs, worst_rel if worst_abs == worst_abs else np.nan, count)


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
        Logits `(n, outputs)`.
    """
    names = [given.name for given in session.get_inputs()]
    count = len(inputs[names[0]])
    parts: list[NDArray[np.float32]] = [
        session.run(None, {n: inputs[n][start : start + batch].astype(np.float32) for n in names})[0]  # pyright: ignore[reportAssignmentType]
        for start in range(0, count, batch)
    ]
    return np.concatenate(parts)


def score_onnx(path: Path, inputs: Mapping[str, NDArray[Any]], targets: NDArray[np.int64]) -> float:
    """Share of samples that the file itself classifies rightly."""
    return float((run_onnx(path, inputs).argmax(1) == targets).mean())


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


def _write(module: nn.Module, input_shapes: Mapping[str, tuple[int, ...]], path: Path, free: Collection[str]) -> None:
    examples = tuple(torch.zeros(1, *shape) for shape in input_shapes.values())
    axes = {name: {0: "batch"} for name in (*input_shapes, "logits")}
    for name in free:
        axes[name][len(input_shapes[name])] = f"{name}_length"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        warnings.filterwarnings("ignore", message="Constant folding - Only steps=1")
        warnings.filterwarnings("ignore", message="Exporting a model to ONNX with a batch_size other than 1")
        try:
            torch.onnx.export(
                module,
                examples,
                str(path),
                input_names=list(input_shapes),
                output_names=["logits"],
                dynamic_axes=axes,
                dynamo=False,
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExportError(f"{path.name}: cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    model = onnx.load(path)
    if free:
        lengths = {f"{name}_length": input_shapes[name][-1] for name in free}
        model.metadata_props.add(key=LENGTHS, value=json.dumps(lengths))
    _flush_denormals(model)
    stamp(model)
    onnx.save(model, path)


def _flush_denormals(model: onnx.ModelProto) -> int:
    """Set weights that are too small for a normal number to 0, and tell how many there were.

    Many processors compute with such numbers a hundred times slower, and ONNX Runtime's own switch does not reach the
    thread that runs a session of one thread. What is flushed is below 1.2e-38.
    """
    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        tiny = (values != 0) & (np.abs(values) < np.finfo(np.float32).tiny)
        if tiny.any():
            flushed += int(tiny.sum())
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.where(tiny, np.float32(0), values), tensor.name))
    return flushed


def _random_samples(input_shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return {n: rng.uniform(0, 255, (max(BATCHES), *s)).astype(np.float32) for n, s in input_shapes.items()}


def _longer(samples: Mapping[str, NDArray[Any]], free: Collection[str]) -> Mapping[str, NDArray[Any]]:
    """The same samples, those of free length one and a half times as long by beginning again."""
    return {
        name: np.concatenate([values, values[..., : (values.shape[-1] + 1) // 2]], -1) if name in free else values
        for name, values in samples.items()
    }
