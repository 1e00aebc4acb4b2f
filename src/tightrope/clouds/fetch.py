"""Fetches vendors' public price lists: with patience, without losing what has come, in bounded memory.

A request that fails for a passing reason (no connection, 429, 5xx, a body cut midway) is sent again, later each time, or when the
server says (``Retry-After``). A large file is written to the work folder as it comes and continued where it broke off, in the same
run or the next; pages are kept there as they come for the same reason. What is a day old begins anew.
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from tightrope.base.errors import SourceError

CHUNK_BYTES = 1024**2
MAX_DOCUMENT_BYTES = 64 * 1024**2
"""A larger answer to ``json`` or ``pages`` is refused: such lists come as files."""
KEPT_S = 24 * 3600.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 120.0
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
Headers: TypeAlias = Mapping[str, str]


class Progress(Protocol):
    """Hears how far a list has come: ``total`` is None where the server does not say."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Take ``done`` of ``total`` bytes, rows or pages."""
        ...


def _silent(label: str, done: int, total: int | None) -> None:
    """Say nothing."""
    del label, done, total


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: its user, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def reshaped(where: str, got: object, expected: str) -> SourceError:
    """Return the error for a list that no longer has the shape that its reader knows."""
    msg = f"{where}: the list has another shape than known: got {str(got)[:200]!r}, expected {expected}"
    return SourceError(msg, resolve="report it with the name of the list; the prices you have stay as they are")


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """A request failed for a reason that may pass."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def _retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (a number or a date), None where it says nothing sensible."""
    if not value:
        return None
    try:
        return (
            max(0.0, float(value))
            if value.strip().isdigit()
            else max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        )
    except (ValueError, TypeError):
        return None
