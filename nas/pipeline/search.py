"""A search: a sampler proposes, Ray Tune evaluates, the ledger remembers.

Killing the driver loses the trials in flight at most; they are run again under their own numbers when the run is
opened again.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from nas.errors import NasError, ObjectiveError, RunError, SamplerError
from nas.evaluation.allowance import Allowance, check_allowance, memory_share
from nas.evaluation.assess import Measure
from nas.evaluation.border import disk_full
from nas.evaluation.context import Report
from nas.evaluation.evaluator import attempt
from nas.evaluation.outcome import Outcome
from nas.evaluation.static_metrics import CANDIDATES, counted
from nas.objectives.metrics import STATIC
from nas.pipeline.context import WorkerContext
from nas.pipeline.executors.ray_tune import cluster, run_trials
from nas.pipeline.loop import COUNTED, Job, OnTrial, SearchLoop
from nas.pipeline.run import begin_run
from nas.pipeline.scheduler import Scheduler
from nas.pipeline.terms import Terms, check_names
from nas.runs.driving import driving
from nas.runs.files import RECORD_FILE
from nas.runs.front import nearest
from nas.runs.ledger import Ledger, unanswered
from nas.runs.lock import writing
from nas.samplers import Filtered, Sampler, uses_static_metrics
from nas.samplers import sampler as make_sampler
from nas.space.source import load_space
from nas.space.space import Space
from nas.tasks import Task
from nas.training import proxy_score


def search(
    space: str | Path,
    run: str | Path,
    *,
    trials: int = 50,
    time_s: float | None = None,
    workers: int | None = None,
    trial_time_s: float | None = None,
    trial_memory_bytes: int | None = None,
    address: str | None = None,
    storage: str = "",
    command: str = "nas.search(...)",
    on_trial: OnTrial = lambda _ledger, _trial: None,
    scheduler: Scheduler | None = None,
    **terms: Unpack[Terms],
) -> Ledger:
    """Search a space, or go on with a run.

    Args:
        space: The space's Python file.
        run: The run folder; one that holds a run is resumed.
        trials: Architectures to evaluate in all, those of earlier sittings included.
        time_s: Seconds after which no further trial is begun.
        workers: Trials at a time; default one for each core.
        trial_time_s: Seconds that one trial may take; one that takes longer fails, also where it hangs. Default: any.
        trial_memory_bytes: That the process of one trial may have; default its share of four fifths of this machine's
            memory, and no bound with `address`.
        address: Of a running Ray cluster; its workers must see the run folder.
        storage: URL of a database for the study; default a journal file in the run folder.
        command: What is recorded as the command that began the run.
        on_trial: Called after each trial that was told.
        scheduler: Decides at the epochs it names whether a trial goes on; default nobody.
        **terms: What is asked of the run: see `Terms`. What is left out or None is as the run was begun, or the
            default of a new one.

    Returns:
        The ledger of the run.

    Raises:
        SpaceError: If the space's file is wrong.
        TaskError: If the task is unknown or its data are missing.
        ObjectiveError: If an objective or limit cannot be understood, or no trial meets the limits.
        BlockError: If no network of the space fits the task.
        SamplerError: If the sampler is unknown, or is an object that cannot be screened.
        TrainingError: If the screen is unknown.
        RunError: If the folder's run has other terms, another process writes to it, the disk is full, or every trial
            failed.
        TypeError: If a term is unknown.
        KeyboardInterrupt: After a Ctrl-C, when the search was ended in order.
    """
    check_names(terms)
    sampler = terms.get("sampler")
    folder, space_path = Path(run).absolute(), Path(space).absolute()
    if isinstance(sampler, str):
        make_sampler(sampler, load_space(space_path))
    _check_screened(sampler, terms.get("screen"))
    check_allowance(trial_time_s, trial_memory_bytes)
    with writing(folder):
        is_new = not (folder / RECORD_FILE).exists()
        ledger, context = begin_run(folder, space_path, terms, storage, command)
        try:
            loaded = context.space()
            ledger.study.sampler = _sampler(sampler, loaded, ledger, context.task)
            loop = SearchLoop(ledger, loaded, trials, time_s, on_trial, scheduler)
            if not loop.ended:
                target = context.target if ledger.record.is_timed else None
                with driving(ledger), cluster(target, workers, address) as running:
                    memory = trial_memory_bytes
                    if memory is None and address is None:
                        memory = memory_share(running.workers)
                    context = replace(context, allowance=Allowance(trial_time_s, memory))
                    run_trials(running, loop, evaluate_job, context)
        except OSError as error:
            raise disk_full(folder) if error.errno == errno.ENOSPC else error from None
        except (SQLAlchemyError, StorageInternalError) as error:
            raise unanswered(storage, error) from None
        except NasError:
            if is_new and not ledger.trials():
                ledger.forget()
            raise
    if not loop.is_done:
        raise KeyboardInterrupt
    if loop.exhausted:
        raise SamplerError(f"{folder}: {loop.counted} of {trials} trials are done, and {loop.exhausted}")
    _check_any_complete(ledger)
    return ledger


def evaluate_job(context: WorkerContext, job: Job, measure: Measure | None, report: Report) -> Outcome:
    """Evaluate one architecture in a worker."""
    folder = context.folder / "trials" / str(job.number)
    return attempt(context.space(), job.decisions, folder, context.evaluation(measure), report)


def _sampler(
    given: str | optuna.samplers.BaseSampler | None, space: Space, ledger: Ledger, task: Task
) -> optuna.samplers.BaseSampler:
    """Who proposes, through the run's screen if it has one, and its limits on what can be counted beforehand."""
    record = ledger.record
    limits = [limit for limit in record.parsed_limits if limit.metric in STATIC]
    screen = proxy_score(record.screen, task, record.seed) if record.screen else None
    static_metrics = counted(ledger, space, task) if limits or uses_static_metrics(record.sampler) else None
    if not isinstance(given, optuna.samplers.BaseSampler):
        return make_sampler(
            record.sampler, space, record.seed, static_metrics, limits, screen, record.proposals, CANDIDATES
        )
    _check_screened(given, record.screen)
    if not isinstance(given, Sampler) or not (screen or limits):
        return given
    return Filtered(given, static_metrics, limits, screen, record.proposals)


