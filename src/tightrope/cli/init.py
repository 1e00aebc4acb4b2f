"""``tightrope init``: a first workload.yaml."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tightrope.base.errors import InputError


def init(
    context: typer.Context,
    example: Annotated[str, typer.Option(help="Example to copy: chatgenius, helpdesk, newsroom or vision.")] = "",
    trace: Annotated[Path | None, typer.Option(help="Trace to start from: CSV, JSON lines or Parquet.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for workload.yaml; default: this one, or a new one named like the example.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the workload; default: the trace's.")] = "",
    rate: Annotated[float | None, typer.Option(min=0, help="Mean requests per second, without a trace.")] = None,
    peak: Annotated[float | None, typer.Option(min=0, help="Requests per second at the daily peak.")] = None,
    peak_hour: Annotated[float, typer.Option(min=0, max=23.99, help="Hour of the day of the peak.")] = 20.0,
    input_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a prompt, if the trace has none.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of an answer, if the trace has none.")] = None,
    model: Annotated[str, typer.Option(help="Model to start with, such as llama-3.1-8b or resnet50.")] = "",
    slo: Annotated[list[str] | None, typer.Option(help="Promise such as 'ttft p95 <= 3 s'; may be repeated.")] = None,
    today: Annotated[str, typer.Option(help="Today's fleet, such as '33 x g4dn.xlarge'.")] = "",
    region: Annotated[list[str] | None, typer.Option(help="AWS region; may be repeated.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="role=column of the trace, such as time=started_at; may be repeated.")
    ] = None,
    time_unit: Annotated[Literal["", "s", "ms", "us", "ns"], typer.Option(help="Unit of a numeric time column.")] = "",
    gaps: Annotated[Literal["error", "zero", "interpolate"], typer.Option(help="Meaning of a missing bin of rates.")] = "error",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing workload.yaml.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a first workload.yaml from a trace, a few answers or an example, and show the traffic."""
    if example:
        write_example(context, example, out, as_json=as_json)
        return
    from rich.console import Console

    from tightrope.clouds.book import load_price_book
    from tightrope.demand.first_workload import InitAnswers, begin, describe, print_start

    traffic: dict[str, Any] = {
        "rate_per_s": rate,
        "peak_per_s": peak,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
    traffic |= {"model": model, "today": today}
    if trace is None and rate is None:
        traffic |= ask_for_traffic()
    asked = InitAnswers(
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
    target, demand = begin(asked, out or Path(), load_price_book(), force=force)
    if as_json:
        typer.echo(json.dumps({"workload": str(target), "source": demand.source} | describe(demand)))
    else:
        print_start(target, demand, Console())


def write_example(context: typer.Context, example: str, out: Path | None, *, as_json: bool) -> None:
    """Copy an example and print its path; refuse options that an example ignores."""
    from tightrope.cli.example_files import copy_example

    for name in context.params.keys() - {"example", "out", "as_json"}:
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            what = f"--example cannot be combined with --{name.replace('_', '-')}"
            raise InputError(what, resolve="leave one of them out")
    target = copy_example(example, out)
    if as_json:
        typer.echo(json.dumps({"workload": str(target)}))
    else:
        typer.echo(f"wrote {target}\nnext  tightrope plan {target} --out out")


def ask_for_traffic() -> dict[str, Any]:
    """Ask for the traffic of a user without a trace; return the answers by the names of ``InitAnswers``."""
    rate = typer.prompt("Requests per second, on the mean", type=float)
    answers = {
        "rate_per_s": rate,
        "peak_per_s": typer.prompt("Requests per second, at the daily peak", type=float, default=1.5 * rate),
    }
    answers["model"] = typer.prompt(
        "Model to start with (llama-3.1-8b, mistral-7b, qwen2.5-7b, resnet50, …)", default="llama-3.1-8b"
    )
    if typer.confirm("Does the model read and write tokens?", default=True):
        answers["input_tokens"] = typer.prompt("Tokens of a prompt", type=int, default=1000)
        answers["output_tokens"] = typer.prompt("Tokens of an answer", type=int, default=200)
    answers["today"] = typer.prompt("Today's fleet (such as 33 x g4dn.xlarge; empty for none)", default="", show_default=False)
    return answers
