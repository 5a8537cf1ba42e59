"""Which moments of a device count: simulated devices, one of them a real recording of a shared host."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nas.targets.measure import ENOUGH, MEMORY, MOMENT_S, WANTED, Gate, Round, gather

FAST, SLOW, LATENCY = 50e-6, 90e-6, 80e-6
DATA = Path(os.environ.get("NAS_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


class Device:
    """A device whose rounds take 10 ms, at a speed that depends on the time."""

    def __init__(self, is_slow: Callable[[float], bool]) -> None:
        self.now = 0.0
        self.is_slow = is_slow

    def observe(self) -> Round:
        before, self.now, after = self.now, self.now + 0.01, self.now + 0.01
        references = [SLOW if self.is_slow(t) else FAST for t in (before, after)]
        slow = self.is_slow(before) or self.is_slow(after)
        return Round(references, [LATENCY * (SLOW / FAST if slow else 1.0)])

    def clock(self) -> float:
        return self.now


def known(best_s: float = FAST) -> Gate:
    return Gate(best_s)


def latency(rounds: list[Round]) -> float:
    return min(each.blocks[0] for each in rounds)


def test_a_quiet_device_is_done_early() -> None:
    device = Device(lambda _: False)
    rounds, quiet = gather(device.observe, known(), 2.0, device.clock)
    assert len(rounds) == len(quiet) == WANTED


def test_a_slow_phase_is_waited_for() -> None:
    device = Device(lambda t: t < 1.0)
    _, quiet = gather(device.observe, known(), 2.0, device.clock)
    assert len(quiet) == WANTED
    assert latency(quiet) == LATENCY
    assert 1.0 < device.now < 1.3


def test_patience_ends_and_says_so() -> None:
    device = Device(lambda _: True)
    rounds, quiet = gather(device.observe, known(), 2.0, device.clock)
    assert not quiet
    assert 2.0 <= device.now < 2.1
    assert latency(rounds) > LATENCY


def test_a_block_that_was_disturbed_at_one_end_does_not_count() -> None:
    device = Device(lambda t: round(t * 100) % 2 == 0)
    _, quiet = gather(device.observe, known(), 1.0, device.clock)
    assert not quiet


def test_a_device_that_nothing_is_known_of_is_watched_for_the_whole_time() -> None:
    device = Device(lambda t: t < 1.0)
    _, quiet = gather(device.observe, Gate(), 2.0, device.clock)
    assert device.now >= 2.0
    assert latency(quiet) == LATENCY


def test_minima_that_disagree_are_looked_at_longer() -> None:
    times = iter([LATENCY * factor for factor in (1.0, *[1.1] * (WANTED + 5), *[1.0] * ENOUGH)])
    rounds, _ = gather(lambda: Round([FAST, FAST], [next(times)]), known(), 60.0, iter(range(10_000)).__next__)
    assert len(rounds) > WANTED


def test_a_round_counts_only_if_it_was_quiet_for_every_file() -> None:
    rounds = iter([Round([FAST, FAST, SLOW], [1.0, 2.0])] + [Round([FAST] * 3, [1.0, 1.0])] * 100)
    _, quiet = gather(lambda: next(rounds), known(), 2.0, iter(range(1000)).__next__)
    assert all(each.blocks == [1.0, 1.0] for each in quiet)


def test_one_lucky_reading_is_no_level() -> None:
    gate = Gate()
    gate.learn([FAST / 2, *[FAST] * (ENOUGH - 1)], 0.0)
    assert gate.best_s == FAST


def test_too_few_readings_teach_nothing() -> None:
    gate = Gate()
    gate.learn([FAST] * (ENOUGH - 1), 0.0)
    assert gate == Gate()


def test_the_best_stays_through_slow_phases_and_goes_when_the_device_has_changed() -> None:
    gate = Gate()
    gate.learn([FAST] * ENOUGH, 0.0)
    for i in range(100):  # one phase, measured often
        gate.learn([SLOW] * ENOUGH, 100.0 + i)
    for i in range(100):  # another one, a day later
        gate.learn([SLOW] * ENOUGH, 86400.0 + i)
    assert gate.best_s == FAST
    for i in range(int(MEMORY * MOMENT_S / 3)):  # slower for ten minutes of measuring every three seconds
        gate.learn([SLOW] * ENOUGH, 2 * 86400.0 + 3 * i)
    assert gate.best_s == SLOW


def test_a_quiet_moment_among_slow_ones_keeps_the_best() -> None:
    gate = Gate()
    for i in range(10 * MEMORY):
        gate.learn([FAST if i % (MEMORY - 1) == 0 else SLOW] * ENOUGH, i * MOMENT_S)
    assert gate.best_s == FAST


@cache
def _recorded() -> np.ndarray:
    return np.genfromtxt(DATA / "latency_trace" / "trace.csv", delimiter=",", skip_header=1)


class Recording:
    """Two minutes of a shared host, replayed from a moment on."""

    def __init__(self, start_s: float) -> None:
        self.rows = _recorded()
        self.at = int(np.searchsorted(self.rows[:, 0], start_s))

    def observe(self) -> Round:
        (_, before, inference), (_, after, _) = self.rows[self.at], self.rows[self.at + 1]
        self.at += 1
        return Round([before, after], [inference])

    def clock(self) -> float:
        return float(self.rows[self.at, 0])


@pytest.mark.skipif(not (DATA / "latency_trace").exists(), reason="the recording is in the data folder; set NAS_DATA")
def test_on_a_recorded_host_what_is_called_quiet_is_within_a_tenth_and_the_rest_is_called_noisy() -> None:
    gate, found, noisy, naive = Gate(), list[float](), 0, list[float]()
    for start in np.arange(0.0, 116.0, 0.5):
        device = Recording(start)
        rounds, quiet = gather(device.observe, gate, 2.0, device.clock)
        gate.learn([r for each in rounds for r in each.references], start)
        naive.append(float(np.median([each.blocks[0] for each in rounds[:57]])))
        if start < 60:
            continue  # the device is still being got to know
        if len(quiet) >= ENOUGH:
            found.append(latency(quiet))
        else:
            noisy += 1
    level = 84.0  # microseconds, the quiet level of that host
    assert max(found) < 1.1 * level
    assert noisy > 0
    assert np.std(naive) / np.mean(naive) > 5 * np.std(found) / np.mean(found)
