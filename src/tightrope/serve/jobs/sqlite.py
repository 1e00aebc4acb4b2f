"""One gateway's queue in a file: a thread that writes and one that reads, so that the loop never waits for a disk."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tightrope.base.errors import InputError, Where
from tightrope.serve.jobs.database import CLOSED, UNUSABLE, Body, JobsDatabaseError, Row, T
from tightrope.serve.jobs.tables import VERSION, VERSIONED, makes

TIDIED_PAGES = 16_384
"""Given back at a time; 64 MiB, which takes no longer than a file part or two to write."""
BUSY_S = 10.0
"""Another program may hold the file for so long: a backup, or a shell."""


class SqliteDatabase:
    """A file, its log beside it, and a lock that keeps a second gateway away."""

    shared = False

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self.now_s = path, clock
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._threads = {name: ThreadPoolExecutor(1, f"jobs-{name}") for name in ("write", "read")}
        self._connections: dict[str, sqlite3.Connection] = {}

    async def open(self) -> None:
        """Open the file, which only one gateway may do, and make its tables."""
        try:
            await self._in("write", self._open)
        except BaseException:
            await self.close()
            raise

    def _open(self) -> None:
        where = Where(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._path.touch(0o600)  # requests and answers are nobody else's; the log gets the file's own mode
            for name in self._threads:
                self._connect(name)
            _make_tables(self._connections["write"], where)
            self._connections["read"].execute("PRAGMA query_only = 1")
        except Timeout:
            what, resolve = "another gateway uses this queue", "stop it, or let several share a postgresql:// queue"
            raise InputError(what, resolve=resolve, where=where) from None
        except OSError as error:
            what = f"the queue of deferrable work cannot be opened: {error.strerror}"
            raise InputError(what, resolve="give jobs a file in a folder that may be written", where=where) from error
        except sqlite3.Error as error:
            what = f"the queue of deferrable work cannot be opened: {error}"
            raise InputError(
                what, resolve="give jobs a file of its own; a damaged one is put back from a backup", where=where
            ) from error

    def _connect(self, name: str) -> None:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._connections[name] = connection
        for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 67108864"):
            connection.execute(f"PRAGMA {pragma}")

    async def close(self) -> None:
        """Close the file after what has begun."""
        for name, thread in self._threads.items():
            if name in self._connections:
                await self._in(name, self._connections.pop(name).close)
            thread.shutdown(wait=False)
        self._lock.release()

    async def read(self, body: Body[T]) -> T:
        """Return what ``body`` reads."""
        return await self._in("read", partial(self._transact, "read", "BEGIN", body))

    async def write(self, body: Body[T]) -> T:
        """Do what ``body`` does; it is on disk when this returns."""
        return await self._in("write", partial(self._transact, "write", "BEGIN IMMEDIATE", body))

    async def tidy(self) -> None:
        """Give some of the room that is free back to the disk."""
        await self._in("write", self._tidy)

    async def _in(self, name: str, work: Callable[[], T]) -> T:
        """Return what ``work`` does in a thread; where this is cancelled it is done all the same."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads[name], work)
        except RuntimeError as error:  # the thread was shut down
            raise JobsDatabaseError(CLOSED) from error
        return await done

    def _tidy(self) -> None:
        with _told():  # as a script, since `execute` takes one step of it, which is one page
            self._connection("write").executescript(f"PRAGMA incremental_vacuum({TIDIED_PAGES})")

    def _connection(self, name: str) -> sqlite3.Connection:
        connection = self._connections.get(name)
        if connection is None:
            raise JobsDatabaseError(CLOSED)
        return connection

    def _transact(self, name: str, begin: str, body: Body[T]) -> T:
        connection = self._connection(name)
        with _told():
            connection.execute(begin)
            try:
                found = _run(body(_SqliteStatements(connection)))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # some errors, such as a full disk, have ended it
                    connection.execute("ROLLBACK")
                raise
        return found


class _SqliteStatements:
    """Statements that are done when they are asked for: awaiting them never waits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, *values: object) -> list[Row]:
        return self._connection.execute(sql, _named(values)).fetchall()

    async def each(self, sql: str, rows: Iterable[Row]) -> list[Row]:
        execute = self._connection.execute
        return [found for row in rows for found in execute(sql, _named(row)).fetchall()]


def _named(values: Iterable[object]) -> dict[str, object]:
    """Return parameters by the names ``$1``, ``$2`` …, which for SQLite are names and not numbers."""
    return {str(number): value for number, value in enumerate(values, 1)}


def _run(body: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that never waits."""
    try:
        body.send(None)
    except StopIteration as ended:
        return ended.value
    body.close()
    message = "a transaction awaits nothing but its statements"
    raise AssertionError(message)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say what a client may know of what SQLite says."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise JobsDatabaseError(UNUSABLE.format(error)) from error


def _make_tables(connection: sqlite3.Connection, where: Where) -> None:
    """Make the tables, of those of an earlier version too; leave those of a later one alone."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(VERSIONED)
    (version,) = connection.execute("SELECT version FROM tightrope_jobs").fetchone() or (None,)
    statements = makes(version)
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")
    if not statements:
        what = f"this queue has version {version}, this program writes version {VERSION}"
        raise InputError(what, resolve="use the program that wrote it, or another file", where=where)
