"""The files in the database: written in parts as they come, read in parts as they go."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import astuple
from itertools import accumulate
from typing import Literal, TypeAlias

from tightrope.serve.jobs.database import Database, Row, Statements
from tightrope.serve.jobs.records import FILE_COLUMNS, File, marks
from tightrope.serve.jobs.tables import PART_BYTES

PAGE_BYTES = 1024 * 1024
"""Of a file, so much is written at a time."""
READ_BYTES, PAGE_ROWS = 256 * 1024, 1000
"""Rows of a file are read up to so much at a time: whoever asks for a file and does not read it keeps two or three of these in memory."""
STEP = 5_000
"""Rows that are removed in one transaction: others wait for no longer."""
ABANDONED_S = 86_400.0
"""An upload that began so long ago and is not whole is not going on any more."""
Deleted: TypeAlias = Literal["deleted", "unknown", "used"]


class Files:
    """What is uploaded, and what batches wrote."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---------------------------------------------------------------------------------------------------------- uploading

    async def begin(self, file: File) -> int:
        """Note an upload that will be of ``file.size`` at most; return the bytes that its tenant's other files have."""

        async def body(tx: Statements) -> int:
            kept = await tx.rows("SELECT COALESCE(SUM(size), 0) FROM tightrope_files WHERE tenant = $1", file.tenant)
            await tx.rows(_ADD, *astuple(file), 0)
            return int(kept[0][0])

        return await self._database.write(body)

    async def append(self, file_id: str, number: int, content: bytes) -> None:
        """Add to an upload what begins with part ``number``, from 0; only the end of the file may end within a part."""
        starts = range(0, len(content), PART_BYTES)
        rows = [(file_id, number + index, content[start : start + PART_BYTES]) for index, start in enumerate(starts)]

        async def body(tx: Statements) -> None:
            await tx.each("INSERT INTO tightrope_parts (file, number, bytes) VALUES ($1, $2, $3) RETURNING 1", rows)

        await self._database.write(body)

    async def finish(self, file: File) -> File | None:
        """Let an upload be seen, as ``file`` now says it is; where its key made a file meanwhile, return that one: this one is none."""

        async def body(tx: Statements) -> list[Row]:
            await tx.rows("DELETE FROM tightrope_files WHERE id = $1", file.id)
            while not await tx.rows(f"{_ADD} ON CONFLICT (tenant, once) DO NOTHING RETURNING 1", *astuple(file), 1):
                if made := await tx.rows(_MADE, file.tenant, file.once):
                    return made
            return []

        made = await self._database.write(body)
        return File(*made[0]) if made else None

    async def made(self, tenant: str, once: str | None) -> File | None:
        """Return the file that a tenant's key made; None where it made none."""
        rows = await self._rows(_MADE, tenant, once)
        return File(*rows[0]) if rows else None

    # ------------------------------------------------------------------------------------------------------------ reading

    async def get(self, tenant: str, file_id: str) -> File | None:
        """Return a tenant's file; None where it has none of that id."""
        rows = await self._rows(f"{_FILES} WHERE id = $1 AND tenant = $2 AND ready = 1", file_id, tenant)
        return File(*rows[0]) if rows else None

    async def page(self, tenant: str, after: str, limit: int, purpose: str, newest_first: bool) -> list[File]:
        """Return up to ``limit`` of a tenant's files after that id (empty is from the first), of one purpose (empty is any)."""
        beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
        sql = (
            f"{_FILES} WHERE tenant = $1 AND ready = 1 AND ($2 = '' OR id {beyond} $2) AND ($3 = '' OR purpose = $3) "
            f"ORDER BY id {order} LIMIT $4"
        )
        return [File(*row) for row in await self._rows(sql, tenant, after, purpose, limit)]

    async def content(self, file: File) -> AsyncIterator[bytes]:
        """Give a file's bytes in order, a page at a time: as many rows as are no longer together, or one that is."""
        sizes, sql, key, state = _PART_SIZES, _PARTS, file.id, ()
        if file.batch is not None:
            sizes, sql, key, state = _LINE_SIZES, _LINES, file.batch, (file.state,)
        first = 0
        while found := await self._rows(sizes, key, first, PAGE_ROWS, *state):
            ends = accumulate(size for _, size in found)
            fitting = sum(end <= READ_BYTES for end in ends)
            rows = await self._rows(sql, key, first, max(1, fitting), *state)
            if not rows:  # the file was removed meanwhile
                return
            yield b"".join(row[1] for row in rows)
            first = rows[-1][0] + 1

    async def spans(self, file_id: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each (start, size) of an uploaded file; of a file that is gone, nothing."""
        pieces = [(index, piece) for index, span in enumerate(spans) for piece in _pieces(*span)]

        async def body(tx: Statements) -> list[Row]:
            sql = "SELECT (SELECT substr(bytes, $3, $4) FROM tightrope_parts WHERE file = $1 AND number = $2)"
            return await tx.each(sql, [(file_id, *piece) for _, piece in pieces])

        found = [b""] * len(spans)
        for (index, _), (read,) in zip(pieces, await self._database.read(body), strict=True):
            found[index] += read or b""
        return found

    async def _rows(self, sql: str, *values: object) -> list[Row]:
        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(sql, *values)

        return await self._database.read(body)

    # ----------------------------------------------------------------------------------------------------------- removing

    async def delete(self, tenant: str, file_id: str) -> Deleted:
        """Remove a tenant's file, unless a batch that is not done reads it."""

        async def body(tx: Statements) -> tuple[Deleted, Row | None]:
            sql = "SELECT batch, state FROM tightrope_files WHERE id = $1 AND tenant = $2 AND ready = 1 /*lock*/"
            rows = await tx.rows(sql, file_id, tenant)
            if not rows:
                return "unknown", None
            if await tx.rows("SELECT 1 FROM tightrope_batches WHERE file = $1 AND finished_s IS NULL LIMIT 1", file_id):
                return "used", None
            await tx.rows("DELETE FROM tightrope_files WHERE id = $1", file_id)
            return "deleted", rows[0]

        answer, row = await self._database.write(body)
        if row is not None:
            await self._clear(file_id, *row)
        return answer

    async def expire(self, now_s: float) -> int:
        """Remove what is older than it is kept, and uploads that were given up; return how many files."""

        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(_EXPIRE, now_s, now_s - ABANDONED_S)

        gone = await self._database.write(body)
        for row in gone:
            await self._clear(*row)
        return len(gone)

    async def abandon(self, file_id: str) -> None:
        """Remove an upload that will not be finished; one that was, though who finished it did not hear of that, stays."""

        async def body(tx: Statements) -> bool:
            await tx.rows("DELETE FROM tightrope_files WHERE id = $1 AND ready = 0", file_id)
            return bool(await tx.rows("SELECT 1 FROM tightrope_files WHERE id = $1", file_id))

        if not await self._database.write(body):
            await self._clear(file_id, None, None)

    async def clear_left(self) -> int:
        """Remove what is left of files that are gone, whose removal a kill broke off; return how many files."""
        left = await self._rows("SELECT DISTINCT file FROM tightrope_parts WHERE file NOT IN (SELECT id FROM tightrope_files)")
        for (file_id,) in left:
            await self._clear(file_id, None, None)
        return len(left)

    async def _clear(self, file_id: str, batch: str | None, state: int | None) -> None:
        """Remove what a file that is gone consists of, a step at a time."""
        part = "SELECT number FROM tightrope_parts WHERE file = $1 LIMIT 200"
        line = f"SELECT line FROM tightrope_items WHERE batch = $1 AND state = $2 LIMIT {STEP}"
        if batch is None:
            sql, values = f"DELETE FROM tightrope_parts WHERE file = $1 AND number IN ({part}) RETURNING 1", (file_id,)
        else:
            sql, values = f"DELETE FROM tightrope_items WHERE batch = $1 AND line IN ({line}) RETURNING 1", (batch, state)

        async def body(tx: Statements) -> int:
            return len(await tx.rows(sql, *values))

        while await self._database.write(body):
            pass


def _pieces(start: int, size: int) -> Iterable[tuple[int, int, int]]:
    """Give (part, place in it from 1, bytes) of a span that may reach over several parts.

    >>> list(_pieces(PART_BYTES - 2, 5))
    [(0, 262143, 2), (1, 1, 3)]
    """
    while size > 0:
        number, within = divmod(start, PART_BYTES)
        here = min(size, PART_BYTES - within)
        yield number, within + 1, here
        start, size = start + here, size - here


_FILES = f"SELECT {FILE_COLUMNS} FROM tightrope_files"
_MADE = f"{_FILES} WHERE tenant = $1 AND once = $2"
_PARTS = "SELECT number, bytes FROM tightrope_parts WHERE file = $1 AND number >= $2 ORDER BY number LIMIT $3"
_PART_SIZES = "SELECT number, length(bytes) FROM tightrope_parts WHERE file = $1 AND number >= $2 ORDER BY number LIMIT $3"
_LINES = "SELECT line, result FROM tightrope_items WHERE batch = $1 AND line >= $2 AND state = $4 ORDER BY line LIMIT $3"
_LINE_SIZES = (
    "SELECT line, length(result) FROM tightrope_items WHERE batch = $1 AND line >= $2 AND state = $4 ORDER BY line LIMIT $3"
)
_EXPIRE = """DELETE FROM tightrope_files WHERE id IN (
    SELECT id FROM tightrope_files WHERE (ready = 0 AND created_s <= $2) OR (ready = 1 AND expires_s <= $1 AND NOT EXISTS (
        SELECT 1 FROM tightrope_batches WHERE file = tightrope_files.id AND finished_s IS NULL)) LIMIT 100)
    RETURNING id, batch, state"""
_ADD = f"""INSERT INTO tightrope_files ({FILE_COLUMNS}, ready)
    VALUES ({marks(FILE_COLUMNS.count(",") + 2)})"""
