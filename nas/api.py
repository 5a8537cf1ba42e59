"""The commands as functions: `nas.search`, `nas.open_run`, and what can be done with the run that they give.

Each import stands where it is used, as in the command line: looking at a run needs neither Ray nor a trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    import pandas as pd

    from nas.deploy.proof import Proof
    from nas.pipeline.chains import Chain
    from nas.pipeline.loop import OnTrial
    from nas.pipeline.refine import Refusal
    from nas.pipeline.terms import Terms
    from nas.report import RunView
    from nas.runs.ledger import Ledger, Trial
    from nas.runs.models import Model
    from nas.runs.record import RunRecord

    OnModel = Callable[[Model | Refusal], None]


@dataclass(frozen=True)
class Run:
    """A run folder: what is in it is read when it is asked for, so it is never out of date.

    Attributes:
        folder: The run folder.
        storage: URL of the database that holds the study, if one does.
    """

    folder: Path
    storage: str = field(default="", repr=False)

    @property
    def record(self) -> RunRecord:
        """The terms of the run, and what was found when it began; `run.json`."""
        from nas.runs.record import read_record

        return read_record(self.folder)

    @property
    def ledger(self) -> Ledger:
        """The open record of the run; its `study` is Optuna's."""
        from nas.runs.ledger import open_ledger

        return open_ledger(self.folder, storage_url=self.storage)

    @property
    def trials(self) -> pd.DataFrame:
        """Every trial, one a row: `number`, `state`, `reason`, then a column for each metric and for each decision.

        What a trial has not is NaN. A decision that is called as a metric is stands under `decisions.<path>`.
        """
        import pandas as pd

        trials = self.ledger.trials()
        metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
        taken = {"number", "state", "reason", *metrics}
        paths = dict.fromkeys(path for trial in trials for path in trial.decisions)
        columns = {path: f"decisions.{path}" if path in taken else path for path in paths}
        rows: list[dict[str, Any]] = [
            {"number": trial.number, "state": trial.state, "reason": trial.reason, **trial.metrics}
            | {columns[path]: label for path, label in trial.decisions.items()}
            for trial in trials
        ]
        return pd.DataFrame(rows, columns=["number", "state", "reason", *metrics, *columns.values()])

    @property
    def models(self) -> Sequence[Model]:
        """The refined and compressed models, by name."""
        return self.ledger.models()

    @property
    def front(self) -> Sequence[Trial | Model]:
        """The final front by latency, as the report shows it: of the models, or of the trials where there is none.

        Nothing is measured for it; `report` measures again what was measured in a noisy moment.
        """
        return self._view.front

    @property
    def knee(self) -> Trial | Model | None:
        """The front's best compromise; None without a complete trial."""
        return self._view.knee

    @property
    def _view(self) -> RunView:
        from nas.report.view import view

        return view(self.ledger)

    def refine(
        self,
        *,
        seeds: int = 3,
        epochs: int | None = None,
        members: int | None = None,
        data: str | Path | None = None,
        workers: int | None = None,
        address: str | None = None,
        on_model: OnModel = lambda _: None,
    ) -> Run:
        """Train the front's members to the end, with several seeds; see `nas.pipeline.refine.refine`.

        Args:
            seeds: Trainings of each member.
            epochs: Of each training; default four times those of the search.
            members: At most so many, the best by the main metric first; default all.
            data: Where the run's data are now, if not where they were.
            workers: Trainings at a time; default one for each core.
            address: Of a running Ray cluster.
            on_model: Called with each finished model, and with each member that could not be trained.

        Returns:
            The run.

        Raises:
            RunError: If it has no complete trial.
        """
        from nas.pipeline.refine import refine

        refine(
            self.folder,
            seeds=seeds,
            epochs=epochs,
            members=members,
            data=data,
            workers=workers,
            address=address,
            storage=self.storage,
            on_model=on_model,
        )
        return self

    def compress(
        self,
        *,
        chains: Sequence[Chain] | None = None,
        data: str | Path | None = None,
        workers: int | None = None,
        address: str | None = None,
        on_model: OnModel = lambda _: None,
    ) -> Run:
        """Make compressed siblings of the refined models and measure them; see `nas.pipeline.compress.compress`.

        Args:
            chains: Passes to apply, each chain to every model; default those of the command.
            data: Where the run's data are now, if not where they were.
            workers: Jobs at a time; default one for each core.
            address: Of a running Ray cluster.
            on_model: Called with each sibling, and with each one that could not be made.

        Returns:
            The run.

        Raises:
            CompressionError: If a chain cannot be applied to any model.
            RunError: If nothing was refined.
        """
        from nas.pipeline.compress import CHAINS, compress

        compress(
            self.folder,
            chains=CHAINS if chains is None else chains,
            data=data,
            workers=workers,
            address=address,
            storage=self.storage,
            on_model=on_model,
        )
        return self

    def export(
        self,
        to: str | Path,
        *,
        model: str | None = None,
        trial: int | None = None,
        limits: Sequence[str] = (),
        data: str | Path | None = None,
    ) -> tuple[Model, Proof]:
        """Write a model as a folder to deploy, after proving its file; see `nas.deploy.bundle.export`.

        Args:
            to: The bundle's folder; an older bundle there is replaced.
            model: Name of the model; default the knee of the final front.
            trial: Only models of this trial.
            limits: Only models within these, the best of them by the main metric.
            data: Where the run's data are now, if not where they were.

        Returns:
            The model, and what was checked.

        Raises:
            RunError: If there is no model, or none that was asked for and is within the limits.
            ExportError: If the file does not compute what the network does.
            BundleError: If the folder holds something else, or cannot be written.
        """
        from nas.deploy.bundle import export

        return export(self.folder, to, model=model, trial=trial, limits=limits, data=data, storage=self.storage)

    def report(self) -> list[Path]:
        """Write `front.csv`, `front.png` and `report.html`; noisy latencies are measured again before.

        Returns:
            The files.
        """
        from nas.report import report

        return report([self.folder], storage=self.storage)


