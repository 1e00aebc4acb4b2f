"""Packs hours that have ended: lines into Parquet, a tenth as large, by DuckDB in one thread with little memory."""

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tightrope.serve.ledger.journal import LOCK, visiting
from tightrope.serve.ledger.meter import SECOND
from tightrope.serve.ledger.month_to_date import CHECKPOINT, GOES_ON_S, Totals, read_totals, write_totals
from tightrope.serve.ledger.rows import COLUMNS, COSTS, Machines

if TYPE_CHECKING:
    import duckdb

MEMORY = "256MB"
ALL = "9"
"""Later than any hour's name."""
KEPT = {field.encode_name for field in msgspec.structs.fields(Machines)}
"""Columns of a line of machines."""


def connect(memory: str = MEMORY, threads: int = 1) -> "duckdb.DuckDBPyConnection":
    """Return DuckDB with so much memory and so many threads, without anything of the network."""
    import duckdb  # heavy, and only needed by the hour

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": memory,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(config=settings)


def lines_sql(paths: Sequence[Path]) -> str:
    """Return the table of lines, as they stand in files that are added to; one that is torn has the kind ``torn``."""
    listed = ", ".join(quoted(str(path)) for path in paths)
    types = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, (kind, _) in COLUMNS.items())
    fields = ", ".join(f'coalesce("{name}", {default}) AS "{name}"' for name, (_, default) in COLUMNS.items())
    return (
        f"SELECT {fields}, filename FROM read_json([{listed}], format = 'newline_delimited', columns = {{{types}}}, "
        "ignore_errors = true, filename = true, maximum_object_size = 1048576)"
    )


def quoted(text: str) -> str:
    """Return a text as SQL has it.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def compact_closed(folder: Path, open_hour: str, kept_days: int, now_ns: int) -> None:
    """Pack each hour of a gateway's folder before the open one; remove what is older than is kept, and with it what is left empty.

    The caller has the folder's lock. ``ALL`` is of a gateway that is gone.
    """
    oldest = (datetime.fromtimestamp(now_ns // SECOND, UTC) - timedelta(days=kept_days)).strftime("%Y-%m-%dT%H")
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem < open_hour:
            pack_hour(path)
    for path in folder.glob("*.parquet"):
        if path.stem < oldest:
            path.unlink()
    if open_hour == ALL and read_totals(folder).ends_ns <= now_ns:  # until then its totals are part of the month's
        remove_empty(folder)


def pack_gone(folder: Path, kept_days: int, now_ns: int) -> None:
    """Pack the folder of another gateway, where that is gone."""
    with visiting(folder) as gone:
        if gone:
            write_totals(folder, msgspec.json.encode(recovered(folder, now_ns)))
            compact_closed(folder, ALL, kept_days, now_ns)


def remove_empty(folder: Path) -> None:
    """Remove a gateway's folder in which no hour is left; the caller has its lock, and knows then that it is no lock any more.

    The lock goes last: where a kill comes before, the folder is found again. Whoever begins to write there meanwhile sees that the lock
    it got is gone (``journal.entered``), and has the folder anew.
    """
    left = sorted(folder.iterdir(), key=lambda path: path.name == LOCK)
    if all(path.name in (LOCK, CHECKPOINT) or path.suffix == ".part" for path in left):
        for path in left:
            path.unlink()
        with contextlib.suppress(OSError):  # somebody is in it already
            folder.rmdir()


def pack_hour(path: Path) -> None:
    """Replace an hour's lines by a Parquet file; while both are there the lines count."""
    draft, packed = path.with_suffix(".parquet.part"), path.with_suffix(".parquet")
    if path.stat().st_size:
        with connect() as connection:
            rows = f"SELECT * EXCLUDE (filename) FROM ({lines_sql([path])})"
            connection.execute(f"COPY ({rows}) TO {quoted(str(draft))} (FORMAT parquet, COMPRESSION zstd)")
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(packed)
    path.unlink()


def recovered(folder: Path, now_ns: int) -> Totals:
    """Return the totals of a gateway's folder as of its last line, and write nothing.

    Lines of a time that is far from having come, since the clock was wrong, are of no month yet: only their numbers count.
    """
    totals, upto_ns = read_totals(folder), now_ns + GOES_ON_S * SECOND
    if totals.seq:
        totals.read_on(folder)
    return totals if totals.seq and totals.at_ns <= upto_ns else _rebuilt(folder, upto_ns)


def _rebuilt(folder: Path, upto_ns: int) -> Totals:
    """Return the totals of all lines up to a time, where what was written down of them is lost."""
    totals = Totals()
    lines = sorted(folder.glob("*.jsonl"))
    packed = [quoted(str(path)) for path in folder.glob("*.parquet") if path.with_suffix(".jsonl") not in lines]
    tables = [f"(SELECT * EXCLUDE (filename) FROM ({lines_sql(lines)}))"] if lines else []
    tables += [f"(FROM read_parquet([{', '.join(packed)}], union_by_name = true))"] if packed else []
    if not tables:
        return totals
    with connect() as connection:
        connection.execute(f"CREATE VIEW every AS {' UNION ALL BY NAME '.join(tables)}")
        connection.execute(f"CREATE VIEW lines AS FROM every WHERE at_ns <= {upto_ns}")
        last = "SELECT coalesce(max(seq), 0), coalesce(arg_max(kind, seq) = 'stop', false) FROM every"
        seq, totals.stopped = connection.execute(last).fetchall()[0]
        at_ns = connection.execute("SELECT max(at_ns) FROM lines").fetchall()[0][0] or 0
        totals.see(seq, at_ns)
        spent = f"sum(coalesce(compute_nusd, 0)), sum(tokens_nusd + egress_nusd) FROM lines WHERE {COSTS}"
        for tenant, pool, compute, beside in connection.execute(
            f"SELECT tenant, pool, {spent} AND at_ns >= {totals.begins_ns} GROUP BY ALL"
        ).fetchall():
            totals.add_spent(tenant, pool, int(compute), int(beside))
        rows = connection.execute("FROM lines WHERE kind = 'machines' ORDER BY seq")
        names = [column[0] for column in rows.description]
        while row := rows.fetchone():
            totals.add_machines(
                msgspec.convert({name: value for name, value in zip(names, row, strict=True) if name in KEPT}, Machines)
            )
        for metered in totals.meters.values():
            since = f"SELECT {spent} AND seq > ? AND list_contains(?, pool)"
            metered.charged_nusd -= int(connection.execute(since, [metered.last.seq, metered.last.pools]).fetchall()[0][0] or 0)
    totals.see(seq, at_ns)
    return totals
