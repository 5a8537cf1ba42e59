"""Two drivers on one database: the second one is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from example_runs import RECORD

from nas.errors import RunError
from nas.runs.driving import GONE_S, driving
from nas.runs.ledger import Ledger, create_ledger, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    create_ledger(tmp_path / "run", RECORD.__class__(**{**vars(RECORD), "storage": "sqlite"}), "", storage_url=url)
    return open_ledger(tmp_path / "run", storage_url=url)


def sign(ledger: Ledger, **sign: Any) -> Mapping[str, Any]:
    ledger.study.set_user_attr("driver", sign)
    return sign


def test_a_driver_signs_and_takes_its_sign_back(ledger: Ledger) -> None:
    with driving(ledger):
        assert ledger.study.user_attrs["driver"]["pid"] == os.getpid()
    assert ledger.study.user_attrs["driver"] == {}


def test_a_living_driver_is_waited_for(ledger: Ledger) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        sign(ledger, host=socket.gethostname(), pid=other.pid, seen=time.time())
        with pytest.raises(RunError, match=f"its study is driven by process {other.pid} on "):
            driving(ledger).__enter__()
        sign(ledger, host=socket.gethostname(), pid=other.pid, seen=time.time() - GONE_S - 1)
        with driving(ledger):
            pass  # the number may be another process's by now
        sign(ledger, host=socket.gethostname(), pid=other.pid, seen=time.time())
        other.kill()
    with driving(ledger):
        pass


def test_a_driver_elsewhere_is_gone_when_it_signs_no_more(ledger: Ledger) -> None:
    sign(ledger, host="another", pid=1, seen=time.time() - GONE_S / 2)
    with pytest.raises(RunError, match="driven by process 1 on another"):
        driving(ledger).__enter__()
    sign(ledger, host="another", pid=1, seen=time.time() - GONE_S - 1)
    with driving(ledger):
        pass


def test_a_journal_needs_no_sign(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path / "run", RECORD, "")
    with driving(ledger):
        assert "driver" not in ledger.study.user_attrs
