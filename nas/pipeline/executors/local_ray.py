"""A Ray of this machine alone: private, deaf to the network, gone without a trace.

Its files lie in a folder that only the user may read, removed at the end; folders of drivers that were killed are
removed by the next one. Its processes listen on the loopback device, behind a token. When one of them that all depend
on is killed, the driver is told at once, which by itself would wait for a minute.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._private import worker as ray_worker

from nas.errors import RunError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # it would write all trials again and again; the state is the ledger
}
ROTATED = {"RAY_ROTATION_MAX_BYTES": str(2**20), "RAY_ROTATION_BACKUP_COUNT": "1"}
"""What processes print is kept in two files of a MiB each, as long as they live."""

PREFIX = "nas-ray-"
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 107
"""Characters that the path of a socket may have."""

_MARK = "NAS_RAY"
"""Variable of all processes of a Ray: its folder."""

_VITAL = ("gcs_server", "raylet")
_LOOKED_AT_S = 0.5
_DEAF_S = 15.0
"""How long the main thread may take to hear that it is interrupted, and to end what it can."""


@contextmanager
def local_ray(cores: int, resources: Mapping[str, float], environment: Mapping[str, str]) -> Generator[Path]:
    """Start Ray on this machine for as long as the block lasts; gives a folder for temporary files that ends with it.

    Args:
        cores: Workers that it may run at a time.
        resources: Its own resources by name.
        environment: Variables of its workers.

    Raises:
        RunError: If it cannot be started, or one of its processes was killed.
    """
    with private_folder() as folder, variables({**QUIET, **ROTATED, _MARK: str(folder)}), _deaf():
        (folder / "tmp").mkdir()
        terminating = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                num_cpus=cores,
                resources=dict(resources),
                include_dashboard=False,
                runtime_env={"env_vars": {**environment, "TMPDIR": str(folder / "tmp")}},
                logging_level=logging.ERROR,
                log_to_driver=False,
                _temp_dir=str(folder / "ray"),  # Ray opens it to everybody, so it lies in one that is not
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise RunError(f"Ray cannot be started here: {error}", "nas doctor says what is missing.") from None
        terminated = threading.Event()

        def terminate(number: int, frame: FrameType | None) -> None:
            terminated.set()
            if callable(terminating):
                terminating(number, frame)

        if threading.current_thread() is threading.main_thread() and callable(terminating):
            signal.signal(signal.SIGTERM, terminate)  # Ray set one of its own
        try:
            with _watched(terminated):
                yield folder / "tmp"
        finally:
            ray.shutdown()


@contextmanager
def variables(values: Mapping[str, str]) -> Generator[None]:
    """Set environment variables that the user did not, and take them back afterwards."""
    own = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


@contextmanager
def private_folder() -> Generator[Path]:
    """A folder that only the user may read, its path short enough for sockets; removed at the end.

    Raises:
        RunError: If there is no place for it.
    """
    base = _short_enough(dict.fromkeys((tempfile.gettempdir(), "/tmp")))  # noqa: S108 - the folder in it is private
    _remove_stale(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder; processes that outlive their driver would make it again, so they are ended first."""
    mark = f"{_MARK}={folder}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another's, or gone
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _short_enough(places: Mapping[str, Any]) -> Path:
    for place in places:
        length = len(os.fsencode(place)) + 1 + len(PREFIX) + 8 + len(_SOCKET)
        if length <= _LONGEST and os.access(place, os.W_OK):
            return Path(place)
    raise RunError(
        f"temporary folder {next(iter(places))}: its path is too long for Ray's sockets, or it cannot be written.",
        "Set TMPDIR to a folder with a short path.",
    )


def _remove_stale(base: Path) -> None:
    """Remove folders whose driver was killed: their lock went with it."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, in use, or removed by another meanwhile
            if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
                continue
            with (folder / "lock").open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)


@contextmanager
def _deaf() -> Generator[None]:
    """Let Ray listen on the loopback device alone, with a token of its own, and print nothing.

    Ray knows the first as the way it is on desktops; the variable is for the processes that it starts. It reads the
    token once in a process, so that stays. What it prints of its processes would stand among a command's results.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with (
        variables({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}),
        _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False),
        _replaced(ray_worker, "print_to_stdstream", lambda *_, **__: None),
        _replaced(services, "ConsolePopen", _GroupOfItsOwn),
    ):
        yield


class _GroupOfItsOwn(services.ConsolePopen):
    """A process that signals to the driver's group do not reach: the driver ends it when it has put things in order."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options, process_group=0)


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Generator[None]:
    was = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, was)


def killed() -> list[str]:
    """The processes that died of those that the Ray of this process depends on; of one that was joined nothing."""
    node = ray_worker._global_node  # pyright: ignore[reportPrivateUsage]
    started: Mapping[str, Sequence[Any]] = node.all_processes if node is not None else {}
    return [name for name in _VITAL for info in started.get(name, ()) if info.process.poll() is not None]


@contextmanager
def _watched(terminated: threading.Event) -> Generator[None]:
    """Interrupt the main thread when a vital process dies, and say so in the place of whatever comes of it.

    The interruption has a signal of its own: Ray Tune takes a Ctrl-C for a wish to end in order, which it cannot now.
    Inside some calls Ray hears no signal and would abort the process in silence after a minute: it is ended before
    that, with the same words. Where this process was told to terminate, its whole group was, and it ends as such.

    Args:
        terminated: Whether this process was told to terminate.
    """
    ended = threading.Event()
    main = threading.main_thread()
    is_main = threading.current_thread() is main
    before = signal.signal(signal.SIGUSR2, signal.default_int_handler) if is_main else None

    def watch() -> None:
        deaf_s = 0.0
        while not ended.wait(_LOOKED_AT_S):
            if died := killed():
                signal.pthread_kill(main.ident or 0, signal.SIGUSR2)
                deaf_s += _LOOKED_AT_S
            if died and deaf_s > _DEAF_S:
                os.write(2, b"" if terminated.is_set() else f"error: {_lost(died[0])}\n".encode())
                os._exit(128 + signal.SIGTERM if terminated.is_set() else 1)

    watching = threading.Thread(target=watch, daemon=True)
    if is_main:
        watching.start()
    try:
        yield
    finally:
        ended.set()
        if is_main:
            watching.join()
            signal.signal(signal.SIGUSR2, before)
        if died := killed():
            raise KeyboardInterrupt if terminated.is_set() else _lost(died[0]) from None


def _lost(process: str) -> RunError:
    return RunError(
        f"Ray's process {process} was killed, by somebody or for want of memory; what was told is kept.",
        "Run the same command again: it goes on where it stopped. With less memory: --workers 1.",
    )
