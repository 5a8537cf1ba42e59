"""The URL of a database, without what nobody else may read."""

from __future__ import annotations

import re

STORAGE = "NAS_STORAGE"
"""Environment variable that may name the database, so that no password stands in the list of processes."""

_PASSWORD = re.compile(r"(?P<before>[a-z][\w+.-]*://[^\s:/@]*:)\S*(?=@)", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<before>[?&](?:password|passwd|pwd|sslpassword)=)[^&\s'\"]+", re.IGNORECASE)


def masked(text: str) -> str:
    """Put `***` for each password of a URL, wherever it stands in a text.

    A password may hold `@`, `/`, `:` and quotation marks: it ends at the last `@` before a blank (which a URL writes as
    `%20`).

    Args:
        text: A URL, or a text with URLs in it, such as a command or an error.
    """
    return _PARAMETER.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***", text))
