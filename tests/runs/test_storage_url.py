"""No password of a database reaches what is printed or kept."""

from __future__ import annotations

import pytest

from nas.runs.storage_url import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:secret@host/db", "postgresql://ann:***@host/db"),
        ("postgresql+psycopg2://ann:secret@host:5432/db?x=1", "postgresql+psycopg2://ann:***@host:5432/db?x=1"),
        ("mysql://ann:a@b/c:d@host/db", "mysql://ann:***@host/db"),
        ("mysql://:secret@host/db", "mysql://:***@host/db"),
        ("postgresql://host/db?user=ann&password=secret&x=1", "postgresql://host/db?user=ann&password=***&x=1"),
        ("nas search --storage mysql://a:secret@h/d --run r", "nas search --storage mysql://a:***@h/d --run r"),
        ("mysql://ann:it's@host/db", "mysql://ann:***@host/db"),
        ("nas search s.py --storage=postgresql://a:secret@h/d", "nas search s.py --storage=postgresql://a:***@h/d"),
        ("nas search s.py --storage 'mysql://a:se$cret@h/d'", "nas search s.py --storage 'mysql://a:***@h/d'"),
    ],
)  # fmt: skip
def test_a_password_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text", ["sqlite:///study.db", "postgresql://ann@host/db", "postgresql://host:5432/db", "", "a:b@c"]
)
def test_what_has_no_password_stays(text: str) -> None:
    assert masked(text) == text
