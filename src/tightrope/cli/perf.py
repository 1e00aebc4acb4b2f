"""``tightrope perf``: performance of models on machines; ``measure`` is here, the tables are in ``speeds.py``."""

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import InputError
from tightrope.cli.compress import compress
from tightrope.cli.endpoint import measure_endpoint
from tightrope.cli.entry import parse_shape, print_rows, render_entry
from tightrope.cli.fit import app as fit_app
from tightrope.cli.speeds import compare_speeds, list_speeds, show_speed

if TYPE_CHECKING:
    from rich.console import Console

    from tightrope.base.records import Profile
    from tightrope.perf.measure.sweep import ModelMeasurement

app = typer.Typer(no_args_is_help=True, help="Performance of models on machines: list, compare, measure.")


app.add_typer(fit_app, name="fit")
app.command("list")(list_speeds)
app.command("show")(show_speed)
app.command("compare")(compare_speeds)
app.command()(compress)
app.command("measure-endpoint")(measure_endpoint)


@app.command()
def measure(
    model: Annotated[Path, typer.Argument(metavar="MODEL.ONNX", help="The model file; external data beside it.")],
    machine: Annotated[str, typer.Option(metavar="NAME", help="Machine type of this machine, such as c7i.large.")],
    variant: Annotated[str, typer.Option(metavar="MODEL/VARIANT", help="Name of the model; default: the file's name.")] = "",
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batch sizes.")] = "1,2,4,8,16,32",
    length: Annotated[
        str, typer.Option(metavar="N[:SHARE],...", help="Lengths with their share of your requests: 32:0.7,128:0.3.")
    ] = "32,128",
    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads of one engine; default: 1, 2, 4 … all cores.")] = "",
    within: Annotated[float | None, typer.Option(metavar="MS", min=0.001, help="Longest time of a batch.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=AxBxC", help="Shape of an input without its batch; may be repeated."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.05, max=600, help="Initial time for each point.")] = 2.0,
    precision: Annotated[
        float, typer.Option(min=0.001, max=1000, help="Precision of each mean: half-width of its 95 % interval.")
    ] = 0.03,
    max_noise: Annotated[
        float, typer.Option(min=0, max=1024, help="Cores that other programs may use during the measurement.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic inputs.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for profile.yaml and measured.json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sweep and the profile as one JSON object.")] = False,
) -> None:
    """Measure an ONNX model on this machine (threads × batch × length), and write a profile for the workload."""
    from rich.console import Console

    from tightrope.base.units import today
    from tightrope.clouds.book import load_price_book
    from tightrope.perf.measure.profile_entry import ProfileTarget, profile_of, workload_entry
    from tightrope.perf.measure.sweep import SweepOptions, measure_onnx
    from tightrope.render.files import write_files
    from tightrope.render.plain import as_text, plain

    shares = _parse_shares(length)
    book = load_price_book()
    asked = SweepOptions(
        model=model,
        batches=_parse_numbers("--batch", batch),
        lengths=tuple(sorted({number for number, _ in shares})),
        threads=_parse_numbers("--threads", threads) if threads else (),
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
        write_files(out, {Path("measured.json"): as_text(plain(measured)) + "\n", Path("profile.yaml"): render_entry(entry)})
    if as_json:
        typer.echo(json.dumps({"measured": plain(measured), "profile": entry}))
    else:
        _print_sweep(Console(), measured, profile, render_entry(entry), out)


def check_cores(machine: str, vcpu: int) -> None:
    """Raise ``InputError`` if this machine has too few cores for the machine that the option names."""
    import os

    cores = os.cpu_count() or 0
    if cores and cores != vcpu:
        msg = f"{machine} has {vcpu} vCPU, and this machine has {cores}"
        raise InputError(msg, resolve="name this machine's type: `tightrope prices find --vcpu N`")


def _parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Return integers separated by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        msg = f"{option} is {text!r}, expected integers such as 1,2,4"
        raise InputError(msg, resolve=f"correct {option}") from None


def _parse_shares(text: str) -> tuple[tuple[int, float], ...]:
    """Return length → share of the requests; equal shares if none is given."""
    parts = [re.fullmatch(r"(\d+)(?::([\d.]+))?", part.strip()) for part in text.split(",")]
    found = [(int(part.group(1)), float(part.group(2) or "nan")) for part in parts if part is not None]
    said = [share for _, share in found if not math.isnan(share)]
    if len(found) < len(parts) or len(said) not in {0, len(found)} or (said and abs(sum(said) - 1.0) > 1e-3):
        msg = f"--length is {text!r}, expected lengths such as 32,128, or all with shares that sum to 1: 32:0.7,128:0.3"
        raise InputError(msg, resolve="correct --length")
    return tuple((number, 1.0 / len(found) if not said else share) for number, share in found)


def _print_sweep(console: "Console", measured: "ModelMeasurement", profile: "Profile", entry: str, out: Path | None) -> None:
    """Print the sweep as a table, and the profile as workload YAML."""
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
            f"answers {measured.cold_start_s:.2f} s after its request"
        )
    )
    console.print(plain_text("the profile, for the variant's `profiles:` in the workload", "dim"))
    typer.echo(entry, nl=False)
    if out is not None:
        typer.echo(f"wrote  {out / 'profile.yaml'}, {out / 'measured.json'}")
