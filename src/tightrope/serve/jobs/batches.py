"""The batches in the database: made, shown, begun, ended; what changes one locks its row first."""

from collections.abc import Sequence
from dataclasses import astuple
from typing import Literal, TypeAlias

import msgspec

from tightrope.serve.jobs.database import Database, Row, Statements
from tightrope.serve.jobs.records import BATCH_COLUMNS, ENDED, Batch, LineError, Status, marks, new_id
from tightrope.serve.jobs.tables import ANSWERED, FAILED

Added: TypeAlias = Literal["added", "no file", "too many"]
STEP = 5_000
"""Rows that are removed in one transaction."""


class Batches:
    """What tenants hand in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch, most: int) -> Added | Batch:
        """Take a batch in, unless its tenant has no such file to read, or ``most`` batches that have not ended.

        Where the key that it comes with made a batch before, that one is returned, and nothing is taken in.
        """

        async def body(tx: Statements) -> Added | Batch:
            while not (made := await tx.rows(f"{_BATCHES} WHERE tenant = $1 AND once = $2", batch.tenant, batch.once)):
                sql = "SELECT 1 FROM tightrope_files WHERE id = $1 AND tenant = $2 AND ready = 1 /*lock*/"
                if not await tx.rows(sql, batch.file, batch.tenant):
                    return "no file"
                sql = "SELECT COUNT(*) FROM tightrope_batches WHERE tenant = $1 AND finished_s IS NULL"
                if (await tx.rows(sql, batch.tenant))[0][0] >= most:
                    return "too many"
                if await tx.rows(_ADD, *astuple(batch)):
                    return "added"
            return Batch(*made[0])

        return await self._database.write(body)

    async def get(self, tenant: str, batch_id: str) -> Batch | None:
        """Return a tenant's batch; None where it has none of that id."""
        rows = await self._rows(f"{_BATCHES} WHERE id = $1 AND tenant = $2", batch_id, tenant)
        return Batch(*rows[0]) if rows else None

    async def page(self, tenant: str, after: str, limit: int) -> list[Batch]:
        """Return up to ``limit`` of a tenant's batches, newest first, after that id (empty is from the first)."""
        sql = f"{_BATCHES} WHERE tenant = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3"
        return [Batch(*row) for row in await self._rows(sql, tenant, after, limit)]

    async def open(self) -> list[Batch]:
        """Return all batches that have not ended, of all tenants, earliest deadline first."""
        return [Batch(*row) for row in await self._rows(f"{_BATCHES} WHERE finished_s IS NULL ORDER BY due_s, id")]

    async def _rows(self, sql: str, *values: object) -> list[Row]:
        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(sql, *values)

        return await self._database.read(body)

    # ------------------------------------------------------------------------------------------------------------- stages

    async def take(self, holder: str) -> Batch | None:
        """Return a batch whose file is to be read, and let no other gateway read it; None where there is none.

        The tenant with the fewest batches goes first: who hands in many great files does not keep others waiting for all of them.

        One that ``holder`` has already comes again: it did not come to its end.
        """

        async def body(tx: Statements) -> list[Row]:
            found = await tx.rows(_UNREAD, holder)
            if found:
                await tx.rows("UPDATE tightrope_batches SET holder = $2 WHERE id = $1", found[0][0], holder)
            return found

        rows = await self._database.write(body)
        return Batch(*rows[0]) if rows else None

    async def begin(self, batch_id: str, holder: str, total: int, now_s: float) -> None:
        """Say that a batch's file was read, and has so many items, which may be done from now on."""

        async def body(tx: Statements) -> None:
            if await _held(tx, batch_id, holder):
                await tx.rows("UPDATE tightrope_batches SET total = $2, holder = NULL WHERE id = $1", batch_id, total)
                await move(tx, batch_id, "in_progress", now_s)

        await self._database.write(body)

    async def fail(self, batch_id: str, holder: str, errors: Sequence[LineError], now_s: float) -> None:
        """Say why a batch is not done at all."""
        text = msgspec.json.encode([error.shown() for error in errors]).decode()

        async def body(tx: Statements) -> bool:
            if not await _held(tx, batch_id, holder):
                return False
            await tx.rows("UPDATE tightrope_batches SET errors = $2, holder = NULL WHERE id = $1", batch_id, text)
            await move(tx, batch_id, "failed", now_s)
            return True

        if await self._database.write(body):
            await self.clear(batch_id)

    async def stop(self, batch_id: str, why: Status, now_s: float) -> None:
        """Let nothing more of a batch begin: it was cancelled (``cancelling``) or is due (``finalizing``), once its file is read."""

        async def body(tx: Statements) -> None:
            status = await _locked(tx, batch_id)
            if status == "in_progress" or (status == "validating" and why == "cancelling"):
                await move(tx, batch_id, why, now_s)

        await self._database.write(body)

    async def settle(self, batch_id: str, now_s: float) -> None:
        """End a batch that is stopped and of which nothing is left, though nothing came to an end just now."""

        async def body(tx: Statements) -> bool:
            status = await _locked(tx, batch_id)
            if status not in ("cancelling", "finalizing"):
                return False
            unread = "in_progress" not in await _moments(tx, batch_id)
            if unread:
                await tx.rows("UPDATE tightrope_batches SET total = 0 WHERE id = $1", batch_id)
            await end_if_done(tx, batch_id, now_s)
            return unread

        if await self._database.write(body):
            await self.clear(batch_id)

    async def expire(self, before_s: float) -> list[str]:
        """Forget batches that ended before that time and whose files are gone; return their ids."""

        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(_EXPIRE, before_s)

        gone = [row[0] for row in await self._database.write(body)]
        for batch_id in gone:
            await self.clear(batch_id)
        return gone

    async def clear_left(self) -> int:
        """Remove what is left of batches that are gone, whose removal a kill broke off; return how many batches."""
        left = await self._rows(
            "SELECT DISTINCT batch FROM tightrope_items WHERE batch NOT IN (SELECT id FROM tightrope_batches)"
        )
        for (batch_id,) in left:
            await self.clear(batch_id)
        return len(left)

    async def clear(self, batch_id: str) -> None:
        """Remove a batch's items, a step at a time."""
        sql = (
            "DELETE FROM tightrope_items WHERE batch = $1 AND line IN "
            f"(SELECT line FROM tightrope_items WHERE batch = $1 LIMIT {STEP}) RETURNING 1"
        )

        async def body(tx: Statements) -> int:
            return len(await tx.rows(sql, batch_id))

        while await self._database.write(body):
            pass


