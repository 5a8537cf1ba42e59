"""The command `nas`."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.table import Table

from nas.errors import DeviceWarning, NasError
from nas.options import Address, Data, Run, Storage, Workers, with_terms
from nas.runs.storage_url import masked
from nas.terminal import Terminal, in_columns, speak_any_encoding

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Terminal()
_err = Terminal(stderr=True)

PROGRAM = "The space's file is a Python program, and is run."
OWN_COPY = "It runs the run's own copy of its space's file, a Python program: open runs of people you trust."

MEASURE_S = 10.0
"""How long `nas measure` tries to find a quiet moment."""


def _alone(context: typer.Context, as_json: bool) -> bool:
    """Keep standard output for JSON lines while the command runs."""
    if as_json:
        context.with_resource(_out.only_lines())
    return as_json


Json = Annotated[bool, typer.Option("--json", callback=_alone, help="Print JSON lines for programs, and nothing else.")]


def _say_version(asked: bool) -> None:
    if asked:
        _out.print(f"nas {version('nas')}")
        raise typer.Exit


@app.callback()
def nas(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """From data and possible networks to a small, fast, verified model on your device."""


@app.command(epilog=PROGRAM)
@with_terms
def search(
    space: Annotated[Path, typer.Argument(metavar="SPACE.py", help="Python program that defines the search space.")],
    run: Annotated[Path, typer.Option(help="Run folder; one that holds a run is resumed.")] = Path("results/runs/run"),
    trials: Annotated[int, typer.Option(min=1, help="Architectures to evaluate in all.")] = 50,
    time: Annotated[str | None, typer.Option(help="Begin no trial after this time: 90s, 10m, 2h.")] = None,
    trial_time: Annotated[str | None, typer.Option(help="Fail a trial that takes longer: 90s, 10m, 2h.")] = None,
    trial_memory: Annotated[
        str | None,
        typer.Option(
            help="Fail a trial whose process has more memory: 800MB, 2GB.",
            show_default="its share of 4/5 of the machine's",
        ),
    ] = None,
    workers: Workers = None,
    address: Address = None,
    storage: Storage = "",
    as_json: Json = False,
    **terms: Any,
) -> None:
    """Search a space, or go on with a run."""
    import optuna

    from nas.api import search as run_search
    from nas.report.progress import SearchProgress

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seconds = _seconds(time)
    with SearchProgress(_out, trials, seconds, as_json) as progress:
        found = run_search(
            space,
            run,
            trials=trials,
            time_s=seconds,
            trial_time_s=_seconds(trial_time, "--trial-time"),
            trial_memory_bytes=_bytes(trial_memory),
            workers=workers,
            address=address,
            storage=storage,
            command=_command_line(),
            on_trial=progress.on_trial,
            **terms,
        )
    _summarise(found.folder, storage, as_json)


@app.command(epilog=OWN_COPY)
def refine(
    run: Run,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each member of the front.")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each.", show_default="4 x the search's")] = None,
    members: Annotated[int | None, typer.Option(min=1, help="The best members.", show_default="all")] = None,
    data: Data = None,
    workers: Workers = None,
    address: Address = None,
    storage: Storage = "",
    as_json: Json = False,
) -> None:
    """Train the front's members to the end, with several seeds."""
    from nas.api import open_run

    opened = open_run(run, storage)
    opened.refine(
        seeds=seeds,
        epochs=epochs,
        members=members,
        data=data,
        workers=workers,
        address=address,
        on_model=lambda made: _show_model(made, opened.record, as_json),
    )
    _summarise(run, storage, as_json)


@app.command(epilog=OWN_COPY)
def compress(
    run: Run,
    data: Data = None,
    workers: Workers = None,
    address: Address = None,
    storage: Storage = "",
    as_json: Json = False,
) -> None:
    """Prune and quantize the refined models; measure again."""
    from nas.api import open_run

    opened = open_run(run, storage)
    opened.compress(
        data=data,
        workers=workers,
        address=address,
        on_model=lambda made: _show_model(made, opened.record, as_json),
    )
    _summarise(run, storage, as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are compared.")],
    to: Annotated[Path | None, typer.Option(help="Folder for the comparison.", show_default="the first run")] = None,
    storage: Storage = "",
    as_json: Json = False,
) -> None:
    """Write the picture and the page of runs."""
    from nas.report import report as run_report

    for file in run_report(runs, to, storage):
        _say(as_json, {"file": str(file)}, str(file))


