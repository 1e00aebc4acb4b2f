"""The command line: one verb per stage. Heavy modules load inside the verb that needs them, so ``--help`` stays fast.

Exit codes: 0 done, 2 bad input, 3 infeasible, 4 not proven, or a promise missed in a replay.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tightrope.base.errors import NotProvenError, TightropeError

if TYPE_CHECKING:
    from tightrope.base.replayed import Replayed

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
DEBUG = {"on": False}


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Find the cheapest way to serve a model's real traffic without breaking its latency promises."""
    DEBUG["on"] = debug


@app.command()
def init(
    trace: Annotated[Path | None, typer.Option(help="Trace to begin from: CSV, JSON lines or Parquet.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for workload.yaml.")] = Path(),
    name: Annotated[str, typer.Option(help="Name of the workload; the trace's where left out.")] = "",
    rate: Annotated[float | None, typer.Option(min=0, help="Mean requests per second, where there is no trace.")] = None,
    peak: Annotated[float | None, typer.Option(min=0, help="Requests per second at the daily peak.")] = None,
    peak_hour: Annotated[float, typer.Option(min=0, max=23.99, help="Hour of the day of the peak.")] = 20.0,
    input_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a prompt, where the trace has none.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of an answer, where the trace has none.")] = None,
    model: Annotated[str, typer.Option(help="Model to begin with, such as llama-3.1-8b or resnet50.")] = "",
    slo: Annotated[list[str] | None, typer.Option(help="Promise such as 'ttft p95 <= 3 s'; may be repeated.")] = None,
    today: Annotated[str, typer.Option(help="What runs now, such as '33 x g4dn.xlarge'.")] = "",
    region: Annotated[list[str] | None, typer.Option(help="AWS region; may be repeated.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="role=column of the trace, such as time=started_at; may be repeated.")
    ] = None,
    time_unit: Annotated[Literal["", "s", "ms", "us", "ns"], typer.Option(help="Unit of a numeric time column.")] = "",
    gaps: Annotated[Literal["error", "zero", "interpolate"], typer.Option(help="What a missing bin of rates means.")] = "error",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing workload.yaml.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a first workload.yaml from a trace, or from a few answers, and show the traffic."""
    from rich.console import Console  # noqa: PLC0415 - loads only where it is needed

    from tightrope.clouds.book import load_price_book  # noqa: PLC0415
    from tightrope.demand.start import Asked, begin, describe, print_start  # noqa: PLC0415

    traffic: dict[str, Any] = {
        "rate_per_s": rate,
        "peak_per_s": peak,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    traffic |= {"model": model, "today": today}
    if trace is None and rate is None:
        traffic |= ask_for_traffic()
    asked = Asked(
        trace=trace,
        name=name or (trace.name.split(".")[0] if trace else "my-service"),
        peak_hour=peak_hour,
        slo=tuple(slo or ()),
        regions=tuple(region or ("us-east-1",)),
        columns=tuple(column or ()),
        time_unit=time_unit,
        gaps=gaps,
        **traffic,
    )
    target, demand = begin(asked, out, load_price_book(), force=force)
    if as_json:
        typer.echo(json.dumps({"workload": str(target), "source": demand.source} | describe(demand)))
    else:
        print_start(target, demand, Console())


def ask_for_traffic() -> dict[str, Any]:
    """Return the answers of someone who has no trace, by the names of ``Asked``."""
    rate = typer.prompt("Requests per second, on the mean", type=float)
    answers = {
        "rate_per_s": rate,
        "peak_per_s": typer.prompt("Requests per second, at the daily peak", type=float, default=1.5 * rate),
    }
    answers["model"] = typer.prompt(
        "Model to begin with (llama-3.1-8b, mistral-7b, qwen2.5-7b, resnet50, …)", default="llama-3.1-8b"
    )
    if typer.confirm("Does it read and write tokens?", default=True):
        answers["input_tokens"] = typer.prompt("Tokens of a prompt", type=int, default=1000)
        answers["output_tokens"] = typer.prompt("Tokens of an answer", type=int, default=200)
    answers["today"] = typer.prompt(
        "What runs now (such as 33 x g4dn.xlarge; empty where nothing does)", default="", show_default=False
    )
    return answers


@app.command()
def plan(
    workload: Annotated[Path, typer.Argument(help="The workload.yaml to plan for.")],
    out: Annotated[Path | None, typer.Option(help="Folder for plan.json and report.html; out/NAME where left out.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON instead of the summary.")] = False,
) -> None:
    """Find the cheapest way to serve a workload, prove it by replay, and write plan.json and report.html."""
    import time  # noqa: PLC0415 - loads only where it is needed
    from datetime import UTC, datetime  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from tightrope.clouds.book import load_price_book  # noqa: PLC0415
    from tightrope.demand.workload import load_workload  # noqa: PLC0415
    from tightrope.plan.make import make_plan  # noqa: PLC0415
    from tightrope.render.files import write_files  # noqa: PLC0415
    from tightrope.render.plan_json import RENDERER as PLAN_JSON  # noqa: PLC0415
    from tightrope.render.plan_json.dump import plan_as_dict  # noqa: PLC0415
    from tightrope.render.report import RENDERER as REPORT  # noqa: PLC0415
    from tightrope.render.summary import print_summary  # noqa: PLC0415

    began_s, errors = time.monotonic(), Console(stderr=True)
    with errors.status("read the workload") as status:
        book = load_price_book(directory=catalogue)
        asked = load_workload(workload, book)
        made = make_plan(asked, book, datetime.now(tz=UTC).date(), status.update)
        status.update("write the report")
        target = out or Path("out") / asked.name
        write_files(target, PLAN_JSON.render(made) | REPORT.render(made))
    if as_json:
        typer.echo(json.dumps(plan_as_dict(made)))
    else:
        print_summary(made, Console(), time.monotonic() - began_s, target / "report.html")
    if made.status != "proven":
        msg = f"the plan is not proven: {made.warnings[0] if made.warnings else 'a promise was missed in the replay'}"
        raise NotProvenError(msg, resolve="loosen the promise, allow larger machines or more pools, or add growth to size for")


@app.command()
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
        typer.Option(metavar="N,...", help="Seeds of spot interruptions and of a surge, such as 1,2,3; 1 where left out."),
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
    trace_minutes: Annotated[float, typer.Option(min=0.01, max=1440, help="How many minutes of them.")] = 2.0,
    column: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=COLUMN", help="Column of a role, such as time=started_at; may be repeated.")
    ] = None,
    time_unit: Annotated[Literal["", "s", "ms", "us", "ns"], typer.Option(help="Unit of a numeric time column.")] = "",
    week_hour: Annotated[
        float, typer.Option(min=0, max=167.999, help="Hour of the plan's week at 00:00 of the trace's first day.")
    ] = 0.0,
    catalogue: Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Replay recorded traffic on a plan's fleet: whether the promises are kept, what goes wrong, and what it costs."""
    from rich.console import Console  # noqa: PLC0415 - loads only where it is needed

    from tightrope.clouds.book import load_price_book  # noqa: PLC0415
    from tightrope.plan.ask import Question, answer  # noqa: PLC0415
    from tightrope.render.plan_json.load import load_plan  # noqa: PLC0415
    from tightrope.render.progress import counting  # noqa: PLC0415
    from tightrope.render.replayed.files import replayed_as_dict, write_replayed  # noqa: PLC0415
    from tightrope.render.replayed.summary import print_replayed  # noqa: PLC0415

    length_s = 60.0 * trace_minutes
    question = Question(
        traces=tuple(trace),
        seeds=tuple(seed or ()),
        scenarios=tuple(scenario or ()),
        columns=tuple(column or ()),
        time_unit=time_unit,
        week_hour=week_hour,
        log_s=length_s if chrome_trace else 0.0,
    )
    plan, book = load_plan(plan_file), load_price_book(directory=catalogue)
    with counting(Console(stderr=True)) as counter:
        tried = answer(question, plan, book, counter)
    per_s = counter.per_s
    files = write_replayed(tried, out, chrome_trace, length_s)
    if as_json:
        typer.echo(json.dumps(replayed_as_dict(tried.report)))
    else:
        print_replayed(tried.report, Console(), per_s, files)
    check_kept(tried.report)


def check_kept(report: "Replayed") -> None:
    """Raise ``NotProvenError`` where the last run does not show every promise kept, or had none to show."""
    from tightrope.render.replayed.said import missed, missed_ones, verdict  # noqa: PLC0415 - loads only where it is needed

    last = report.last
    if not last.evidence:
        msg = f"{verdict(last)}: no request of the traffic was promised anything"
        raise NotProvenError(msg, resolve="replay more traffic, or requests of a class that has a promise")
    if not last.kept:
        short = "replay more traffic, which narrows the interval; or plan for more"
        resolve = "plan for more: add growth or surge to the workload, or plan on this trace" if missed_ones(last) else short
        msg = f"{verdict(last)}: {missed(last)}"
        raise NotProvenError(msg, resolve=resolve)


def main() -> None:
    """Run the command line; an error that a user can mend is one message and an exit code, never a traceback."""
    try:
        app()
    except TightropeError as error:
        if DEBUG["on"]:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if DEBUG["on"]:
            raise
        what = f"{type(error).__name__}: {error}"
        typer.echo(f"error: this is a defect of Tightrope: {what}\nResolve: report it with what --debug shows", err=True)
        sys.exit(1)
