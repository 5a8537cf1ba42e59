"""What is printed cannot act on a terminal, can be printed on any, and leaves JSON lines alone."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys

import pytest
from rich.table import Table

from nas.terminal import Terminal, in_columns, json_line, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\rb\x08c\x07", "a\\x0db\\x08c\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("gnp.\u202eexe", "gnp.\\u202eexe"),
        ("two\nlines\tof Grüße → ±", "two\nlines\tof Grüße → ±"),
        ("at mysql://ann:secret@host/db", "at mysql://ann:***@host/db"),
    ],
)
def test_a_text_is_shown_and_does_not_act(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_everything_that_is_printed_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a\x1bb", box=None)
    table.add_row("c\x1b[5md [bold]:x:")
    Terminal().print(table)
    Terminal().print("e\x1b]0;title\x07f [red] :x:")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "c\\x1b[5md [bold]:x:" in shown
    assert "e\\x1b]0;title\\x07f [red] :x:" in shown


def test_columns_are_as_wide_as_they_need() -> None:
    rows = [["model", "bytes"], ["x" * 200, "1"], ["y", "234,567"]]
    assert in_columns(rows) == f"model{' ' * 197}bytes\n{'x' * 200}  1\ny{' ' * 201}234,567"


def test_json_has_no_number_that_json_does_not_know() -> None:
    values = {"a": math.nan, "b": [1.5, -math.inf, (2, "é\x1b")], 3: None, "url": "mysql://a:b@h/d"}
    line = json_line(values)
    assert json.loads(line) == {"a": None, "b": [1.5, None, [2, "é\x1b"]], "3": None, "url": "mysql://a:***@h/d"}
    assert line.isascii()
    assert "\x1b" not in line


def test_other_prints_are_kept_from_lines(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.only_lines():
        print("a space file says")
        terminal.print("a table")
        terminal.tell({"a": 1})
    print("after")
    out, err = capsys.readouterr()
    assert out == '{"a": 1}\nafter\n'
    assert err == "a space file says\na table\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "0.9 \\xb1 0.1 \\u2192 \\u6578 \\udc80\n"), ("cp1252", "0.9 ± 0.1 \\u2192 \\u6578 \\udc80\n")],
)
def test_a_terminal_without_a_sign_shows_its_code(encoding: str, shown: str) -> None:
    program = (
        "from nas.terminal import *; speak_any_encoding(); Terminal().print('0.9 \\xb1 0.1 \\u2192 \\u6578 \\udc80')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert io.TextIOWrapper(io.BytesIO(done.stdout), encoding).read() == shown
