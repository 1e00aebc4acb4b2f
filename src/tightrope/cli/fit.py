"""``tightrope perf fit``: token engines from a performance database, and the roofline against published figures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tightrope.base.errors import build_unknown_name_error

if TYPE_CHECKING:
    from rich.console import Console

    from tightrope.perf.fit.chip_fit import ChipFit
    from tightrope.perf.fit.fit_table import Fits
    from tightrope.perf.fit.silicon_check import Sweep

app = typer.Typer(no_args_is_help=True, help="Fit chip models from aiconfigurator and to published figures.")
NEAR = 0.04
"""Smallest difference from the table's share that counts."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@app.command()
def aiconfigurator(
    out: Annotated[Path | None, typer.Option(help="Folder for fitted_steps.csv, the table that ships.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit engines to NVIDIA's step model, offline, and compare them with measured servers; some minutes. Needs the extra `fit`."""
    from rich.console import Console

    from tightrope.perf.fit.aiconfigurator import package, systems_folder
    from tightrope.perf.fit.fit_table import as_csv, fit_all
    from tightrope.perf.fit.silicon_check import compare_measured, pooled
    from tightrope.perf.fitted_profiles import fitted_rows
    from tightrope.render.files import write_files
    from tightrope.render.plain import plain

    with Console(stderr=True).status("load aiconfigurator-core") as status, package() as compiled:
        fits = fit_all(compiled, status.update)
        measured = compare_measured(systems_folder(), fits.rows)
        points, median, p90 = pooled(systems_folder(), fits.rows)
    same = as_csv(fits.rows) == as_csv(fitted_rows())
    if out is not None:
        write_files(out, {Path("fitted_steps.csv"): as_csv(fits.rows)})
    if as_json:
        pool = {"points": points, "median_error": median, "p90_error": p90}
        found = {"rows": plain(fits.rows), "missing": list(fits.missing), "measured": plain(measured), "pooled": pool}
        typer.echo(json.dumps({**found, "as_shipped": same}))
        return
    _print_fits(Console(), fits, measured)
    typer.echo(f"{points} measured times per output token: {median:.0%} off in the median, nine tenths within {p90:.0%}")
    typer.echo("the same rows as the table that ships" if same else "the rows differ from the table that ships")
    if out is not None:
        typer.echo(f"wrote  {out / 'fitted_steps.csv'}")


def _print_fits(console: "Console", fits: "Fits", measured: "tuple[Sweep, ...]") -> None:
    """Print the fits by chip and precision, the gaps, and the comparison with measured servers."""
    from rich.text import Text

    from tightrope.render.terminal import grid, plain_text

    table = grid("left!", "left!", "right!", "right!", "right!", "right!")
    table.add_row(*(Text(head, "dim") for head in ("chip", "weights", "engines", "median off", "95 % within", "worst")))
    for chip, precision in sorted({(row.accelerator, row.precision) for row in fits.rows}):
        rows = [row for row in fits.rows if (row.accelerator, row.precision) == (chip, precision)]
        errors = sorted(row.median_error for row in rows)[len(rows) // 2], max(row.p95_error for row in rows)
        worst = max(row.worst_error for row in rows)
        cells = (chip, precision, str(len(rows)), *(f"{error:.1%}" for error in (*errors, worst)))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(plain_text("errors on steps that were held out: median engine, then the worst engine", "dim"))
    console.print(table)
    for reason in fits.missing:
        console.print(plain_text(f"no row  {reason}", "yellow"))
    table = grid("left!", "left!", "left!", "right!", "right!", "right!", "left!")
    table.add_row(*(Text(head, "dim") for head in ("measured", "model", "weights", "points", "bias", "90 % within", "")))
    for sweep in measured:
        cells = (sweep.accelerator, sweep.model, sweep.precision, str(sweep.points), f"{sweep.median:+.0%}")
        table.add_row(*(Text(cell) for cell in (*cells, f"{sweep.p90_absolute:.0%}", "" if sweep.counted else "not counted")))
    console.print(table)


@app.command()
def roofline(
    chip: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this accelerator; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for roofline.json: errors, shares, and shares fitted again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every chip's roofline with published figures and fit its efficiency shares again; no file changes."""
    from rich.console import Console

    from tightrope.perf.fit.chip_fit import check_chips
    from tightrope.perf.fit.processor_fit import check_processors
    from tightrope.perf.tables import accelerators
    from tightrope.render.files import write_files
    from tightrope.render.plain import as_text, plain

    known = {row.accelerator for row in accelerators()} | {"cpu"}
    for name in chip or ():
        if name not in known:
            raise build_unknown_name_error(name, kind="accelerator", known=known)
    wanted = frozenset(chip or known)
    with Console(stderr=True).status("fit the chips again"):
        fits = check_chips(wanted)
        processors = check_processors() if "cpu" in wanted else ()
    found = {"chips": plain(fits), "processors": plain(processors)}
    if out is not None:
        write_files(out, {Path("roofline.json"): as_text(found) + "\n"})
    if as_json:
        typer.echo(json.dumps(found))
        return
    _print_chips(Console(), fits)
    for item in processors:
        typer.echo(f"cpu  {item.what}: published {item.published:g} /s, modelled {item.modelled:.3g} /s, {item.error:+.0%}")
    if out is not None:
        typer.echo(f"wrote  {out / 'roofline.json'}")


def _print_chips(console: "Console", fits: "tuple[ChipFit, ...]") -> None:
    """Print a row for every chip, and the figures outside its error band."""
    from rich.text import Text

    from tightrope.render.terminal import grid, plain_text

    table = grid("left!", "left!", "right!", "right!", "right!", "right!", "right!")
    heads = ("chip", "basis", "band", "fitted", "held out", "median off", "worst")
    table.add_row(*(Text(head, "dim") for head in heads))
    for item in fits:
        median, worst = ("none" if error is None else f"{error:.0%}" for error in (item.median_error, item.worst_error))
        cells = (item.basis, f"±{item.error_band:.0%}", str(item.fitted), str(item.held_out), median, worst)
        table.add_row(*(Text(cell) for cell in (f"{item.accelerator} {item.board_memory_gib:g} GiB", *cells)))
    console.print(table)
    for item in fits:
        if item.outside:
            console.print(
                plain_text(f"{item.accelerator}: {item.outside} published figure(s) listed as outside the band", "yellow")
            )
        for text in item.beyond_band:
            console.print(plain_text(f"{item.accelerator}: outside its band: {text}", "red"))
    console.print(plain_text("shares by the fit alone (few figures leave some of them undetermined):", "dim"))
    for item in fits:
        again = ", ".join(
            f"{name.removesuffix('_efficiency')} {item.table[name]:g} → {value:g}"
            for name, value in item.refitted.items()
            if abs(value - item.table[name]) > NEAR * value
        )
        if again:
            console.print(plain_text(f"{item.accelerator}: {again}"))
