"""``tightrope ledger``: sum the spending, export the ledger, and check its integrity."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tightrope.base.errors import InputError, Where, build_unknown_name_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from tightrope.render.table import TableColumn
    from tightrope.serve.ledger.cost_report import Total
    from tightrope.serve.ledger.reader import LedgerReader

app = typer.Typer(no_args_is_help=True, help="Sum, export and check the spending.")


class ExportFormat(StrEnum):
    """Format of an exported ledger."""

    parquet = "parquet"
    csv = "csv"
    focus = "focus"


class IdleDisplay(StrEnum):
    """Place of idle time in the sums."""

    apart = "apart"
    spread = "spread"


LEAST_NUSD = 100_000
"""Smallest amount shown: a hundredth of a cent."""
LEDGER = Annotated[Path, typer.Option("--ledger", metavar="FOLDER", help="The folder that serve.yaml names under `ledger:`.")]
FROM = Annotated[
    str,
    typer.Option("--from", metavar="TIME", help="First time (UTC), such as 2026-10-31T14:00; default: the beginning."),
]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TO = Annotated[str, typer.Option("--to", metavar="TIME", help="Last time (exclusive); default: the end.")]


@app.command("total")
def total_command(
    ledger: LEDGER = Path("ledger"),
    since: FROM = "",
    until: TO = "",
    by: Annotated[str, typer.Option(metavar="NAME,...", help="tenant, model, variant, class, pool, tag, hour.")] = "",
    idle: Annotated[
        IdleDisplay, typer.Option(help="Show idle time apart, or share it among the requests by use.")
    ] = IdleDisplay.apart,
    as_json: JSON = False,
) -> None:
    """Sum the spending. The total equals the price of the machines plus the providers' charges."""
    from rich.console import Console

    from tightrope.serve.ledger.cost_report import COLUMNS, total
    from tightrope.serve.ledger.reader import LedgerReader

    names = tuple(name.strip() for name in by.split(",") if name.strip())
    for name in names:
        if name not in (*COLUMNS, "hour"):
            raise build_unknown_name_error(name, kind="column", known=(*COLUMNS, "hour"))
    with LedgerReader(ledger) as reader:
        spent = total(reader, *_parse_window(reader, since, until), names, spread=idle is IdleDisplay.spread)
    if as_json:
        typer.echo(json.dumps(_as_json(spent)))
    else:
        _print_sums(Console(), spent)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    form: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            help="A row for each request, or for an hour of those alike with the columns of FOCUS 1.2 (CSV). "
            "Left out, csv where OUT ends so, else parquet.",
        ),
    ] = None,
    ledger: LEDGER = Path("ledger"),
    since: FROM = "",
    until: TO = "",
    as_json: JSON = False,
) -> None:
    """Export every charge as a row: requests, and the machines' remaining cost by the hour."""
    from tightrope.serve.ledger.export import export
    from tightrope.serve.ledger.reader import LedgerReader

    form = form or (ExportFormat.csv if out.suffix == ".csv" else ExportFormat.parquet)
    with LedgerReader(ledger) as reader:
        rows = export(reader, form.value, out, *_parse_window(reader, since, until))
    said = f"wrote  {out}: {rows:,} charges"
    typer.echo(json.dumps({"wrote": str(out), "format": form.value, "charges": rows}) if as_json else said)


@app.command("check")
def check_command(ledger: LEDGER = Path("ledger"), as_json: JSON = False) -> None:
    """Check that no line is missing and that machines are paid at their price for all of the time; exit code 2 if not."""
    from tightrope.render.formats import strip_controls
    from tightrope.serve.ledger.check import check
    from tightrope.serve.ledger.reader import LedgerReader

    with LedgerReader(ledger) as reader:
        found = check(reader)
        lines = reader.rows("SELECT count(*) FROM lines")[0][0]
    faults = [finding.what for finding in found if finding.fault]
    notes = [finding.what for finding in found if not finding.fault]
    if as_json:
        typer.echo(json.dumps({"lines": lines, "faults": faults, "notes": notes}))
    for note in () if as_json else notes:
        typer.echo(f"note  {strip_controls(note)}")
    if faults:
        what = f"faults in {lines:,} lines: {len(faults)}\n  " + "\n  ".join(strip_controls(fault) for fault in faults[:20])
        raise InputError(
            what, resolve="restore the missing files from a backup; sums of these times are incomplete", where=Where(ledger)
        )
    if not as_json:
        typer.echo(f"ok    {lines:,} lines: none is missing, and machines are paid at their price for all of the time")


def _parse_window(reader: "LedgerReader", since: str, until: str) -> tuple[int, int]:
    """Return two instants in nanoseconds UTC; by default the whole ledger."""
    from tightrope.serve.ledger.journal import utc

    begins = _parse_instant("--from", since) if since else reader.begins_ns
    ends = _parse_instant("--to", until) if until else reader.ends_ns
    if ends <= begins:
        to = f"--to {until}" if until else f"the ledger's end, {utc(ends)},"
        what = f"{to} is not after {f'--from {since}' if since else f'its beginning, {utc(begins)}'}"
        raise InputError(what, resolve="correct --from or --to")
    return begins, ends


