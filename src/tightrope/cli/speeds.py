"""``tightrope perf list``, ``show`` and ``compare``: speed and cost of every variant on every machine."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError, build_unknown_name_error

if TYPE_CHECKING:
    from tightrope.plan.problem.speed_table import SpeedRow

Workload = Annotated[Path, typer.Argument(help="The workload.yaml with the classes, variants, machines and offers.")]
ClassName = Annotated[str, typer.Option("--class", metavar="NAME", help="Only this traffic class; * and ? are wildcards.")]
Variant = Annotated[str, typer.Option(metavar="MODEL/VARIANT", help="Only this variant; * and ? are wildcards.")]
Machine = Annotated[str, typer.Option(metavar="NAME", help="Only this machine type; * and ? are wildcards.")]
Offer = Annotated[str, typer.Option(metavar="NAME", help="Only this offer; * and ? are wildcards.")]
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
    """List each variant's sustained rate within the promises and its cost per million requests on every machine, the cheapest first."""
    from rich.console import Console

    from tightrope.render.speeds.tables import print_speeds

    found = _select_rows(workload, catalogue, prices_as_of, class_name, variant, machine, offer)
    if not _print_json(found, as_json=as_json):
        print_speeds(found, limit, Console())


def show_speed(
    workload: Workload,
    variant: Variant,
    machine: Machine,
    catalogue: Catalogue = None,
    prices_as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """Show one variant on one machine: every region and offer, and the sources of the figures."""
    from rich.console import Console

    from tightrope.render.speeds.tables import print_one

    found = _select_rows(workload, catalogue, prices_as_of, "*", variant, machine, "*")
    pairs = {(item.variant, item.machine) for item in found}
    if len(pairs) > 1:
        msg = f"{len(pairs)} pairs of a variant and a machine fit, expected one"
        raise InputError(
            msg, resolve=f"name one, such as --variant {min(pairs)[0]} --machine {min(pairs)[1]}; `perf list` shows many"
        )
    if not _print_json(found, as_json=as_json):
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
    """Show the Pareto front of cost, latency and quality for every class."""
    from rich.console import Console

    from tightrope.plan.problem.speed_table import find_pareto_front
    from tightrope.render.files import write_files
    from tightrope.render.speeds.pareto import render_pareto
    from tightrope.render.speeds.tables import print_speeds

    found = _select_rows(workload, catalogue, prices_as_of, class_name, variant, machine, offer)
    front = find_pareto_front(found)
    if out is not None:
        write_files(out, render_pareto(workload.parent.resolve().name, found))
    if not _print_json(front, as_json=as_json):
        print_speeds(front, len(front), Console(), frozenset(front))
        if out is not None:
            typer.echo(f"wrote  {out / 'pareto.html'}")


def _print_json(speeds: "tuple[SpeedRow, ...]", *, as_json: bool) -> bool:
    """Print the rows as JSON if requested; return whether they were printed."""
    if as_json:
        from tightrope.render.plain import plain

        typer.echo(json.dumps([plain(item) for item in speeds]))
    return as_json


def _select_rows(path: Path, catalogue: Path | None, as_of: str, *patterns: str) -> "tuple[SpeedRow, ...]":
    """Return the rows that match the patterns of class, variant, machine and offer; raise ``InputError`` if none does."""
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
            raise build_unknown_name_error(pattern, kind=field.replace("_", " "), known=known)
        speeds = tuple(item for item in speeds if fnmatchcase(getattr(item, field), pattern))
    return speeds