@app.command("export", epilog=OWN_COPY)
def export_bundle(
    run: Run,
    to: Annotated[Path, typer.Option(help="The bundle's folder.")],
    knee: Annotated[bool, typer.Option("--knee", help="The front's best compromise; what happens by default.")] = False,
    model: Annotated[str | None, typer.Option(help="A model by name.")] = None,
    trial: Annotated[int | None, typer.Option(help="Only models of this trial.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="The best model within, e.g. 'latency_ms<=1.5'.")] = None,
    data: Data = None,
    storage: Storage = "",
    as_json: Json = False,
) -> None:
    """Write a model as a folder to deploy, after proving its file."""
    from nas.compression import is_exact
    from nas.deploy.bundle import export
    from nas.report.progress import listed, proven_text

    if knee and (model or limit):
        raise typer.BadParameter("--knee cannot be combined with --model or --limit.")
    chosen, proof = export(run, to, model=model, trial=trial, limits=limit or (), data=data, storage=storage)
    _say(
        as_json,
        {"model": chosen.name, "bundle": str(to), "proof": asdict(proof), "metrics": chosen.metrics},
        f"{to}: {chosen.name}, {proven_text(proof.scores)}, "
        f"{listed(chosen.metrics, ('latency_ms', 'size_bytes'))}; ONNX Runtime against torch "
        f"{proof.max_rel:.1e} on {proof.samples} samples"
        + (f", says the same as its twin in 32 bits of {proof.agreement:.1%}" if not is_exact(chosen.passes) else ""),
    )


@app.command()
def measure(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL.onnx...", help="Several are measured in turns: their ratio holds.")
    ],
    target: Annotated[str, typer.Option(help="Device to measure on.")] = "local",
    threads: Annotated[int, typer.Option(min=1, help="Threads of one inference there.")] = 1,
    as_json: Json = False,
) -> None:
    """Measure the latency of ONNX files."""
    from nas.targets import load_target, measure_patiently

    latencies = measure_patiently(models, load_target(target, threads), MEASURE_S)
    for model, latency in zip(models, latencies, strict=True):
        low, high = latency.interval_ms
        ratio = latency.latency_ms / latencies[0].latency_ms
        _say(
            as_json,
            {"model": str(model), **asdict(latency)},
            (f"{model}: " if models[1:] else "")
            + f"{latency.latency_ms:.4f} ms (noise {low:.4f} to {high:.4f}; p50 {latency.p50_ms:.4f}, "
            f"p95 {latency.p95_ms:.4f}; {latency.quality}) on {latency.fingerprint['cpu']}, "
            f"{threads} thread{'s' * (threads > 1)}, ONNX Runtime {latency.fingerprint['onnxruntime']}"
            + (f"; {ratio:.2f} of the time of {models[0]}" if latency is not latencies[0] else ""),
        )


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle folder.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="NAME=FILE for each input, or one .npz file.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Labels to print.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that the model says as JSON lines.")] = False,
) -> None:
    """Run a bundle."""
    from nas.runtime import main as run_predict

    raise typer.Exit(
        run_predict([*inputs, "--bundle", str(bundle), "--top", str(top), *(["--json"] if as_json else [])])
    )


@app.command(epilog=PROGRAM)
def describe(
    space: Annotated[Path, typer.Argument(metavar="SPACE.py", help="Python program that defines it.")],
) -> None:
    """Print a space's tree of choices and its exact size."""
    from nas.space.source import load_space

    loaded = load_space(space)
    with _err.status("seeking the smallest and the largest network"):
        text = loaded.describe()
    _out.print(text)


