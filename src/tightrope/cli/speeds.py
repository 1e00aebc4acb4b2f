"""``tightrope perf list``, ``show`` and ``compare``: what every variant does on every machine, and what that costs."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError, unknown_name

if TYPE_CHECKING:
    from tightrope.plan.problem.speed_table import SpeedRow

Workload = Annotated[Path, typer.Argument(help="The workload.yaml whose classes, variants, machines and offers are looked at.")]
ClassName = Annotated[str, typer.Option("--class", metavar="NAME", help="Only this traffic class; * and ? stand for others.")]
Variant = Annotated[str, typer.Option(metavar="MODEL/VARIANT", help="Only this variant; * and ? stand for others.")]
Machine = Annotated[str, typer.Option(metavar="NAME", help="Only this machine type; * and ? stand for others.")]
Offer = Annotated[str, typer.Option(metavar="NAME", help="Only this way of paying; * and ? stand for others.")]
Catalogue = Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")]
AsOf = Annotated[str, typer.Option(metavar="DATE", help="With the prices seen by that day, such as 2026-10-31.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array instead.")]


def list_speeds(
    workload: Workload,
    class_name: ClassName = "*",
    variant: Variant = "*",
    machine: Machine = "*",
    offer: Offer = "*",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most rows shown for a class; all as JSON.")] = 20,
    catalogue: Catalogue = None,
    prices_as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """List what every variant sustains within the promises on every machine, and what a million requests cost, the cheapest first."""
    from rich.console import Console

    from tightrope.render.speeds.tables import print_speeds

    found = _find(workload, catalogue, prices_as_of, class_name, variant, machine, offer)
    if not _as_json(found, as_json=as_json):
        print_speeds(found, limit, Console())


def show_speed(
    workload: Workload,
    variant: Variant,
    machine: Machine,
    catalogue: Catalogue = None,
    prices_as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Show one variant on one machine: every region and offer, and where its figures come from."""
    from rich.console import Console

    from tightrope.render.speeds.tables import print_one

    found = _find(workload, catalogue, prices_as_of, "*", variant, machine, "*")
    pairs = {(item.variant, item.machine) for item in found}
    if len(pairs) > 1:
        msg = f"{len(pairs)} pairs of a variant and a machine fit, expected one"
        raise InputError(
            msg, resolve=f"name one, such as --variant {min(pairs)[0]} --machine {min(pairs)[1]}; `perf list` shows many"
        )
    if not _as_json(found, as_json=as_json):
        print_one(found, Console())


def compare_speeds(
    workload: Workload,
    class_name: ClassName = "*",
    variant: Variant = "*",
    machine: Machine = "*",
    offer: Offer = "*",
    out: Annotated[Path | None, typer.Option(help="Folder for pareto.html: the chart of cost, latency and quality.")] = None,
    catalogue: Catalogue = None,
    prices_as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Show what nothing else beats in cost, latency and quality at once: the Pareto front of every class."""
    from rich.console import Console

    from tightrope.plan.problem.speed_table import pareto_front
    from tightrope.render.files import write_files
    from tightrope.render.speeds.pareto import render_pareto
    from tightrope.render.speeds.tables import print_speeds

    found = _find(workload, catalogue, prices_as_of, class_name, variant, machine, offer)
    front = pareto_front(found)
    if out is not None:
        write_files(out, render_pareto(workload.parent.resolve().name, found))
    if not _as_json(front, as_json=as_json):
        print_speeds(front, len(front), Console(), frozenset(front))
        if out is not None:
            typer.echo(f"wrote  {out / 'pareto.html'}")


def _as_json(speeds: "tuple[SpeedRow, ...]", *, as_json: bool) -> bool:
    """Print the rows as JSON where that was asked for; return whether it was."""
    if as_json:
        from tightrope.render.plain import plain

        typer.echo(json.dumps([plain(item) for item in speeds]))
    return as_json


def _find(path: Path, catalogue: Path | None, as_of: str, *patterns: str) -> "tuple[SpeedRow, ...]":
    """Return the rows whose class, variant, machine and offer fit the patterns; raise ``InputError`` where none does."""
    from rich.console import Console

    from tightrope.cli.dates import parse_day
    from tightrope.clouds.book import load_price_book
    from tightrope.demand.workload import load_workload
    from tightrope.plan.problem.capacity import CapacityTable
    from tightrope.plan.problem.speed_table import find_speeds

    with Console(stderr=True).status("read the workload") as status:
        book = load_price_book(parse_day(as_of, "--prices-as-of"), catalogue)
        speeds = find_speeds(load_workload(path, book), book, CapacityTable(), status.update)
    fields = ("traffic_class", "variant", "machine", "offer")
    for field, pattern in zip(fields, patterns, strict=True):
        known = {getattr(item, field) for item in speeds}
        if not any(fnmatchcase(name, pattern) for name in known):
            raise unknown_name(pattern, kind=field.replace("_", " "), known=known)
        speeds = tuple(item for item in speeds if fnmatchcase(getattr(item, field), pattern))
    return speeds
