"""``tightrope prices compare`` on the terminal, and the arithmetic of accelerators that it compares by."""

from rich.console import Console
from rich.text import Text

from tightrope.base.catalogue import MachineType
from tightrope.clouds.search.machine_comparison import ComparedMachine, MachineKind
from tightrope.perf.tables import find_accelerator
from tightrope.render import formats
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text


def dense_tflops(machine: MachineType) -> float | None:
    """Return the dense 16-bit TFLOPS of one of a machine's accelerators (datasheet, see ``perf/data``); None where unknown."""
    chip = find_accelerator(machine)
    return chip.fp16_tflops if chip else None


def print_sides(text: str, kind: MachineKind, sides: tuple[ComparedMachine, ...], console: Console) -> None:
    """Print one line a seller and accelerator (or machine family), the cheapest first."""
    print_title(console, text, f"{_said(kind)} · {formats.count(sides, 'machine')}")
    left_out = print_table(console, _columns(sides, console.width))
    gpu = bool(sides[0].machine.accelerators)
    derived = any(row.basis == "derived" for side in sides for row in (side.row, side.spot, *side.best.values()) if row)
    notes = [
        "US dollars an hour in the cheapest region of each"
        + (" (+N: as cheap in N more)" if console.width >= price_formats.WIDE and any(s.regions > 1 for s in sides) else ""),
        f"$/GiB: an hour of one GiB of {'accelerator memory' if gpu else 'memory'}"
        + ("; $/TFLOP: of one dense 16-bit TFLOPS (datasheet)" if gpu else ""),
        "spot, 1 y, 3 y: off that price, with the best commitment" + ("; * derived from other figures" if derived else ""),
    ]
    print_notes(console, notes, left_out)


def _said(kind: MachineKind) -> str:
    """Return how a kind was understood, such as ``4 × accelerator of about 24 GiB · at least 8 vCPU``."""
    of = ", ".join(sorted(kind.accelerators or ())) or "accelerator"
    size = f" of about {kind.gpu_memory_gib:g} GiB" if kind.gpu_memory_gib is not None else ""
    times = f"{kind.count} × " if kind.count else ""
    least = "at least " if kind.has_gpu else ""
    said = [f"{times}{of}{size}" if kind.has_gpu else "no accelerator"]
    said += [f"{least}{kind.vcpu:g} vCPU"] if kind.vcpu is not None else []
    said += [f"{least or 'about '}{kind.memory_gib:g} GiB"] if kind.memory_gib is not None else []
    return " · ".join(said + ([kind.arch] if kind.arch else []))


def _columns(sides: tuple[ComparedMachine, ...], width: int) -> list[TableColumn]:
    """Return the table."""
    machines = [side.machine for side in sides]
    terms = sorted({years for side in sides for years in side.best})
    return [
        TableColumn("machine", [_name(side, width) for side in sides]),
        TableColumn("cloud", [plain_text(machine.cloud) for machine in machines], 7),
        *([TableColumn("region", [_region(side) for side in sides], 4)] if width >= price_formats.WIDE else []),
        TableColumn("gpu", [price_formats.gpu(machine) for machine in machines], 1),
        TableColumn("each GiB", [price_formats.each(machine) for machine in machines], 6, right=True),
        TableColumn("vCPU", [price_formats.number(machine.vcpu) for machine in machines], 7, right=True),
        TableColumn("GiB", [price_formats.number(machine.memory_gib) for machine in machines], 7, right=True),
        TableColumn("$/h", [price_formats.price(side.row) for side in sides], right=True),
        TableColumn("$/GiB", [Text(f"{side.usd_per_gib_hour:.4f}") for side in sides], 2, right=True),
        TableColumn("$/TFLOP", [_per_tflops(side) for side in sides], 3, right=True),
        TableColumn("spot", [price_formats.off(side.off(side.spot)) for side in sides], right=True),
        TableColumn("interr.", [price_formats.band(side.spot) for side in sides], 5, right=True),
        *(
            TableColumn(_term(years), [price_formats.off(side.off(side.best.get(years))) for side in sides], right=True)
            for years in terms
        ),
        *(TableColumn(f"with {_term(years)}", [_offer(side, years) for side in sides], 8) for years in terms),
    ]


def _term(years: int) -> str:
    """Return a term, such as ``3 y``."""
    return f"{years} y"


def _name(side: ComparedMachine, width: int) -> Text:
    """Return a machine's name, the region below it where the console is narrow."""
    name = price_formats.name(side.machine, width)
    return name if width >= price_formats.WIDE else Text("\n").join([name, plain_text(side.row.region, "dim")])


def _region(side: ComparedMachine) -> Text:
    """Return the cheapest region, and how many others are as cheap."""
    return plain_text(side.row.region + (f" +{side.regions - 1}" if side.regions > 1 else ""))


def _per_tflops(side: ComparedMachine) -> Text:
    """Return the price of a TFLOPS; a dash where the chip's rate is not known, nothing where there is no accelerator."""
    if not side.machine.accelerators:
        return Text("")
    known = side.usd_per_tflops_hour
    return Text(price_formats.UNKNOWN, "dim") if known is None else Text(f"{known:.4f}")


def _offer(side: ComparedMachine, years: int) -> Text:
    """Return the name of the best commitment of a term."""
    return plain_text(side.best[years].offer if years in side.best else "", "dim")
