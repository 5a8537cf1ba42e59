"""The whole pipeline on the built-in task: search, refine, compress, report, export, predict. `make demo`.

Writes results/runs/demo, a bundle in results/runs/demo-bundle, results/demo.md and results/demo.png.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from unimodal import unimodal_accuracy

from nas.blocks import ConvNet, Input
from nas.deploy.bundle import export
from nas.pipeline.compress import compress
from nas.pipeline.refine import Refusal, refine
from nas.pipeline.run import open_run
from nas.pipeline.search import search
from nas.report import report, view
from nas.report.progress import listed, pace, what_passes_brought
from nas.runs.ledger import Ledger
from nas.runs.models import Model
from nas.targets.measure import fingerprint
from nas.training import Training

ROOT = Path(__file__).resolve().parent.parent
RUN, BUNDLE = ROOT / "results" / "runs" / "demo", ROOT / "results" / "runs" / "demo-bundle"
TRIALS, EPOCHS, REFINE_EPOCHS, SEEDS, MEMBERS = 16, 2, 5, 2, 3
REFERENCE_STEPS = 20


def main() -> None:
    """Run the demo from the beginning and write what it found."""
    shutil.rmtree(RUN, ignore_errors=True)
    torch.set_num_threads(1)  # two threads that wait for each other are slower than one on a machine that is busy
    reference = _reference_s()
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
    model, proof = export(RUN, BUNDLE)
    print(f"exported {model.name}: {proof}")
    stage("report and export")
    _, context = open_run(RUN)
    alone = unimodal_accuracy(context, model, Training(epochs=REFINE_EPOCHS))
    stage("each modality alone")
    test = context.task.test
    np.savez(RUN / "sample.npz", **{name: values[:3] for name, values in test.inputs.items()})
    command = [sys.executable, str(BUNDLE / "predict.py"), str(RUN / "sample.npz")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    labels = context.task.output.description["labels"]
    print(f"{said}true labels: {', '.join(labels[i] for i in test.targets[:3])}")
    shutil.copyfile(RUN / "front.png", ROOT / "results" / "demo.png")
    total = time.monotonic() - begun
    (ROOT / "results" / "demo.md").write_text(_summary(ledger, model, alone, times, total, reference), encoding="utf-8")
    print((ROOT / "results" / "demo.md").read_text(encoding="utf-8"))


def _show(made: Model | Refusal) -> None:
    if isinstance(made, Refusal):
        print(f"{made.model}: refused: {made.reason}", flush=True)
        return
    text = listed(made.metrics, ("accuracy", "latency_ms", "size_bytes"))
    print(f"{made.name}: {text}{what_passes_brought(made)}", flush=True)


def _reference_s() -> float:
    """Seconds that a fixed workload takes on this machine: training steps of one network on one thread."""
    torch.manual_seed(0)
    encoder = ConvNet(16).build(Input((1, 28, 28)))
    net = torch.nn.Sequential(encoder, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.LazyLinear(10))
    images, labels = torch.rand(64, 1, 28, 28), torch.randint(10, (64,))
    net(images)
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    times: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        for _ in range(REFERENCE_STEPS):
            loss = torch.nn.functional.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        times.append(time.perf_counter() - begun)
    return min(times)


def _passes(models: Sequence[Model]) -> Iterator[str]:
    """What each kind of pass made of bytes and time on this machine, over all models that it was applied to."""
    made: dict[str, list[tuple[float, float]]] = {}
    for model in models:
        if model.passes and model.metrics["latency_quality"] == "good":
            ratios = model.metrics["pass_bytes_ratio"], model.metrics["pass_time_ratio"]
            made.setdefault(model.passes[-1].label, []).append(ratios)
    for name, ratios in sorted(made.items()):
        smaller, quicker = np.exp(np.log(ratios).mean(axis=0))
        times = [time for _, time in ratios]
        paces = Counter(pace(time) for time in times)
        words = ", ".join(f"{count} {word}" for word, count in sorted(paces.items()))
        yield (
            f"- {name}: {smaller:.2f} of the bytes, {quicker:.2f} of the time here (means of {len(ratios)} models "
            f"measured quietly, each beside what it was made of: {min(times):.2f} to {max(times):.2f}; {words})"
        )


def _summary(
    ledger: Ledger, model: Model, alone: Mapping[str, float], times: Mapping[str, float], total: float, reference: float
) -> str:
    machine, shown = fingerprint(1, "CPUExecutionProvider", 1), view(ledger)
    models = {each.name: each for each in ledger.models()}
    twin, m = models[f"{model.trial}-refined"], model.metrics
    unimodal = ", ".join(f"{name} {score:.3f}" for name, score in alone.items())
    noisy = sum(item.metrics["latency_quality"] == "noisy" for item in shown.front)
    beside = (
        f"; {m['bytes_ratio']:.2f} of the bytes and {m['time_ratio']:.2f} of the time of what it was compressed from, "
        f"whose test accuracy is {twin.metrics['test_accuracy']:.4f}"
        if model.passes
        else ""
    )
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items())
    passes = "\n".join(_passes(list(models.values())))
    return f"""# Demo

`make demo` on {machine["cores"]} cores of {machine["cpu"]}, revision {ledger.record.revision}: {total:.0f} s in all \
({stages}). Reference workload, {REFERENCE_STEPS} training steps of one fixed network on one thread: {reference:.1f} s.

- final front: {len(shown.front)} models, {noisy} of them measured in noisy moments only
- exported, the knee of the front: {model.name}; test accuracy {m["test_accuracy"]:.4f}, validation \
{m["accuracy"]:.4f}; {listed(m, ("latency_ms", "size_bytes"))}{beside}
- test accuracy of both modalities {twin.metrics["test_accuracy"]:.3f}; of each alone, same encoders and training: \
{unimodal}

What compression brought on this machine; on another one the times may be the other way round:

{passes}

![fronts](demo.png)
"""


if __name__ == "__main__":
    main()
