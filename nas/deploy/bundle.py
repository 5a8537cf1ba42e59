"""The folder that is deployed: a proven file, preprocessing and labels, a predictor, a card with every number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from nas.deploy.card import write_card
from nas.deploy.predictor import PACKAGE, copy_predictor
from nas.deploy.preparation import sample_file, time_preparation
from nas.deploy.proof import Proof, prove, twin_of
from nas.deploy.selection import choose_model
from nas.errors import BundleError
from nas.formats.onnx_file import oldest_runtime, open_onnx
from nas.pipeline.compress import described
from nas.pipeline.context import WorkerContext
from nas.pipeline.run import open_run
from nas.pipeline.settle import settle_unless_busy
from nas.runs.files import file_hash, replace_folder, write_json
from nas.runs.models import Model
from nas.runtime import PredictError
from nas.tasks.data.table import MODALITY, prove_preparation
from nas.terminal import finite

ELSEWHERE = "Name a new folder with --to."

FILES = ("model.onnx", "predict.py", PACKAGE, "bundle.json", "README.md")
"""What a bundle is made of."""


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
        RunError: If there is no run, no model, or none that was asked for and is within the limits.
        ExportError: If the file is not the one that was made, or does not compute what the network does.
        TaskError: If the bundle would not prepare the run's table as training did.
        BundleError: If the folder holds something else, or cannot be written; before anything is computed.
    """
    with _drafted(Path(to)) as draft:
        ledger, context = open_run(Path(run), data, storage)
        settle_unless_busy(ledger, trials=False)
        chosen = choose_model(ledger, model, trial, limits)
        proof = prove(context, chosen)
        shutil.copyfile(chosen.folder / "model.onnx", draft / "model.onnx")
        copy_predictor(draft)
        bundle = _description(context, chosen, proof)
        write_json(draft / "bundle.json", finite(bundle))
        _prove_preparation(context, draft / "bundle.json")
        card = write_card(ledger.record, context.task, chosen, twin_of(chosen), proof, bundle)
        (draft / "README.md").write_text(card, encoding="utf-8")
    return chosen, proof


@contextmanager
def _drafted(to: Path) -> Generator[Path]:
    """Give a folder to write to, which takes the place of the bundle's when all went well; else nothing is left of it.

    Raises:
        BundleError: If the folder holds something else than a bundle, or cannot be written.
    """
    try:
        destination = to.resolve()
        _check_destination(to, destination)
        draft = destination.with_name(destination.name + ".part")
        _check_draft(draft)
        made = [folder for folder in (draft, *draft.parents) if not folder.exists()]
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    except BundleError:
        raise
    except (OSError, RuntimeError) as error:  # a chain of links that has no end is a RuntimeError
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise BundleError(f"{to}: cannot be written: {said}.", ELSEWHERE) from None
    with ExitStack() as undo:
        undo.callback(_remove, draft, made[1:])
        yield draft
        replace_folder(draft, destination)
        undo.pop_all()


def _check_draft(draft: Path) -> None:
    """Refuse to write over what no export left."""
    if draft.exists() and (not draft.is_dir() or _foreign(draft, FILES)):
        raise BundleError(f"{draft}: is in the way, and not left by an export.", ELSEWHERE)


def _remove(draft: Path, made: Sequence[Path]) -> None:
    """Remove a draft, and the folders that were made for it."""
    shutil.rmtree(draft, ignore_errors=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _check_destination(to: Path, folder: Path) -> None:
    """Refuse to replace what is not a bundle, or is more than one."""
    if folder in (Path.cwd(), *Path.cwd().parents):
        raise BundleError(f"{to}: is the folder that you are in; expected one that may be replaced.", ELSEWHERE)
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{to}: is a file; expected a folder.", ELSEWHERE)
    foreign = _foreign(folder, (*FILES, "__pycache__")) if folder.exists() else []
    is_bundle = not folder.exists() or not any(folder.iterdir()) or (folder / "bundle.json").exists()
    if foreign or not is_bundle:
        named = f": {', '.join(foreign[:5])}{', …' if foreign[5:] else ''}" if foreign else ""
        raise BundleError(f"{to}: holds something else than a bundle{named}.", ELSEWHERE)


def _foreign(folder: Path, own: Sequence[str]) -> list[str]:
    """What lies in a folder and is no part of a bundle; a bundle of another version has other code."""
    names = {each.name for each in folder.iterdir()} - {*own}
    code = (each for each in (folder / PACKAGE).glob("*") if each.suffix != ".py" and each.name != "__pycache__")
    return sorted(names | {f"{PACKAGE}/{each.name}" for each in code})


def _description(context: WorkerContext, model: Model, proof: Proof) -> dict[str, Any]:
    """What `bundle.json` says: how inputs are prepared, what outputs mean, what was checked and measured."""
    file = model.folder / "model.onnx"
    session = open_onnx(file)
    task, given = context.task, session.get_inputs()
    names = {tensor.name for tensor in given}
    network = described(context, model).network
    modalities = {
        name: {
            "kind": modality.kind,
            "shape": list(modality.shape),
            "preprocessing": modality.preprocessing,
            "free": modality.free,
            "tokens": bool(modality.vocabulary),
            "vocabulary": modality.vocabulary,
            "optional": bool(network.modality_dropout),
        }
        for name, modality in task.modalities.items()
        if name in names
    }
    prepare_ms, endings = _preparation(modalities, {name: task.valid.inputs[name][0] for name in modalities})
    return {
        "model": model.name,
        "output": task.output.description,
        "modalities": modalities,
        "tensors": {
            "inputs": [_tensor(each) for each in given],
            "outputs": [_tensor(e) for e in session.get_outputs()],
        },
        "sha256": file_hash(file),
        "oldest_onnxruntime": oldest_runtime(file),
        "prepare_ms": prepare_ms,
        "prepared": endings,
        "proof": asdict(proof),
        "metrics": model.metrics,
    }


def _preparation(
    modalities: Mapping[str, Mapping[str, Any]], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, Mapping[str, str]]:
    """Time the preparation of one sample from files, and tell what kind of file each modality had."""
    with TemporaryDirectory() as folder:
        files = {
            name: sample_file(modality, samples[name], Path(folder) / str(position))
            for position, (name, modality) in enumerate(modalities.items())
        }
        try:
            return time_preparation(modalities, files), {name: file.suffix for name, file in files.items()}
        except PredictError as error:
            raise BundleError(f"the bundle would not take a sample of its own task: {error}") from None


def _prove_preparation(context: WorkerContext, file: Path) -> None:
    """Prove of a user's own table that the bundle, as it was written, prepares it as training did."""
    if context.task.source is not None:
        prove_preparation(context.task, json.loads(file.read_text(encoding="utf-8"))["modalities"][MODALITY])


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor.type, "shape": list(tensor.shape)}
