"""The durable queue: a database, and what is kept in it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tightrope.base.errors import InputError
from tightrope.serve.jobs.batches import Batches
from tightrope.serve.jobs.database import Database
from tightrope.serve.jobs.files import Files
from tightrope.serve.jobs.items import Items
from tightrope.serve.jobs.postgres import PostgresDatabase
from tightrope.serve.jobs.sqlite import SqliteDatabase


class Queue:
    """Files, batches and items in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now_s = database.now_s
        self.files, self.batches, self.items = Files(database), Batches(database), Items(database)


def queue_at(url: str) -> Queue:
    """Return the queue of ``sqlite:///FILE`` or ``postgresql://…``, not opened yet; raise ``InputError`` for another.

    An absolute file has four slashes, ``sqlite:////var/lib/tightrope/jobs.db``.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return Queue(SqliteDatabase(Path(unquote(parts.path[1:]))))
    if parts.scheme in ("postgresql", "postgres"):
        return Queue(PostgresDatabase(url))
    what = f"jobs: expected sqlite:///FILE or postgresql://…, got a URL with {parts.scheme or 'no scheme'!r}"
    raise InputError(what, resolve="set jobs to sqlite:///jobs.db, or to postgresql://… where several gateways share it")
