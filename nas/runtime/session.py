"""ONNX Runtime: its memory bounded, its work given up when it takes too long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

from . import limits
from .errors import DAMAGE, PredictError, TimeLimitError, first_line

T = TypeVar("T")


def open_session(content: bytes, where: str) -> Any:
    """Load a model, within `limits.LOAD_S`."""
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.add_session_config_entry("session.use_env_allocators", "1")  # the one that is bounded
    options.add_free_dimension_override_by_name("batch", 1)  # as it was measured: shapes known, so less to compute
    loading = (
        runtime.InferenceSession(each, options, providers=["CPUExecutionProvider"], enable_fallback=0)  # it prints
        for each in [content]
    )
    return within(limits.LOAD_S, loading, lambda _: f"{where}: cannot be loaded")[0]


@cache
def onnx_runtime() -> Any:
    """ONNX Runtime, its memory bounded, and its telemetry off, which keeps a device identifier in the user's cache."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded; its function comes too late
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    arena = {"max_mem": limits.MAX_MEMORY, "arena_extend_strategy": -1, "initial_chunk_size_bytes": -1}
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with suppress(RuntimeError):  # old versions take the first that a process registers, which may not be ours
        onnxruntime.create_and_register_allocator(
            memory, onnxruntime.OrtArenaCfg({**arena, "max_dead_bytes_per_chunk": -1})
        )
    return onnxruntime


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises, of whatever version; its exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]

    return tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))


def within(
    seconds: float, steps: Iterable[T], fault: Callable[[int], str], stop: Callable[[], None] = lambda: None
) -> list[T]:
    """Do native work, which no signal reaches, in another thread, and give up where so long nothing is done.

    Args:
        seconds: After which time without a step done it is given up.
        steps: The work; each element is a step done.
        fault: What to say if a step fails, given how many were done.
        stop: What ends the work.
    """
    done: list[T] = []
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            for step in steps:
                done.append(step)  # noqa: PERF402 - who waits counts them
        except Exception as error:  # noqa: BLE001 - handed on to who waits
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    before = -1
    while thread.is_alive():
        if before == len(done):
            stop()
            raise TimeLimitError(f"{fault(before)} within {seconds:g} s.")
        before = len(done)
        thread.join(seconds)
    if not errors:
        return done
    if isinstance(errors[0], (*_failures(), *DAMAGE)):
        raise PredictError(f"{fault(len(done))}: {first_line(errors[0])}")
    raise errors[0]