# ------------------------------------------------------------------------------------------------- within a transaction


async def move(tx: Statements, batch_id: str, status: Status, now_s: float) -> None:
    """Bring a batch, whose row is locked, to ``status`` and note when."""
    moments = await _moments(tx, batch_id) | {status: now_s}
    sql = "UPDATE tightrope_batches SET status = $2, moments = $3, finished_s = $4 WHERE id = $1"
    await tx.rows(sql, batch_id, status, msgspec.json.encode(moments).decode(), now_s if status in ENDED else None)


async def end_if_done(tx: Statements, batch_id: str, now_s: float) -> None:
    """End a batch, whose row is locked, where each of its items is done; its files are there from then on."""
    batch = Batch(*(await tx.rows(f"{_BATCHES} WHERE id = $1", batch_id))[0])
    if batch.left or batch.status not in ("in_progress", "finalizing", "cancelling"):
        return
    for state, size, column, word in (
        (ANSWERED, batch.output_bytes, "output_file", "output"),
        (FAILED, batch.error_bytes, "error_file", "error"),
    ):
        if size:
            file_id = new_id("file")
            row = (file_id, batch.tenant, f"{batch.id}_{word}.jsonl", size, now_s, now_s + batch.output_keep_s, batch.id, state)
            await tx.rows(_ADD_FILE, *row)
            await tx.rows(f"UPDATE tightrope_batches SET {column} = $2 WHERE id = $1", batch_id, file_id)
    if batch.status == "in_progress":
        await move(tx, batch_id, "finalizing", now_s)
    ended: dict[str, Status] = {"in_progress": "completed", "finalizing": "expired", "cancelling": "cancelled"}
    await move(tx, batch_id, ended[batch.status], now_s)


async def _locked(tx: Statements, batch_id: str) -> Status | None:
    """Lock a batch; return its status, None where it is gone."""
    rows = await tx.rows("SELECT status FROM tightrope_batches WHERE id = $1 /*lock*/", batch_id)
    return rows[0][0] if rows else None


async def _held(tx: Statements, batch_id: str, holder: str) -> bool:
    """Lock a batch; return whether this gateway is the one that reads its file, and shall go on."""
    sql = "SELECT 1 FROM tightrope_batches WHERE id = $1 AND holder = $2 AND status = 'validating' /*lock*/"
    return bool(await tx.rows(sql, batch_id, holder))


async def _moments(tx: Statements, batch_id: str) -> dict[str, float]:
    rows = await tx.rows("SELECT moments FROM tightrope_batches WHERE id = $1", batch_id)
    return msgspec.json.decode(rows[0][0])


_BATCHES = f"SELECT {BATCH_COLUMNS} FROM tightrope_batches"
_OPEN = (
    "(SELECT COUNT(*) FROM tightrope_batches AS other WHERE other.tenant = tightrope_batches.tenant AND other.finished_s IS NULL)"
)
_UNREAD = f"{_BATCHES} WHERE status = 'validating' AND (holder IS NULL OR holder = $1) ORDER BY {_OPEN}, due_s, id LIMIT 1 /*skip locked*/"
_ADD = f"""INSERT INTO tightrope_batches ({BATCH_COLUMNS})
    VALUES ({marks(BATCH_COLUMNS.count(",") + 1)})
    ON CONFLICT (tenant, once) DO NOTHING RETURNING 1"""
_EXPIRE = """DELETE FROM tightrope_batches WHERE id IN (
    SELECT id FROM tightrope_batches WHERE finished_s <= $1 AND NOT EXISTS (
        SELECT 1 FROM tightrope_files WHERE batch = tightrope_batches.id) LIMIT 100) RETURNING id"""
_ADD_FILE = """INSERT INTO tightrope_files (id, tenant, purpose, name, size, created_s, expires_s, ready, batch, state)
    VALUES ($1, $2, 'batch_output', $3, $4, $5, $6, 1, $7, $8)"""