@app.command()
def doctor() -> None:
    """Say what this machine can do and what is missing."""
    from nas.doctor import checks

    table = Table(box=None, show_header=False)
    findings = checks()
    for finding in findings:
        table.add_row("ok" if finding.ok else "missing", finding.what, finding.text)
    _out.print(table)
    if not all(finding.ok or finding.optional for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a user's mistake is one sentence and a hint, never a traceback.

    A request to terminate, as schedulers send it, ends a command as Ctrl-C does, also where that is ignored, as in the
    background of a script.
    """
    terminated = threading.Event()

    def terminate(_number: int, frame: FrameType | None) -> None:
        terminated.set()
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)

    signal.signal(signal.SIGTERM, terminate)
    speak_any_encoding()
    _tell_warnings()
    try:
        code = app(prog_name="nas", standalone_mode=False)
    except NasError as error:
        _err.print(f"error: {error.message}", style="bold red")
        if error.hint:
            _err.print(error.hint)
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is None:
            raise
        _err.print(f"error: {shown()}")
        sys.exit(2)
    if code == _INTERRUPTED:
        _err.print("interrupted; what was told is kept, and the same command goes on with it. nas report shows it.")
        sys.exit(128 + signal.SIGTERM if terminated.is_set() else code)
    sys.exit(code if isinstance(code, int) else 0)


def _tell_warnings() -> None:
    """Say our own warnings as a sentence; others stay as Python shows them."""
    theirs = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DeviceWarning):
            _err.print(f"note: {message}")
        else:
            theirs(message, category, *where, **more)

    warnings.showwarning = show


_INTERRUPTED = 128 + signal.SIGINT
"""Typer gives it for a Ctrl-C."""


def _seconds(text: str | None, option: str = "--time") -> float | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text.strip())
    if parts is None:
        raise typer.BadParameter(f"{option} {text!r}: expected a number and s, m or h, for example 10m.")
    return float(parts[1]) * {"s": 1, "m": 60, "h": 3600}[parts[2]]


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB)", text.strip())
    if parts is None:
        raise typer.BadParameter(f"--trial-memory {text!r}: expected a number and MB or GB, for example 2GB.")
    return int(float(parts[1]) * {"MB": 1e6, "GB": 1e9}[parts[2]])


def _show_model(made: Any, record: Any, as_json: bool) -> None:
    """Print a finished model, or why it could not be made."""
    from nas.pipeline.refine import Refusal
    from nas.report.progress import scores_text, what_passes_brought

    if isinstance(made, Refusal):
        _say(as_json, {"model": made.model, "refused": made.reason}, f"{made.model}: refused: {made.reason}")
        return
    _say(
        as_json,
        {"model": made.name, "metrics": made.metrics},
        f"{made.name}: {scores_text(made.metrics, record)}{what_passes_brought(made)}",
    )


def _say(as_json: bool, values: Any, text: str) -> None:
    if as_json:
        _out.tell(values)
    else:
        _out.print(text)


def _command_line() -> str:
    """The command as it was typed, without passwords: it is kept in `run.json` and shown on the page."""
    return shlex.join(["nas", *map(masked, sys.argv[1:])])


def _summarise(run: Path, storage: str, as_json: bool) -> None:
    """Write the run's table, picture and page, and print its front."""
    from nas.report import report, view
    from nas.report.view import short_columns
    from nas.runs.ledger import open_ledger

    report([run], storage=storage)
    shown = view(open_ledger(run, storage_url=storage))
    if as_json:
        front = [{"name": item.name, "metrics": item.metrics} for item in shown.front]
        _out.tell({"run": str(run), "notes": shown.record.notes, "front": front})
        return
    columns = short_columns(shown.record)
    rows = [
        [
            item.name + (" *" if item is shown.knee else ""),
            *(column.text(item) for column in columns),
        ]
        for item in shown.front
    ]
    _out.print(in_columns([["model", *(column.heading for column in columns)], *rows]))
    _out.print(f"{len(shown.front)} on the front (* the knee); {run / 'report.html'}")
    if any(item.metrics.get("latency_quality") == "noisy" for item in shown.front):
        _out.print("~ measured while the device was disturbed, and may be less; nas report measures again.")


if __name__ == "__main__":
    main()
