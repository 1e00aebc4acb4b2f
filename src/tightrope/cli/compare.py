"""``tightrope compare``: the plan beside common alternatives, on the same held-out traffic."""

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    workload: Annotated[Path, typer.Argument(help="The workload.yaml to plan for.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this plan: peak, hpa, single-type, buckets, buckets-at-peak, spot-fallback, look-back or tightrope. May be "
            "repeated.",
        ),
    ] = None,
    hpa_target: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.05, max=1.0, help="Target utilisation of the plans sized by an autoscaler alone."),
    ] = 0.7,
    catalogue: Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")] = None,
    prices_as_of: Annotated[
        str, typer.Option(metavar="DATE", help="Plan as on that day: with the prices seen by then, such as 2026-10-31.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Compare the plan with common alternatives. All are sized on the same traffic and replayed on the same held-out days."""
    from rich.console import Console

    from tightrope.cli.dates import parse_day
    from tightrope.clouds.book import load_price_book
    from tightrope.compare.comparison import compare_plans
    from tightrope.demand.workload import load_workload
    from tightrope.render.comparison import comparison_as_dict, print_comparison

    day = parse_day(prices_as_of, "--prices-as-of")
    with Console(stderr=True).status("read the workload") as status:
        book = load_price_book(day, catalogue)
        asked = load_workload(workload, book)
        found = compare_plans(asked, book, tuple(only or ()), hpa_target, status.update)
    if as_json:
        typer.echo(json.dumps(comparison_as_dict(found)))
    else:
        print_comparison(found, Console())
