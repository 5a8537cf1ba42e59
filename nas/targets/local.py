"""The machine that the search runs on, as a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxruntime import get_available_providers  # pyright: ignore[reportAttributeAccessIssue]

from nas.errors import TargetError
from nas.targets.measure import ONNX_ERRORS, PATIENCE_S, fingerprint, load_gate, measure
from nas.targets.target import Latency, latency_from


@dataclass(frozen=True)
class LocalTarget:
    """The machine that the search runs on, with ONNX Runtime.

    Attributes:
        name: What it is called on the command line.
        provider: ONNX Runtime's execution provider.
        threads: Of one inference.
        batch: Samples of one inference.
        patience_s: How long one measurement looks for quiet moments, in seconds.
    """

    name: str = "local"
    provider: str = "CPUExecutionProvider"
    threads: int = 1
    batch: int = 1
    patience_s: float = PATIENCE_S

    def measure(self, files: Sequence[Path]) -> Sequence[Latency]:
        """Measure ONNX files in this process, in turns in the same quiet moments: their ratios are ratios.

        Raises:
            TargetError: If a file is missing, or ONNX Runtime cannot load or run one of them with the provider.
        """
        for file in files:
            if not file.exists():
                raise TargetError(f"{file}: there is no such file; expected an ONNX model.")
        if self.provider not in get_available_providers():
            known = ", ".join(get_available_providers())
            raise TargetError(f"target {self.name!r}: ONNX Runtime has no {self.provider} here; it has {known}.")
        try:
            found = measure(files, self.threads, self.provider, self.batch, self.patience_s)
        except (*ONNX_ERRORS, ValueError) as error:
            names = ", ".join(map(str, files))
            raise TargetError(f"{names}: ONNX Runtime cannot run it on target {self.name!r}: {error}") from error
        return [latency_from(values) for values in found]

    def fingerprint(self) -> Mapping[str, Any]:
        """This machine, its ONNX Runtime, and how it is used."""
        return fingerprint(self.threads, self.provider, self.batch)


def is_measured_here(metrics: Mapping[str, Any]) -> bool:
    """Whether a trial's or model's latency is of a device and runtime like this, so that it can be measured again."""
    device = metrics.get("device") or {}
    return device == fingerprint(*(device.get(name) for name in ("threads", "provider", "batch")))


def doubted(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metrics, their latency called noisy where it was measured in a moment that is known to be slow by now.

    A device can show only later how fast it is. What was measured elsewhere, or not at all, stays as it is.
    """
    if not is_measured_here(metrics) or "reference_ms" not in metrics:
        return metrics
    gate = load_gate(metrics["reference_layers"])
    if gate.best_s == float("inf") or gate.is_quiet(metrics["reference_ms"] / 1e3):
        return metrics
    return {**metrics, "latency_quality": "noisy", "best_reference_ms": 1e3 * gate.best_s}
