"""The whole pipeline on the built-in task: search, refine, compress, report, export, predict. `make demo`.

Writes results/runs/demo, a bundle in results/runs/demo-bundle, results/demo.md and results/demo.png.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from unimodal import unimodal_accuracy

from nas.bundle import export
from nas.compress import compress
from nas.devices.measure import fingerprint
from nas.ledger import Ledger, Model
from nas.refine import Refusal, refine
from nas.report import report, view
from nas.run import open_run
from nas.search import search
from nas.training import Training

ROOT = Path(__file__).resolve().parent.parent
RUN, BUNDLE = ROOT / "results" / "runs" / "demo", ROOT / "results" / "runs" / "demo-bundle"
TRIALS, EPOCHS, REFINE_EPOCHS, SEEDS, MEMBERS = 16, 2, 6, 2, 5


def main() -> None:
    """Run the demo from the beginning and write what it found."""
    shutil.rmtree(RUN, ignore_errors=True)
    begun = time.monotonic()
    times: dict[str, float] = {}

    def stage(name: str) -> None:
        times[name] = time.monotonic() - begun - sum(times.values())
        print(f"== {name}: {times[name]:.0f} s", flush=True)

    ledger = search(
        ROOT / "search_spaces" / "digits.py",
        RUN,
        trials=TRIALS,
        training=Training(epochs=EPOCHS),
        command="make demo",
        on_trial=lambda _, t: print(f"trial {t.number}: {t.state} {t.metrics.get('accuracy', t.reason)}", flush=True),
    )
    stage("search")
    refine(RUN, seeds=SEEDS, epochs=REFINE_EPOCHS, members=MEMBERS, on_model=_show)
    stage("refine")
    compress(RUN, on_model=_show)
    stage("compress")
    report([RUN])
    model, twin = _best_quantized(ledger)
    _, proof = export(RUN, BUNDLE, model=model.name)
    print(f"exported {model.name}: {proof}")
    stage("report and export")
    _, context = open_run(RUN)
    alone = unimodal_accuracy(context, twin, Training(epochs=REFINE_EPOCHS))
    stage("each modality alone")
    test = context.task.test
    np.savez(RUN / "sample.npz", **{name: values[:3] for name, values in test.inputs.items()})
    command = [sys.executable, str(BUNDLE / "predict.py"), str(RUN / "sample.npz")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"{said}true labels: {', '.join(context.task.labels[i] for i in test.targets[:3])}")
    shutil.copyfile(RUN / "front.png", ROOT / "results" / "demo.png")
    total = time.monotonic() - begun
    (ROOT / "results" / "demo.md").write_text(_summary(ledger, model, twin, alone, times, total), encoding="utf-8")
    print((ROOT / "results" / "demo.md").read_text(encoding="utf-8"))


def _show(made: Model | Refusal) -> None:
    if isinstance(made, Refusal):
        print(f"{made.model}: refused: {made.reason}", flush=True)
        return
    m = made.metrics
    print(f"{made.name}: accuracy {m['accuracy']:.4f}, {m['latency_ms']:.4f} ms, {m['size_bytes']:,} bytes", flush=True)


def _best_quantized(ledger: Ledger) -> tuple[Model, Model]:
    """The most accurate quantized model of the final front that is faster than its twin in 32 bits, and that twin."""
    models = {model.name: model for model in ledger.models()}
    pairs = [
        (item, models[str(item.parent)])
        for item in view(ledger).front
        if isinstance(item, Model) and item.passes == ("int8",)
    ]
    faster = [(m, twin) for m, twin in pairs if m.metrics["latency_ms"] < 0.95 * twin.metrics["latency_ms"]]
    if not faster:
        raise SystemExit("no quantized model of the final front is faster than its twin in 32 bits")
    return max(faster, key=lambda pair: pair[0].metrics["accuracy"])


def _summary(
    ledger: Ledger, model: Model, twin: Model, alone: dict[str, float], times: dict[str, float], total: float
) -> str:
    machine, shown = fingerprint(1, "CPUExecutionProvider", 1), view(ledger)
    a, b = model.metrics, twin.metrics
    unimodal = ", ".join(f"{name} {score:.3f}" for name, score in alone.items())
    return f"""# Demo

`make demo` on {machine["cores"]} cores of {machine["cpu"]}, revision {ledger.record.revision}: {total:.0f} s in all \
({", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items())}).

- final front: {len(shown.front)} models
- exported: {model.name}; {a["size_bytes"]:,} bytes, {a["size_bytes"] / b["size_bytes"]:.2f} of its twin in 32 bits; \
{a["latency_ms"]:.4f} ms, {a["latency_ms"] / b["latency_ms"]:.2f} of it; test accuracy {a["test_accuracy"]:.4f} \
against {b["test_accuracy"]:.4f}, validation {a["accuracy"]:.4f} against {b["accuracy"]:.4f}
- test accuracy of both modalities {b["test_accuracy"]:.3f}; of each alone, same encoders and training: {unimodal}

![fronts](demo.png)
"""


if __name__ == "__main__":
    main()
