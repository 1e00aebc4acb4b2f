"""What the store asks of a database: to read, and to write whole or not at all; another database is one more class of this shape.

Statements are written once, in what SQLite and PostgreSQL have in common: parameters ``$1``, ``$2`` …, ``ON CONFLICT``, ``RETURNING``.
Where PostgreSQL needs a lock that SQLite's one writer has anyway, they say ``/*lock*/`` or ``/*skip locked*/`` after a SELECT.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
CLOSED = "the queue of deferrable work is closed"
UNUSABLE = "the queue of deferrable work cannot be used: {}"


class JobsDatabaseError(Exception):
    """The database cannot do it now: full, locked, corrupt, away; the message is complete and names neither host nor password."""


class Statements(Protocol):
    """Statements within one transaction."""

    async def rows(self, sql: str, *values: object) -> list[Row]:
        """Run one statement; return its rows."""
        ...

    async def each(self, sql: str, rows: Iterable[Row]) -> list[Row]:
        """Run one statement for each of the rows of values; return all rows that come back, in order."""
        ...


Body: TypeAlias = Callable[[Statements], Coroutine[Any, Any, T]]
"""What a transaction does; it awaits nothing but statements, and may be run more than once."""


class Database(Protocol):
    """Files, batches and items on disk."""

    shared: bool
    """Other gateways may use it at the same time."""

    async def open(self) -> None:
        """Connect and make the tables that are not there; raise ``InputError`` where that cannot be."""
        ...

    async def close(self) -> None:
        """Let go of it, after what has begun."""
        ...

    def now_s(self) -> float:
        """Return the Unix time that all who share it agree on."""
        ...

    async def read(self, body: Body[T]) -> T:
        """Return what ``body`` reads, all as of one moment; raise ``JobsDatabaseError``."""
        ...

    async def write(self, body: Body[T]) -> T:
        """Do what ``body`` does, whole or not at all, and for good when this returns; raise ``JobsDatabaseError``."""
        ...

    async def tidy(self) -> None:
        """Give some of the room that is free back to the disk; raise ``JobsDatabaseError``."""
        ...
