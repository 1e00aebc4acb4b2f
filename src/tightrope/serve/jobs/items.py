"""The items in the database: added while a file is read, held while they are tried, done once."""

from collections.abc import Iterable, Sequence

from tightrope.serve.jobs.batches import end_if_done
from tightrope.serve.jobs.database import Database, Row, Statements
from tightrope.serve.jobs.records import BatchItem, ItemResult, TokenCounts
from tightrope.serve.jobs.tables import ANSWERED, FAILED, HELD, WAITING


class BatchLostError(Exception):
    """The batch is read by another gateway, or not wanted any more."""


class Items:
    """The lines of batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch_id: str, holder: str, items: Sequence[BatchItem]) -> list[BatchItem]:
        """Add lines of a file that is being read; return those whose ``custom_id`` the batch has already. Raises ``BatchLostError``."""

        async def body(tx: Statements) -> set[int]:
            sql = "SELECT 1 FROM tightrope_batches WHERE id = $1 AND holder = $2 AND status = 'validating' /*lock*/"
            if not await tx.rows(sql, batch_id, holder):
                raise BatchLostError
            rows = [(batch_id, item.line, item.custom_id, item.start, item.size) for item in items]
            return {line for (line,) in await tx.each(_ADD, rows)}

        added = await self._database.write(body)
        return [item for item in items if item.line not in added]

    async def claim(self, batch_id: str, holder: str, most: int, now_s: float) -> list[BatchItem]:
        """Return up to ``most`` items in the order of the file that wait and may be tried now; they are held by ``holder`` from now on."""

        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(_CLAIM, batch_id, holder, now_s, most)

        return sorted((BatchItem(*row) for row in await self._database.write(body)), key=lambda item: item.line)

    async def put_back(self, batch_id: str, holder: str, tries: Iterable[tuple[int, int | None, float]]) -> None:
        """Let items wait again: each (line, what it was answered, Unix time before which it is not tried again)."""
        rows = [(batch_id, line, holder, status, not_before_s) for line, status, not_before_s in tries]

        async def body(tx: Statements) -> None:
            await tx.each(_PUT_BACK, rows)

        await self._database.write(body)

    async def open(self, batch_id: str, most: int) -> list[BatchItem]:
        """Return up to ``most`` items that nobody holds and that are not done."""

        async def body(tx: Statements) -> list[Row]:
            sql = f"SELECT {_COLUMNS} FROM tightrope_items WHERE batch = $1 AND state = 0 ORDER BY line LIMIT $2"
            return await tx.rows(sql, batch_id, most)

        return [BatchItem(*row) for row in await self._database.read(body)]

    async def record(self, batch_id: str, results: Sequence[ItemResult], now_s: float) -> int:
        """Write down how items ended, each unless it had ended; end the batch with its last. Returns how many were new."""

        async def body(tx: Statements) -> int:
            if not await tx.rows("SELECT 1 FROM tightrope_batches WHERE id = $1 /*lock*/", batch_id):
                return 0
            rows = [(batch_id, result.line, ANSWERED if result.answered else FAILED, result.bytes) for result in results]
            new = await tx.each(_RECORD, rows)
            answered, failed = ([size for _, state, size in new if state == which] for which in (ANSWERED, FAILED))
            first = {result.line: result for result in reversed(results)}
            used, counted = _used([first[line] for line, *_ in new])
            await tx.rows(_COUNT, batch_id, len(answered), len(failed), sum(answered), sum(failed), *used, counted)
            await end_if_done(tx, batch_id, now_s)
            return len(new)

        return await self._database.write(body)

    # ------------------------------------------------------------------------------------------------------------ holders

    async def beat(self, holder: str, until_s: float) -> None:
        """Say that a gateway is there and will say so again before ``until_s``."""

        async def body(tx: Statements) -> None:
            sql = "INSERT INTO tightrope_holders (id, until_s) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET until_s = excluded.until_s"
            await tx.rows(sql, holder, until_s)

        await self._database.write(body)

    async def held(self, holder: str) -> set[tuple[str, int]]:
        """Return (batch, line) of each item that a gateway holds."""

        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(f"SELECT batch, line FROM tightrope_items WHERE state = {HELD} AND holder = $1", holder)

        return {(batch, line) for batch, line in await self._database.read(body)}

    async def release(self, holder: str) -> int:
        """Let go of all that a gateway holds, which is going or gone; return the items."""

        async def body(tx: Statements) -> int:
            await tx.rows("DELETE FROM tightrope_holders WHERE id = $1", holder)
            await tx.rows("UPDATE tightrope_batches SET holder = NULL WHERE holder = $1", holder)
            sql = "UPDATE tightrope_items SET state = 0, holder = NULL WHERE state = 1 AND holder = $1 RETURNING 1"
            return len(await tx.rows(sql, holder))

        return await self._database.write(body)

    async def dead(self, now_s: float) -> list[str]:
        """Return the gateways that have not said for too long that they are there, or hold something without saying so."""

        async def body(tx: Statements) -> list[Row]:
            return await tx.rows(_DEAD, now_s)

        return [row[0] for row in await self._database.read(body)]


def _used(results: Iterable[ItemResult]) -> tuple[list[int], int]:
    """Return the tokens that results took, and how many of the answers say so."""
    said = [result.tokens for result in results if result.tokens is not None]
    sums = [sum(counts) for counts in zip(*said, strict=True)] or [0] * len(TokenCounts._fields)
    return sums, sum(result.answered and result.tokens is not None for result in results)


_COLUMNS = "line, custom_id, start, size, tries, last_status"
_ADD = f"""INSERT INTO tightrope_items (batch, line, custom_id, start, size, state, tries, not_before_s)
    VALUES ($1, $2, $3, $4, $5, {WAITING}, 0, 0) ON CONFLICT (batch, custom_id) DO NOTHING RETURNING line"""
_CLAIM = f"""UPDATE tightrope_items SET state = {HELD}, holder = $2, tries = tries + 1 WHERE batch = $1 AND line IN (
    SELECT line FROM tightrope_items WHERE batch = $1 AND state = {WAITING} AND not_before_s <= $3
    ORDER BY line LIMIT $4 /*skip locked*/) RETURNING {_COLUMNS}"""
_PUT_BACK = f"""UPDATE tightrope_items SET state = {WAITING}, holder = NULL, last_status = COALESCE($4, last_status), not_before_s = $5
    WHERE batch = $1 AND line = $2 AND state = {HELD} AND holder = $3 RETURNING 1"""
_RECORD = f"""UPDATE tightrope_items SET state = $3, holder = NULL, result = $4
    WHERE batch = $1 AND line = $2 AND state < {ANSWERED} RETURNING line, state, length(result)"""
_DEAD = f"""WITH alive AS (SELECT id FROM tightrope_holders WHERE until_s >= $1)
    SELECT id FROM tightrope_holders WHERE until_s < $1
    UNION SELECT holder FROM tightrope_items WHERE state = {HELD} AND holder NOT IN (SELECT id FROM alive)
    UNION SELECT holder FROM tightrope_batches WHERE finished_s IS NULL AND holder NOT IN (SELECT id FROM alive)"""
_COUNT = """UPDATE tightrope_batches SET completed = completed + $2, failed = failed + $3, output_bytes = output_bytes + $4,
    error_bytes = error_bytes + $5, input_tokens = input_tokens + $6, cached_tokens = cached_tokens + $7,
    output_tokens = output_tokens + $8, reasoning_tokens = reasoning_tokens + $9, counted = counted + $10 WHERE id = $1"""
