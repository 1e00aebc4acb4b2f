"""``tightrope replay``: recorded traffic on a plan's fleet."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tightrope.base.errors import NotProvenError

if TYPE_CHECKING:
    from tightrope.base.replay_report import ReplayReport


def replay(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.JSON", help="The plan.json that `tightrope plan` wrote.")],
    trace: Annotated[
        list[str],
        typer.Option(
            metavar="[CLASS=]FILE",
            help="Requests to replay, one a row: CSV, JSON lines or Parquet. CLASS= where the plan has several classes and the file "
            "no class column. May be repeated.",
        ),
    ],
    seed: Annotated[
        list[str] | None,
        typer.Option(metavar="N,...", help="Seeds of spot interruptions and of a surge, such as 1,2,3; default: 1."),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Replay it a second time with zone-loss, spot-zone-loss, spot-storm or metrics-loss, with surge=2x, with no-cache. "
            "May be repeated.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for replay.json and replay.html.")] = None,
    chrome_trace: Annotated[
        Path | None, typer.Option(help="File for the engines' first minutes, for chrome://tracing or Perfetto.")
    ] = None,
    trace_minutes: Annotated[float, typer.Option(min=0.01, max=1440, help="Minutes in the engine trace.")] = 2.0,
    column: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=COLUMN", help="Column of a role, such as time=started_at; may be repeated.")
    ] = None,
    time_unit: Annotated[Literal["", "s", "ms", "us", "ns"], typer.Option(help="Unit of a numeric time column.")] = "",
    week_hour: Annotated[
        float, typer.Option(min=0, max=167.999, help="Hour of the plan's week at 00:00 of the trace's first day.")
    ] = 0.0,
    catalogue: Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")] = None,
    prices_as_of: Annotated[
        str, typer.Option(metavar="DATE", help="Bill with the prices seen by that day; default: the plan's day.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Replay recorded traffic on a plan's fleet: promises kept, failures, and cost."""
    from rich.console import Console

    from tightrope.cli.dates import parse_day
    from tightrope.clouds.book import load_price_book
    from tightrope.render.plan_json.load import load_plan
    from tightrope.render.progress import counting
    from tightrope.render.replay_report.files import replayed_as_dict, write_replayed
    from tightrope.render.replay_report.summary import print_replayed
    from tightrope.trial.arguments import TrialArguments, answer

    length_s = 60.0 * trace_minutes
    question = TrialArguments(
        traces=tuple(trace),
        seeds=tuple(seed or ()),
        scenarios=tuple(scenario or ()),
        columns=tuple(column or ()),
        time_unit=time_unit,
        week_hour=week_hour,
        log_s=length_s if chrome_trace else 0.0,
    )
    day = parse_day(prices_as_of, "--prices-as-of")
    plan = load_plan(plan_file)
    book = load_price_book(day or parse_day(plan.prices_as_of, f"prices_as_of of {plan_file}"), catalogue)
    with counting(Console(stderr=True)) as counter:
        tried = answer(question, plan, book, counter)
    per_s = counter.per_s
    files = write_replayed(tried, out, chrome_trace, length_s)
    if as_json:
        typer.echo(json.dumps(replayed_as_dict(tried.report)))
    else:
        print_replayed(tried.report, Console(), per_s, files)
    check_kept(tried.report)


def check_kept(report: "ReplayReport") -> None:
    """Raise ``NotProvenError`` if the last run missed a promise or had none to check."""
    from tightrope.render.replay_report.replay_formats import missed_promises, unproven_promises, verdict

    last = report.last
    if not last.evidence:
        msg = f"{verdict(last)}: no request of the traffic has a promise"
        raise NotProvenError(msg, resolve="replay more traffic, or requests of a class that has a promise")
    if not last.kept:
        short = "replay more traffic, which narrows the interval; or plan for more"
        resolve = "plan for more: add growth or surge to the workload, or plan on this trace" if missed_promises(last) else short
        msg = f"{verdict(last)}: {unproven_promises(last)}"
        raise NotProvenError(msg, resolve=resolve)
