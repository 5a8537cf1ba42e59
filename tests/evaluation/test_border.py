"""Whatever a candidate does becomes its reason."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas.errors import BlockError, RunError
from nas.evaluation.border import Failure, Printed, at_border, within_border
from nas.space.source import space_from_source


def failing(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("it broke"), "ValueError: it broke"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (AssertionError(), "AssertionError"),
        (BlockError("it does not fit", "a hint"), "BlockError: it does not fit"),
        (ValueError("half \udc80, \x1b[2J and \x00"), "ValueError: half \\udc80, \\x1b[2J and \\x00"),
        (ValueError("x" * 3_000_000), "ValueError: " + "x" * 1488 + " ... (2,998,512 more characters)"),
    ],
    ids=["error", "exit", "interrupt", "empty", "ours", "characters", "long"],
)
def test_what_is_raised_is_named(tmp_path: Path, error: BaseException, reason: str) -> None:
    result = within_border(failing(error), tmp_path, is_worker=True)
    assert isinstance(result, Failure)
    assert result.reason.startswith(reason)
    assert result.reason.endswith("tests/evaluation/test_border.py:19, in work)")
    assert "Traceback" in result.details


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError


class Odd(BaseException):
    pass


def test_what_is_no_ordinary_error_is_the_candidates_too(tmp_path: Path) -> None:
    for error, reason in ((MuteError(), "MuteError"), (Odd("x"), "Odd: x")):
        result = within_border(failing(error), tmp_path)
        assert isinstance(result, Failure)
        assert result.reason.startswith(reason)


def test_a_users_own_interrupt_goes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        at_border(failing(KeyboardInterrupt()), str.upper, tmp_path)


def test_programs_that_are_started_and_bytes_have_a_stream(tmp_path: Path) -> None:
    def work() -> int:
        sys.stdout.buffer.write(b"bytes\n")
        return sys.stderr.fileno()

    assert isinstance(within_border(work, tmp_path), int)
    result = within_border(lambda: sys.stdout.write(b"bytes"), tmp_path)  # type: ignore[arg-type]
    assert isinstance(result, Failure)
    assert "write() argument must be str, not bytes" in result.reason


def test_the_place_is_of_the_users_own_code(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    source = "from nas import Space\n\ndef broken():\n    return {}['x']\n\nspace = Space(broken)\n"
    space = space_from_source(source, file)

    def work() -> None:
        try:
            space.network()
        except KeyError as error:
            raise BlockError("Network.head: cannot be built") from error

    result = within_border(work, tmp_path)
    assert isinstance(result, Failure)
    assert result.reason == f"BlockError: Network.head: cannot be built ({file}:4, in broken)"


def test_prints_are_kept_with_the_error_and_not_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        print("on the one")
        print("on the other", file=sys.stderr)
        raise ValueError

    result = within_border(work, tmp_path)
    assert isinstance(result, Failure)
    assert result.details.endswith("printed:\non the one\non the other\n")
    assert capsys.readouterr() == ("", "")


def test_of_many_prints_the_last_are_kept() -> None:
    printed = Printed(10)
    for number in range(1000):
        printed.write(f"{number},")
    printed.write("z" * 25)
    assert printed.text() == "... (3,905 characters before)\n" + "z" * 10
    printed.write("end")
    assert printed.text().endswith("\nzzzzzzzend")


def test_a_full_disk_goes_through(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no space left on the disk"):
        within_border(failing(OSError(errno.ENOSPC, "full")), tmp_path / "missing")


def test_a_worker_that_is_told_to_end_ends(tmp_path: Path) -> None:
    told = SystemExit(1)
    told.ray_terminate_msg = "The process receives a SIGTERM."  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        within_border(failing(told), tmp_path)


def test_other_stages_are_told_the_reason(tmp_path: Path) -> None:
    assert at_border(lambda: "made", str.upper, tmp_path) == "made"
    assert at_border(failing(BlockError("it does not fit")), str.upper, tmp_path) == "IT DOES NOT FIT"
    assert "VALUEERROR: X" in at_border(failing(ValueError("x")), str.upper, tmp_path)
