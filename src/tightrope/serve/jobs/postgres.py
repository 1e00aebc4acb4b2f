"""A queue that several gateways share, in PostgreSQL (extra ``postgres``)."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tightrope.base.errors import InputError, MissingExtraError
from tightrope.serve.jobs.database import CLOSED, UNUSABLE, Body, JobsDatabaseError, Row, T
from tightrope.serve.jobs.tables import VERSION, VERSIONED, makes

if TYPE_CHECKING:
    from asyncpg import Connection, Pool

CONNECTIONS = 8
ANSWER_S = 60.0
"""For one statement: a database that does not answer in this time is away."""
FROZEN_S = 5.0
"""A transaction whose gateway says nothing for so long is undone by the server: a gateway that is frozen keeps no lock."""
LOCK_KEY = 0x7469676874726F70
"""Of the advisory lock under which tables are made: any number that nobody else takes."""
EACH_SEES = "read_committed"
"""Each statement sees what others have written by then, whatever the server's default is: what waited for a lock goes on from there."""
KEPT_PLAIN = "ALTER TABLE tightrope_parts ALTER COLUMN bytes SET STORAGE EXTERNAL"
"""Parts are not compressed, so that a line is read without reading all of its part."""


class PostgresDatabase:
    """A pool of connections to a server, whose clock all gateways go by."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url, self._pool, self._ahead_s = url, None, 0.0
        self._pool: Pool | None

    async def open(self) -> None:
        """Connect, and make the tables where no other gateway has."""
        try:
            import asyncpg
        except ImportError as error:
            what = "a queue in PostgreSQL needs asyncpg"
            raise MissingExtraError(what, resolve="pip install 'tightrope[postgres]'") from error
        shown = _without_password(self._url)
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=CONNECTIONS,
                command_timeout=ANSWER_S,
                server_settings={"idle_in_transaction_session_timeout": f"{FROZEN_S * 1000:.0f}"},
            )
            async with self._pool.acquire() as connection, connection.transaction(isolation=EACH_SEES):
                version = await _make_tables(connection)
        except (OSError, ValueError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self.close()
            what = f"the queue of deferrable work cannot be opened: {shown}: {error}"
            raise InputError(what, resolve="see that jobs names a database that this user may make tables in") from error
        if version != VERSION:
            await self.close()
            what = f"this queue has version {version}, this program writes version {VERSION}: {shown}"
            raise InputError(what, resolve="use the program that wrote it, or another database")

    async def close(self) -> None:
        """Close the connections after what has begun."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    def now_s(self) -> float:
        """Return the server's time, as far as it was ahead of ours when we last wrote."""
        return time.time() + self._ahead_s

    async def read(self, body: Body[T]) -> T:
        """Return what ``body`` reads."""
        async with self._connected() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            return await body(_PostgresStatements(connection))

    async def write(self, body: Body[T]) -> T:
        """Do what ``body`` does; it is on disk when this returns, as the server is set."""
        async with self._connected() as connection, connection.transaction(isolation=EACH_SEES):
            server = await connection.fetch("SELECT extract(epoch FROM clock_timestamp())::float8")
            self._ahead_s = float(server[0][0]) - time.time()
            return await body(_PostgresStatements(connection))

    async def tidy(self) -> None:
        """Leave it to the server, which does it by itself."""

    @contextlib.asynccontextmanager
    async def _connected(self) -> "AsyncIterator[Connection]":
        """Lend a connection; say what a client may know of what goes wrong."""
        import asyncpg

        if self._pool is None:
            raise JobsDatabaseError(CLOSED)
        try:
            async with self._pool.acquire(timeout=ANSWER_S) as connection:
                yield connection
        except asyncpg.PostgresError as error:
            raise JobsDatabaseError(UNUSABLE.format(error)) from error
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:  # the connection was cut
            said = "it does not answer"
            raise JobsDatabaseError(UNUSABLE.format(said)) from error


class _PostgresStatements:
    """Statements on a connection."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def rows(self, sql: str, *values: object) -> list[Row]:
        return await self._connection.fetch(_locking(sql), *values)

    async def each(self, sql: str, rows: Iterable[Row]) -> list[Row]:
        return await self._connection.fetchmany(_locking(sql), list(rows))


def _locking(sql: str) -> str:
    return sql.replace("/*lock*/", "FOR UPDATE").replace("/*skip locked*/", "FOR UPDATE SKIP LOCKED")


async def _make_tables(connection: "Connection") -> int:
    """Make the tables, of those of an earlier version too; return the version that they are of then."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
    await connection.execute(VERSIONED)
    found = await connection.fetch("SELECT version FROM tightrope_jobs")
    version = int(found[0][0]) if found else None
    statements = makes(version)
    for statement in (*statements, KEPT_PLAIN) if statements else ():
        await connection.execute(statement)
    return VERSION if statements or version is None else version


def _without_password(url: str) -> str:
    """Return a URL as it may be shown.

    >>> _without_password("postgresql://me:secret@db.example:5432/jobs?password=secret")
    'postgresql://db.example:5432/jobs'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
