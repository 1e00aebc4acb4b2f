"""``tightrope plan``: the cheapest way to serve a workload, proven by replay."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tightrope.base.errors import NotProvenError


def plan(
    workload: Annotated[Path, typer.Argument(help="The workload.yaml to plan for.")],
    out: Annotated[Path | None, typer.Option(help="Folder for plan.json and report.html; default: out/NAME.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")] = None,
    prices_as_of: Annotated[
        str, typer.Option(metavar="DATE", help="Plan as on that day: with the prices seen by then, such as 2026-10-31.")
    ] = "",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also find and print the next-best plans and the break-evens; takes longer."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON instead of the summary.")] = False,
) -> None:
    """Find the cheapest way to serve a workload, prove it by replay, and write plan.json and report.html."""
    import time

    from rich.console import Console

    from tightrope.cli.dates import parse_day, today
    from tightrope.clouds.book import load_price_book
    from tightrope.demand.workload import load_workload
    from tightrope.plan.make import make_plan
    from tightrope.render.explanation import print_explanation
    from tightrope.render.files import write_files
    from tightrope.render.plan_json import RENDERER as PLAN_JSON
    from tightrope.render.plan_json.dump import plan_as_dict
    from tightrope.render.report import RENDERER as REPORT
    from tightrope.render.summary import print_summary

    day = parse_day(prices_as_of, "--prices-as-of")
    began_s, errors = time.monotonic(), Console(stderr=True)
    with errors.status("read the workload") as status:
        book = load_price_book(day, catalogue)
        asked = load_workload(workload, book)
        made = make_plan(asked, book, day or today(), status.update, full=explain)
        status.update("write the report")
        target = out or Path("out") / asked.name
        write_files(target, PLAN_JSON.render(made) | REPORT.render(made))
    if as_json:
        typer.echo(json.dumps(plan_as_dict(made)))
    else:
        print_summary(made, Console(), time.monotonic() - began_s, target / "report.html")
        if explain:
            print_explanation(made, Console())
    if made.status != "proven":
        msg = f"the plan is not proven: {made.warnings[0] if made.warnings else 'a promise was missed in the replay'}"
        raise NotProvenError(msg, resolve="loosen the promise, allow larger machines or more pools, or add growth to size for")