def search(
    space: str | Path,
    run: str | Path,
    *,
    trials: int = 50,
    time_s: float | None = None,
    trial_time_s: float | None = None,
    trial_memory_bytes: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    storage: str = "",
    command: str = "nas.search(...)",
    on_trial: OnTrial = lambda _ledger, _trial: None,
    **terms: Unpack[Terms],
) -> Run:
    """Search a space, or go on with a run: `nas search` as a function, with its words.

    Args:
        space: The space's Python file; the run keeps a copy.
        run: The run folder; one that holds a run is resumed.
        trials: Architectures to evaluate in all, those of earlier sittings included.
        time_s: Seconds after which no further trial is begun.
        trial_time_s: Seconds that one trial may take; default any.
        trial_memory_bytes: Bytes that one trial may take; default its share of the machine's.
        workers: Trials at a time; default one for each core.
        address: Of a running Ray cluster; its workers must see the run folder.
        storage: URL of a database for the study; default a journal file in the run folder.
        command: What is recorded as the command that began the run.
        on_trial: Called after each trial that was told.
        **terms: What is asked of the run: `data`, `label`, `objectives`, `limits`, `sampler`, `epochs`, `seed` and all
            others of `nas.pipeline.terms.Terms`. What is left out or None is as the run was begun, or the default of a
            new one.

    Returns:
        The run.

    Raises:
        NasError: As `nas.pipeline.search.search`: what was given, what was expected, and how to mend it.
        TypeError: If a term is unknown.
    """
    from nas.pipeline.search import search

    ledger = search(
        space,
        run,
        trials=trials,
        time_s=time_s,
        trial_time_s=trial_time_s,
        trial_memory_bytes=trial_memory_bytes,
        workers=workers,
        address=address,
        storage=storage,
        command=command,
        on_trial=on_trial,
        **terms,
    )
    return Run(ledger.folder, storage)


def open_run(run: str | Path, storage: str = "") -> Run:
    """Open the run in a folder.

    Args:
        run: The run folder.
        storage: URL of the database that holds its study, if one does.

    Raises:
        RunError: If there is no run, or it is damaged.
    """
    opened = Run(Path(run).absolute(), storage)
    _ = opened.ledger
    return opened
