"""Run the work on Ray, on this machine or on a cluster: the only place that imports it.

Trials run under Ray Tune with reused actors, data lie in the object store once, trainers run niced with one thread
each, and one actor that holds the resource `target:<name>` measures latency, so that no two measurements overlap.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayTaskError, WorkerCrashedError

from nas.errors import NasError, RunError
from nas.evaluation.assess import Measure
from nas.evaluation.context import Report, go_on
from nas.pipeline.executors.lanes import Lanes, lanes
from nas.pipeline.executors.local_ray import QUIET, local_ray, variables
from nas.pipeline.executors.searching import Jobs, ProposalSearcher, ReportScheduler
from nas.pipeline.executors.stepwise import Heard, Stepwise
from nas.targets import Latency, Target
from nas.training.device import VARIABLE, Device, find_device

TRAINER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # Training allocates and frees the same blocks over and over: keep up to half a GiB instead of returning them.
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "536870912",
    "MALLOC_TOP_PAD_": "67108864",
}

Meter = Any
"""Handle of the actor that measures; Ray types it anew for each class."""

Work = Callable[[Any, Any, Measure | None, Report], Any]
"""`work(context, job, measure, report)`: runs in a worker; `context` is shipped once, `job` each time."""


@dataclass(frozen=True)
class Cluster:
    """Running Ray.

    Attributes:
        workers: How many trials it trains at a time.
        meter: Who measures; None where nothing is measured.
        scratch: Folder for temporary files that ends with it; None where it goes on without us.
        gpu: The share of a GPU that each trial holds.
    """

    workers: int
    meter: Meter | None
    scratch: Path | None = None
    gpu: float = 0.0


@contextmanager
def cluster(target: Target | None, workers: int | None = None, address: str | None = None) -> Generator[Cluster]:
    """Start Ray on this machine, or join a running cluster, for as long as the block lasts.

    Args:
        target: What latency is measured on; None where nothing is measured, and no meter is started.
        workers: Trials at a time; by default one for each core, or where GPUs train four on each.
        address: Of a running cluster; without one Ray is started here and ended afterwards.

    Raises:
        RunError: If no cluster answers at the address.
        TrainingError: If `NAS_DEVICE` names no device, or one that is not here.
    """
    here = find_device() if address is None else None
    with _running(target, workers, address) as scratch, _meter(target) as meter:
        shared = _lanes(workers, here)
        yield Cluster(shared.workers, meter, scratch, shared.gpu)


def _lanes(workers: int | None, here: Device | None) -> Lanes:
    """Share what Ray has; of a cluster that was joined the GPUs, unless the CPU was asked for."""
    found = ray.cluster_resources()
    is_cpu = here.kind == "cpu" if here else os.environ.get(VARIABLE) == "cpu"
    return lanes(int(found.get("CPU", 1)), 0 if is_cpu else int(found.get("GPU", 0)), workers)


@contextmanager
def _running(target: Target | None, workers: int | None, address: str | None) -> Generator[Path | None]:
    """A Ray that runs already, that answers at an address, or one of this machine alone and its temporary folder."""
    if ray.is_initialized():
        yield None
    elif address is None:
        resources = {} if target is None else {_resource(target): 1.0}
        with local_ray(workers or os.cpu_count() or 1, resources, TRAINER_ENVIRONMENT) as scratch:
            yield scratch
    else:
        with variables(QUIET):
            try:
                ray.init(
                    address=address,
                    runtime_env={"env_vars": {**TRAINER_ENVIRONMENT, **_asked_device()}},
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
            except (ConnectionError, ValueError) as error:
                raise RunError(f"--address {address}: no Ray cluster answers: {error}") from None
            try:
                yield None
            finally:
                ray.shutdown()


def run_trials(cluster: Cluster, proposals: Jobs, work: Work, context: Any) -> None:
    """Run jobs under Ray Tune until the proposals end; a Ctrl-C ends it early and in order.

    Raises:
        NasError: What a worker raised that is no trial's own fault, for example a full disk.
        OSError: If the ledger cannot be written.
    """
    source = ProposalSearcher(proposals)
    rungs = proposals.rungs
    with tempfile.TemporaryDirectory(prefix="nas-tune-", dir=cluster.scratch) as storage:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_Candidate, work=work, context=context, meter=cluster.meter, rungs=rungs),
                {"cpu": 1, "gpu": cluster.gpu} if cluster.gpu else {"cpu": 1},
            ),
            tune_config=tune.TuneConfig(
                search_alg=source,
                scheduler=ReportScheduler(source),
                num_samples=-1,
                reuse_actors=True,
                max_concurrent_trials=cluster.workers,
            ),
            run_config=tune.RunConfig(
                storage_path=storage,
                name="search",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()
    if source.stopped_by is not None:
        raise source.stopped_by


def run_jobs(cluster: Cluster, jobs: Sequence[Any], work: Work, context: Any) -> Iterator[tuple[int, Any]]:
    """Run a list of jobs and yield (position, result) as each one is done; None where its worker died twice.

    Raises:
        NasError: What a job raised.
    """
    shared = ray.put(context)
    task = ray.remote(_run_job).options(num_cpus=1, num_gpus=cluster.gpu, max_retries=1)
    pending = {task.remote(work, shared, job, cluster.meter): position for position, job in enumerate(jobs)}
    while pending:
        done, _ = ray.wait(list(pending))
        for reference in done:
            try:
                result = _unwrap(reference)
            except WorkerCrashedError:
                result = None
            yield pending.pop(reference), result


def _asked_device() -> Mapping[str, str]:
    """The device that the user named, for the workers of a cluster that was joined."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def _resource(target: Target) -> str:
    return f"target:{target.name}"