def _parse_instant(option: str, text: str) -> int:
    """Return a time as nanoseconds UTC; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        what = f"{option} is {text!r}, expected a time such as 2026-10-31 or 2026-10-31T14:00"
        raise InputError(what, resolve=f"correct {option}") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return int(time.timestamp()) * 10**9 + time.microsecond * 1000


def _to_usd(nusd: int | None) -> float | None:
    """Return nano-dollars as US dollars."""
    return None if nusd is None else nusd / 1e9


def _as_json(spent: "Total") -> dict[str, Any]:
    """Return the sums in US dollars; null is unknown."""
    from tightrope.serve.ledger.journal import utc

    amounts = ("compute", "tokens", "egress", "saved", "idle")
    counts = ("requests", "unanswered", "unpriced", "tokens_in", "tokens_out")
    return {
        "from": utc(spent.from_ns),
        "to": utc(spent.to_ns),
        "usd": _to_usd(spent.nusd),
        "complete": spent.complete,
        "charges": [
            dict(zip(spent.by, row.key, strict=True))
            | {name: getattr(row, name) for name in counts}
            | {f"{name}_usd": _to_usd(getattr(row, f"{name}_nusd")) for name in amounts}
            | {"usd": _to_usd(row.nusd)}
            for row in spent.charges
        ],
        "machines": [
            {"machines": row.meter, "from": utc(row.from_ns), "to": utc(row.to_ns), "machine_hours": row.machine_hours}
            | {
                f"{name}_usd": _to_usd(getattr(row, f"{name}_nusd"))
                for name in ("paid", "requests", "other", "idle", "unmetered")
            }
            for row in spent.machines
        ],
    }


def _print_sums(console: "Console", spent: "Total") -> None:
    """Print the sums: total, requests, machines; columns without values are left out."""
    from tightrope.render.table import print_notes, print_table, print_title
    from tightrope.serve.ledger.journal import utc

    print_title(console, _format_money(spent.nusd), f"from {utc(spent.from_ns)} to {utc(spent.to_ns)}")
    lacks = print_table(console, _request_columns(spent)) if spent.charges else []
    lacks += print_table(console, _machine_columns(spent)) if spent.machines else []
    print_notes(console, [] if spent.complete else ["not in the sum: requests and machines without a known price"], lacks)


def _request_columns(spent: "Total") -> "list[TableColumn]":
    """Return the columns of the requests' cost."""
    from tightrope.render.table import TableColumn
    from tightrope.render.terminal import plain_text

    rows = spent.charges
    named = [
        TableColumn(name, [plain_text(row.key[place] or "-") for row in rows], crop=8) for place, name in enumerate(spent.by)
    ]
    counts = {"requests": "requests", "no answer": "unanswered", "tokens in": "tokens_in", "tokens out": "tokens_out"}
    counted = [
        _number_column(head, [f"{getattr(row, field):,}" for row in rows], rank)
        for rank, (head, field) in enumerate(counts.items())
        if field != "unanswered" or any(row.unanswered for row in rows)
    ]
    parts = {
        "machines": "compute_nusd",
        "by use": "tokens_nusd",
        "egress": "egress_nusd",
        "idle": "idle_nusd",
        "saved": "saved_nusd",
    }
    amounts = {head: [getattr(row, field) for row in rows] for head, field in parts.items()}
    shown = [_number_column(head, map(_format_money, column), 3) for head, column in amounts.items() if any(column)]
    return [*named, *counted, *shown, _number_column("in all", [_format_money(row.nusd) for row in rows])]


def _machine_columns(spent: "Total") -> "list[TableColumn]":
    """Return the columns of the machines' cost and of the part charged to requests."""
    from tightrope.render.table import TableColumn
    from tightrope.render.terminal import plain_text
    from tightrope.serve.ledger.journal import hour_name

    rows = spent.machines
    named = [TableColumn("machines", [plain_text(row.meter) for row in rows], crop=8)]
    hours = [TableColumn("hour", [plain_text(hour_name(row.from_ns)) for row in rows])] if "hour" in spent.by else []
    parts = {
        "paid": "paid_nusd",
        "requests": "requests_nusd",
        "idle": "idle_nusd",
        "other": "other_nusd",
        "unmetered": "unmetered_nusd",
    }
    amounts = {head: [getattr(row, field) for row in rows] for head, field in parts.items()}
    shown = [
        _number_column(head, map(_format_money, column))
        for head, column in amounts.items()
        if head in {"paid", "requests"} or column != [0] * len(rows)
    ]
    return [*named, *hours, _number_column("hours", [f"{row.machine_hours:,.2f}" for row in rows]), *shown]


def _number_column(head: str, cells: "Iterable[str]", rank: int = 0) -> "TableColumn":
    """Return a column of numbers."""
    from tightrope.render.table import TableColumn
    from tightrope.render.terminal import plain_text

    return TableColumn(head, [plain_text(cell) for cell in cells], rank=rank, right=True)


def _format_money(nusd: int | None) -> str:
    """Return an amount to a hundredth of a cent; a smaller one as less than that.

    >>> _format_money(0), _format_money(163), _format_money(-58), _format_money(-2_000_000), _format_money(None)
    ('$0.0000', '<$0.0001', '$0.0000', '−$0.0020', 'unknown')
    """
    from tightrope.render.formats import UNKNOWN, usd

    if nusd is not None and 0 < nusd < LEAST_NUSD:
        return "<$0.0001"
    return UNKNOWN if nusd is None else usd(nusd / 1e9, 4)
