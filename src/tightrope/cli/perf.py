"""``tightrope perf``: what a machine can do with a model; ``measure`` is here, the tables are in ``speeds.py``."""

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError
from tightrope.cli.compress import compress
from tightrope.cli.endpoint import measure_endpoint
from tightrope.cli.entry import entry_yaml, parse_shape, print_rows
from tightrope.cli.fit import app as fit_app
from tightrope.cli.speeds import compare_speeds, list_speeds, show_speed

if TYPE_CHECKING:
    from rich.console import Console

    from tightrope.base.records import Profile
    from tightrope.perf.measure.sweep import ModelMeasurement

app = typer.Typer(no_args_is_help=True, help="What models do on machines: list, compare, measure.")


app.add_typer(fit_app, name="fit")
app.command("list")(list_speeds)
app.command("show")(show_speed)
app.command("compare")(compare_speeds)
app.command()(compress)
app.command("measure-endpoint")(measure_endpoint)


@app.command()
def measure(
    model: Annotated[Path, typer.Argument(metavar="MODEL.ONNX", help="The model; external data lies beside it.")],
    machine: Annotated[str, typer.Option(metavar="NAME", help="The machine type that this is, such as c7i.large.")],
    variant: Annotated[
        str, typer.Option(metavar="MODEL/VARIANT", help="What it is called; the file's name where left out.")
    ] = "",
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batch sizes.")] = "1,2,4,8,16,32",
    length: Annotated[
        str, typer.Option(metavar="N[:SHARE],...", help="Lengths, and which share of your requests has which: 32:0.7,128:0.3.")
    ] = "32,128",
    threads: Annotated[
        str, typer.Option(metavar="N,...", help="Threads of one engine; 1, 2, 4 … all cores where left out.")
    ] = "",
    within: Annotated[float | None, typer.Option(metavar="MS", min=0.001, help="Longest time that a batch may take.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=AxBxC", help="Shape of an input but for its batch; may be repeated."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=600, help="Time for each point, at first.")] = 2.0,
    precision: Annotated[
        float, typer.Option(min=0.001, max=1000, help="How well each mean must be known: half-width of its 95 % interval.")
    ] = 0.03,
    max_noise: Annotated[float, typer.Option(min=0, max=1024, help="Cores that other programs may take meanwhile.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Of the inputs, which are made up.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for profile.yaml and measured.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sweep and the profile as one JSON object.")] = False,
) -> None:
    """Measure an ONNX model here: threads × batch × length, and the profile that a workload takes."""
    from rich.console import Console

    from tightrope.base.units import today
    from tightrope.clouds.book import load_price_book
    from tightrope.perf.measure.profile_entry import ProfileTarget, profile_of, workload_entry
    from tightrope.perf.measure.sweep import SweepOptions, measure_onnx
    from tightrope.render.files import write_files
    from tightrope.render.plain import as_text, plain

    shares = _shares(length)
    book = load_price_book()
    asked = SweepOptions(
        model=model,
        batches=_numbers("--batch", batch),
        lengths=tuple(sorted({number for number, _ in shares})),
        threads=_numbers("--threads", threads) if threads else (),
        seconds=seconds,
        precision=precision,
        most_noise_cores=max_noise,
        shapes=tuple(parse_shape(text) for text in inputs or ()),
        seed=seed,
    )
    check_cores(machine, book.machine(machine).vcpu)
    with Console(stderr=True).status("load the model") as status:
        measured = measure_onnx(asked, status.update)
    if all(point.length == 0 for point in measured.points):
        shares = ((0, 1.0),)
    limit_s = math.inf if within is None else within / 1e3
    profile = profile_of(measured, ProfileTarget(variant or model.stem, machine, shares, limit_s), today())
    entry = workload_entry(profile)
    if out is not None:
        write_files(out, {Path("measured.json"): as_text(plain(measured)) + "\n", Path("profile.yaml"): entry_yaml(entry)})
    if as_json:
        typer.echo(json.dumps({"measured": plain(measured), "profile": entry}))
    else:
        _print(Console(), measured, profile, entry_yaml(entry), out)


def check_cores(machine: str, vcpu: int) -> None:
    """Raise ``InputError`` where this machine cannot be the one that it is said to be."""
    import os

    cores = os.cpu_count() or 0
    if cores and cores != vcpu:
        msg = f"{machine} has {vcpu} vCPU, and this machine has {cores}"
        raise InputError(msg, resolve="name the machine type that this is: `tightrope prices find --vcpu N`")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """Return whole numbers separated by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        msg = f"{option} is {text!r}, expected whole numbers such as 1,2,4"
        raise InputError(msg, resolve=f"correct {option}") from None


def _shares(text: str) -> tuple[tuple[int, float], ...]:
    """Return length → share of the requests, even where no share is said."""
    parts = [re.fullmatch(r"(\d+)(?::([\d.]+))?", part.strip()) for part in text.split(",")]
    found = [(int(part.group(1)), float(part.group(2) or "nan")) for part in parts if part is not None]
    said = [share for _, share in found if not math.isnan(share)]
    if len(found) < len(parts) or len(said) not in {0, len(found)} or (said and abs(sum(said) - 1.0) > 1e-3):
        msg = f"--length is {text!r}, expected lengths such as 32,128, or all with shares that are 1 together: 32:0.7,128:0.3"
        raise InputError(msg, resolve="correct --length")
    return tuple((number, 1.0 / len(found) if not said else share) for number, share in found)


def _print(console: "Console", measured: "ModelMeasurement", profile: "Profile", entry: str, out: Path | None) -> None:
    """Print the sweep as a table, and the profile as the workload takes it."""
    from tightrope.render.terminal import plain_text

    rows: list[tuple[str, ...]] = []
    for point in measured.points:
        noise = "unknown" if point.noise_cores is None else f"{point.noise_cores:.2f} cores"
        shape = (point.threads, point.engines, point.batch, point.length or "")
        sure = f"{point.half_width_s / point.mean_s:.1%}"
        rows.append((*map(str, shape), f"{1e3 * point.mean_s:.2f}", sure, f"{point.items_per_s:,.0f}", noise))
    heads = {"threads": 0, "engines": 2, "batch": 0, "length": 0, "ms a batch": 0, "±": 0, "items/s": 1, "others took": 3}
    console.print(plain_text(f"{measured.model} on {profile.machine}", "bold"))
    print_rows(console, heads, rows)
    console.print(
        plain_text(
            f"an engine has {measured.memory_mib:,.0f} MiB at most, loads in {measured.load_s:.2f} s, "
            f"answers {measured.cold_start_s:.2f} s after it was asked for"
        )
    )
    console.print(plain_text("the profile, for the variant's `profiles:` in the workload", "dim"))
    typer.echo(entry, nl=False)
    if out is not None:
        typer.echo(f"wrote  {out / 'profile.yaml'}, {out / 'measured.json'}")