@contextmanager
def _meter(target: Target | None) -> Generator[Meter | None]:
    """The actor that measures; where the cluster knows the target's resource it holds it alone."""
    if target is None:
        yield None
        return
    held = {_resource(target): 1.0} if _resource(target) in ray.cluster_resources() else {}
    actor = ray.remote(_Meter).options(num_cpus=0, resources=held, max_restarts=-1, max_task_retries=1)
    meter: Meter = actor.remote(target)
    try:
        yield meter
    finally:
        ray.kill(meter)


class _Meter:
    """The one process that measures; held apart from training by its resource."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def measure(self, paths: Sequence[str]) -> Sequence[Latency]:
        return self.target.measure([Path(path) for path in paths])


class _Candidate(tune.Trainable):
    """One trial after the other in the same process; each in one step, or in one for each rung."""

    def setup(  # pyright: ignore
        self, config: dict[str, Any], work: Work, context: Any, meter: Meter | None, rungs: Collection[int] | None
    ) -> None:
        _become_trainer()
        self.work, self.context, self.measure, self.rungs = work, context, _measure_through(meter), rungs
        self.waiting: Stepwise | None = None

    def step(self) -> dict[str, Any]:
        try:
            told = self._advance()
        except NasError as error:
            return {"stopped_by": error, "done": True}
        return {"heard": told, "done": False} if isinstance(told, Heard) else {"result": told, "done": True}

    def _advance(self) -> Any:
        """Work until the next rung or the end; on a thread only where there is a rung."""

        def work(report: Report) -> Any:
            return self.work(self.context, self.config["job"], self.measure, report)

        if self.rungs is not None and not self.rungs:
            return work(go_on)
        self.waiting = self.waiting or Stepwise(work, self.rungs)
        told = self.waiting.advance()
        if not isinstance(told, Heard):
            self.waiting = None
        return told

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.cleanup()
        self.config = new_config
        return True

    def cleanup(self) -> None:
        """End a candidate that was stopped at a rung."""
        if self.waiting is not None:
            self.waiting.end()
            self.waiting = None


def _run_job(work: Work, context: Any, job: Any, meter: Meter) -> Any:
    _become_trainer()
    return work(context, job, _measure_through(meter), go_on)


def _become_trainer() -> None:
    import torch

    os.nice(19 - os.nice(0))
    torch.set_num_threads(1)


def _measure_through(meter: Meter | None) -> Measure | None:
    if meter is None:
        return None
    return lambda paths: _unwrap(meter.measure.remote([str(path) for path in paths]))


def _unwrap(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, NasError):
            raise error.cause from None
        raise
