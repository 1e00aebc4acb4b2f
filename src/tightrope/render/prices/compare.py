"""``tightrope prices compare`` on the terminal, and the arithmetic of accelerators that it compares by."""

from rich.console import Console
from rich.text import Text

from tightrope.base.catalogue import MachineType
from tightrope.clouds.search.compare import Kind, Side
from tightrope.perf.tables import find_accelerator
from tightrope.render import words
from tightrope.render.prices import figures
from tightrope.render.table import Column, print_notes, print_table, print_title
from tightrope.render.terminal import say


def dense_tflops(machine: MachineType) -> float | None:
    """Return the dense 16-bit TFLOPS of one of a machine's accelerators (datasheet, see ``perf/data``); None where unknown."""
    chip = find_accelerator(machine)
    return chip.fp16_tflops if chip else None


def print_sides(text: str, kind: Kind, sides: tuple[Side, ...], console: Console) -> None:
    """Print one line a seller and accelerator (or machine family), the cheapest first."""
    print_title(console, text, f"{_said(kind)} · {words.count(sides, 'machine')}")
    left_out = print_table(console, _columns(sides, console.width))
    gpu = bool(sides[0].machine.accelerators)
    derived = any(row.basis == "derived" for side in sides for row in (side.row, side.spot, *side.best.values()) if row)
    notes = [
        "US dollars an hour in the cheapest region of each"
        + (" (+N: as cheap in N more)" if console.width >= figures.WIDE and any(s.regions > 1 for s in sides) else ""),
        f"$/GiB: an hour of one GiB of {'accelerator memory' if gpu else 'memory'}"
        + ("; $/TFLOP: of one dense 16-bit TFLOPS (datasheet)" if gpu else ""),
        "spot, 1 y, 3 y: off that price, with the best commitment" + ("; * derived from other figures" if derived else ""),
    ]
    print_notes(console, notes, left_out)


def _said(kind: Kind) -> str:
    """Return how a kind was understood, such as ``4 × accelerator of about 24 GiB · at least 8 vCPU``."""
    of = ", ".join(sorted(kind.accelerators or ())) or "accelerator"
    size = f" of about {kind.gpu_memory_gib:g} GiB" if kind.gpu_memory_gib is not None else ""
    times = f"{kind.count} × " if kind.count else ""
    least = "at least " if kind.has_gpu else ""
    said = [f"{times}{of}{size}" if kind.has_gpu else "no accelerator"]
    said += [f"{least}{kind.vcpu:g} vCPU"] if kind.vcpu is not None else []
    said += [f"{least or 'about '}{kind.memory_gib:g} GiB"] if kind.memory_gib is not None else []
    return " · ".join(said + ([kind.arch] if kind.arch else []))


def _columns(sides: tuple[Side, ...], width: int) -> list[Column]:
    """Return the table."""
    machines = [side.machine for side in sides]
    terms = sorted({years for side in sides for years in side.best})
    return [
        Column("machine", [_name(side, width) for side in sides]),
        Column("cloud", [say(machine.cloud) for machine in machines], 7),
        *([Column("region", [_region(side) for side in sides], 4)] if width >= figures.WIDE else []),
        Column("gpu", [figures.gpu(machine) for machine in machines], 1),
        Column("each GiB", [figures.each(machine) for machine in machines], 6, right=True),
        Column("vCPU", [figures.number(machine.vcpu) for machine in machines], 7, right=True),
        Column("GiB", [figures.number(machine.memory_gib) for machine in machines], 7, right=True),
        Column("$/h", [figures.price(side.row) for side in sides], right=True),
        Column("$/GiB", [Text(f"{side.usd_per_gib_hour:.4f}") for side in sides], 2, right=True),
        Column("$/TFLOP", [_per_tflops(side) for side in sides], 3, right=True),
        Column("spot", [figures.off(side.off(side.spot)) for side in sides], right=True),
        Column("interr.", [figures.band(side.spot) for side in sides], 5, right=True),
        *(Column(_term(years), [figures.off(side.off(side.best.get(years))) for side in sides], right=True) for years in terms),
        *(Column(f"with {_term(years)}", [_offer(side, years) for side in sides], 8) for years in terms),
    ]


def _term(years: int) -> str:
    """Return a term, such as ``3 y``."""
    return f"{years} y"


def _name(side: Side, width: int) -> Text:
    """Return a machine's name, the region below it where the console is narrow."""
    name = figures.name(side.machine, width)
    return name if width >= figures.WIDE else Text("\n").join([name, say(side.row.region, "dim")])


def _region(side: Side) -> Text:
    """Return the cheapest region, and how many others are as cheap."""
    return say(side.row.region + (f" +{side.regions - 1}" if side.regions > 1 else ""))


def _per_tflops(side: Side) -> Text:
    """Return the price of a TFLOPS; a dash where the chip's rate is not known, nothing where there is no accelerator."""
    if not side.machine.accelerators:
        return Text("")
    known = side.usd_per_tflops_hour
    return Text(figures.UNKNOWN, "dim") if known is None else Text(f"{known:.4f}")


def _offer(side: Side, years: int) -> Text:
    """Return the name of the best commitment of a term."""
    return say(side.best[years].offer if years in side.best else "", "dim")