def _check_screened(sampler: str | optuna.samplers.BaseSampler | None, screen: str | None) -> None:
    if screen and isinstance(sampler, optuna.samplers.BaseSampler) and not isinstance(sampler, Sampler):
        raise SamplerError(
            f"screen {screen}: cannot be put before a {type(sampler).__name__}; expected a sampler of nas.",
            "Give its name, or wrap it: nas.samplers.OptunaAdapter(space, lambda seed: ...).",
        )


def _check_any_complete(ledger: Ledger) -> None:
    """Refuse a search without a result: say what stood in its way, and who came nearest."""
    trials = [trial for trial in ledger.trials() if trial.state in COUNTED]
    if not trials or any(trial.state == "complete" for trial in trials):
        return
    refused = [trial for trial in trials if trial.state == "infeasible"]
    if not refused:
        (state, reason), count = Counter((trial.state, trial.reason) for trial in trials).most_common(1)[0]
        became = "were stopped or failed" if any(trial.state == "stopped" for trial in trials) else "failed"
        hint = _FAILED if state == "failed" else "Let trials go on for longer before they are stopped."
        raise RunError(f"{ledger.folder}: all {len(trials)} trials {became}, {count} of them so: {reason}", hint)
    others = "failed or were stopped" if any(trial.state == "stopped" for trial in trials) else "failed"
    failed = f"; the other {len(trials) - len(refused)} {others}" if len(refused) < len(trials) else ""
    near = nearest(refused, ledger.record.parsed_limits) or refused[-1]
    raise ObjectiveError(
        f"limits {', '.join(ledger.record.limits) or '(constraints)'}: refused all {len(refused)} architectures"
        f"{failed}; the nearest is trial {near.number}, which {near.reason}.",
        "Loosen the limit, or give the space smaller options.",
    )


_FAILED = "Mend the space and begin anew; trials/<number>/error.txt in the run folder has what each one raised."
