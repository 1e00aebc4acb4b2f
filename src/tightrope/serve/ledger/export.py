"""The ledger as a file for others: every charge a row, so that the column ``usd`` adds up to what was spent.

Beside requests these are what machines cost that no request was charged, by the hour: ``idle``, ``unmetered``, and ``other``.
"""

import contextlib
import secrets
from pathlib import Path
from typing import Literal

from tightrope.base.errors import InputError, Where
from tightrope.serve.ledger.compaction import quoted
from tightrope.serve.ledger.cost_report import total
from tightrope.serve.ledger.focus import focus_rows
from tightrope.serve.ledger.reader import LedgerReader

NAMES = ("id", "tenant", "key", "class", "tag", "model", "pool", "variant", "replica", "machine", "offer", "cloud", "region")
NUMBERS = ("status", "cached", "tokens_in", "tokens_out", "machine_ms", "wait_ms", "service_ms", "total_ms")
AMOUNTS = ("compute", "tokens", "egress", "saved")
CHOSEN = ("id", "tag")
"""Names that a client chooses."""
NO_FORMULA = r"regexp_replace({0}, '^[=+@-]', '''\0') AS {0}"
"""SQL of a text that no spreadsheet takes for a formula (OWASP, *CSV Injection*)."""


def usd(nusd: str) -> str:
    """Return SQL for an amount of nano-dollars as exact US dollars."""
    return f"(({nusd})::DECIMAL(19, 0) * 0.000000001::DECIMAL(10, 9))::DECIMAL(28, 9)"


def export(reader: LedgerReader, form: Literal["parquet", "csv", "focus"], out: Path, from_ns: int, to_ns: int) -> int:
    """Write the charges between two instants to a file, whole or not at all, and return how many.

    ``focus`` is CSV with the columns of FOCUS 1.2, an hour's charges that are alike in one row. Raises ``InputError`` where the file can
    not be written, and for ``focus`` where a price is not known, since a cost must be stated there.
    """
    draft = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(exist_ok=False)
        rows = focus_rows(reader, draft, from_ns, to_ns) if form == "focus" else _copy(reader, form, draft, from_ns, to_ns)
        draft.replace(out)
    except OSError as error:
        what = f"cannot write: {error.strerror}"
        raise InputError(what, resolve="give a file in a folder that you may write to", where=Where(out)) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return rows


def _copy(reader: LedgerReader, form: str, out: Path, from_ns: int, to_ns: int) -> int:
    """Write a row for each request, and for each hour of machines."""
    reader.sql.execute("CREATE OR REPLACE TEMP TABLE beside (kind VARCHAR, at_ns BIGINT, pool VARCHAR, compute_nusd BIGINT)")
    for row in total(reader, from_ns, to_ns, ("hour",)).machines:
        amounts = {"idle": row.idle_nusd, "other": row.other_nusd, "unmetered": row.unmetered_nusd}
        kept = [[kind, row.from_ns, row.meter, amount] for kind, amount in amounts.items() if amount != 0]
        if kept:
            reader.sql.executemany("INSERT INTO beside VALUES (?, ?, ?, ?)", kept)
    columns = [
        "kind",
        "make_timestamp_ns(at_ns)::TIMESTAMP AS at",
        *(
            NO_FORMULA.format(name) if form == "csv" and name in CHOSEN else f'"{name}"'
            for name in ("gateway", "seq", *NAMES, *NUMBERS)
        ),
        *(f"{usd(f'{name}_nusd')} AS {name}_usd" for name in AMOUNTS),
        f"{usd('compute_nusd + coalesce(tokens_nusd, 0) + coalesce(egress_nusd, 0)')} AS usd",
    ]
    table = f"SELECT {', '.join(columns)} FROM (FROM requests UNION ALL BY NAME FROM beside)"
    options = "FORMAT parquet, COMPRESSION zstd" if form == "parquet" else "FORMAT csv, HEADER"
    (count,) = reader.rows(f"COPY ({table}) TO {quoted(str(out))} ({options})")
    return int(count[0])
