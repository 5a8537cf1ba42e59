"""The folder that is deployed: a proven file, preprocessing and labels, a predictor, a card with every number."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from nas.compress import load_module
from nas.errors import BundleError, ExportError, RunError
from nas.export import compare, run_onnx, score_onnx
from nas.front import front_of, knee_of
from nas.ledger import Ledger, Model, replace_folder, write_json
from nas.objective import parse_limit
from nas.run import Context, open_run
from nas.settle import settle_unless_busy

PROOF_SAMPLES = 128
"""Real samples of the validation split that torch and ONNX Runtime are compared on."""

MIN_AGREEMENT = 0.9
"""Least share of validation samples that a quantized file and its twin in 32 bits label alike."""


@dataclass(frozen=True)
class Proof:
    """What was checked on the file before it was put into the bundle.

    Attributes:
        max_rel: Largest difference of ONNX Runtime from torch, relative to the largest output; of a quantized model's
            twin in 32 bits.
        samples: Real samples compared.
        tolerance: Bound on it.
        agreement: Share of validation samples that the file labels like its twin in 32 bits; 1 if it is not quantized.
        valid_accuracy: Of the file, on the validation split.
        test_accuracy: Of the file, on the test split.
    """

    max_rel: float
    samples: int
    tolerance: float
    agreement: float
    valid_accuracy: float
    test_accuracy: float


def export(
    run: str | Path,
    to: str | Path,
    *,
    model: str | None = None,
    trial: int | None = None,
    limits: Sequence[str] = (),
    data: str | Path | None = None,
    storage: str = "",
) -> tuple[Model, Proof]:
    """Write a model of a run as a bundle, after proving its file.

    Args:
        run: The run folder.
        to: The bundle's folder; an older bundle there is replaced.
        model: Name of the model; otherwise it is chosen on the final front.
        trial: Only models of this trial.
        limits: Only models within these, the most accurate of them; without a limit the knee of the front.
        data: Where the run's data are now, if not where they were.
        storage: URL of the database that holds the study, if one does.

    Returns:
        The model and the proof.

    Raises:
        RunError: If there is no run, no model, or none that was asked for.
        ExportError: If the file does not compute what the network does.
        BundleError: If the folder holds something else.
    """
    ledger, context = open_run(Path(run), data, storage)
    settle_unless_busy(ledger, trials=False)
    chosen = choose_model(ledger, model, trial, limits)
    destination = Path(to)
    _check_destination(destination)
    proof = prove(context, ledger, chosen)
    draft = destination.with_name(destination.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shutil.copyfile(chosen.folder / "model.onnx", draft / "model.onnx")
    shutil.copyfile(Path(__file__).with_name("predict.py"), draft / "predict.py")
    write_json(draft / "bundle.json", _description(context, chosen, proof))
    (draft / "README.md").write_text(_card(ledger, context, chosen, proof), encoding="utf-8")
    replace_folder(draft, destination)
    return chosen, proof


def choose_model(ledger: Ledger, name: str | None, trial: int | None, limits: Sequence[str]) -> Model:
    """Choose a model: by name, or on the front of all models the most accurate within limits, or the knee.

    Raises:
        RunError: If there is none.
    """
    models = ledger.models()
    if not models:
        raise RunError(
            f"{ledger.folder}: has no refined model to export.", f"Refine first: nas refine {ledger.folder}."
        )
    if name is not None:
        found = [m for m in models if m.name == name]
        if not found:
            raise RunError(f"{ledger.folder}: has no model {name!r}; it has {', '.join(m.name for m in models)}.")
        return found[0]
    objectives = ledger.record.parsed_objectives
    of_trial = [m for m in models if trial is None or m.trial == trial]
    bounds = [parse_limit(text) for text in limits]
    within = [m for m in front_of(of_trial, objectives) if all(b.violation(m.metrics) == 0 for b in bounds)]
    if not within:
        wanted = " and ".join([*([f"trial {trial}"] if trial is not None else []), *map(str, bounds)])
        raise RunError(
            f"{ledger.folder}: none of its {len(models)} models meets {wanted}.", "Loosen it; see nas report."
        )
    return max(within, key=lambda m: m.metrics["accuracy"]) if bounds else knee_of(within, objectives)


def prove(context: Context, ledger: Ledger, model: Model) -> Proof:
    """Check a model's file against its network and score it.

    A quantized file cannot equal its network; its twin in 32 bits must, and the two must label alike.

    Raises:
        ExportError: If either check fails.
    """
    quantized = "int8" in model.passes
    twin = _twin(ledger, model) if quantized else model
    module = load_module(context, twin)
    valid, test = context.task.valid, context.task.test
    samples = {name: valid.inputs[name][:PROOF_SAMPLES] for name in module.modalities}
    parity = compare(module, twin.folder / "model.onnx", samples)
    if not parity.max_rel <= parity.tolerance:
        raise ExportError(
            f"{twin.name}: ONNX Runtime differs from torch by {parity.max_rel:.1e} of the largest output; expected at "
            f"most {parity.tolerance:.0e}. Nothing was exported.",
            "Refine or compress the run again: its file or weights were changed.",
        )
    file = model.folder / "model.onnx"
    same = run_onnx(file, valid.inputs).argmax(1) == run_onnx(twin.folder / "model.onnx", valid.inputs).argmax(1)
    agreement = float(same.mean())
    if agreement < MIN_AGREEMENT:
        raise ExportError(
            f"{model.name}: the quantized file labels only {agreement:.1%} of the validation split like its twin in 32 "
            f"bits; expected at least {MIN_AGREEMENT:.0%}. Nothing was exported.",
            "Export the twin, or compress with other passes.",
        )
    return Proof(
        parity.max_rel,
        parity.samples,
        parity.tolerance,
        agreement,
        score_onnx(file, valid.inputs, valid.targets),
        score_onnx(file, test.inputs, test.targets),
    )


def _twin(ledger: Ledger, model: Model) -> Model:
    name = model.name.removesuffix("-int8")
    return next(m for m in ledger.models() if m.name == name)


def _description(context: Context, model: Model, proof: Proof) -> dict[str, Any]:
    task = context.task
    used = [name for name in task.modalities if name in _input_names(model)]
    network = context.space().architecture(model.decisions).network
    return {
        "model": model.name,
        "labels": list(task.labels),
        "modalities": {
            name: {
                "kind": task.modalities[name].kind,
                "shape": list(task.modalities[name].shape),
                "preprocessing": task.modalities[name].preprocessing,
                "free": task.inputs[name].free,
                "tokens": bool(task.inputs[name].vocabulary),
                "optional": bool(network.modality_dropout),
            }
            for name in used
        },
        "proof": asdict(proof),
        "metrics": model.metrics,
    }


def _input_names(model: Model) -> set[str]:
    import onnx

    return {given.name for given in onnx.load(model.folder / "model.onnx").graph.input}


def _card(ledger: Ledger, context: Context, model: Model, proof: Proof) -> str:
    environment = jinja2.Environment(  # noqa: S701 - the card is Markdown, not a page
        loader=jinja2.PackageLoader("nas", "."), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("card.md.j2")
    return template.render(
        model=model, proof=proof, record=ledger.record, task=context.task, inputs=sorted(_input_names(model))
    )


def _check_destination(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "bundle.json").exists()):
        raise BundleError(f"{folder}: holds something else than a bundle.", "Name a new folder with --to.")
