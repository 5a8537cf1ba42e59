"""From torch to ONNX, with a gate: a file that does not compute what the network does is not kept.

The only place that calls `torch.onnx`. The exporter without dynamo takes a tenth of a second instead of seconds. The
batch axis is left open, and where a length is free the last axis too; a file with free lengths says in its metadata
which lengths it is measured at.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from nas.blocks.cost import evaluating
from nas.errors import BUILD_ERRORS, ExportError
from nas.formats.onnx_file import open_onnx, run_session, stamp
from nas.targets import LENGTHS, ONNX_ERRORS

TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output."""

BATCHES = (1, 7)
"""Batch sizes that are compared."""


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
