"""Machines of one kind side by side over the sellers: the answer to ``tightrope prices compare``, and the language it is asked in.

A kind is said in words, in any order::

    24 GiB GPU         an accelerator with about this memory (±15 %: sellers round it)      1 x 24 GiB GPU
    l4, a100, tpu-*    an accelerator by name, any of several                               8x h100, l4 t4, NVIDIA L4
    8 vCPU             this many vCPUs; beside a GPU, at least this many
    32 GiB             about this memory of the machine (±15 %); beside a GPU, at least this much
    arm64, amd64       an architecture
    g6.xlarge          machines like this one: as many accelerators of about its memory; without any, its vCPUs and memory

Each thing is said once, and a machine's name stands alone. Where the number of accelerators is not said, each seller's smallest
machine with such an accelerator stands for it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from math import inf

from tightrope.base.catalogue import ON_DEMAND, OWNED, SPOT, MachineType, PriceRow
from tightrope.base.errors import InputError, UnknownNameError, find_near_names
from tightrope.clouds.book import PriceBook
from tightrope.clouds.search.find import total_memory_gib
from tightrope.clouds.search.machine_sheet import share_off
from tightrope.clouds.search.name_matching import MAKERS, matching, matching_gpus, named_machine, short
from tightrope.clouds.search.regional_prices import regional, sold, ways_to_pay

ABOUT = 0.15
"""What sellers call the same memory differs by up to this part (a B200 has 180 or 192 GiB, 8 vCPUs have 30 or 32)."""
EXAMPLES = '"24 GiB GPU", "l4", "8x h100", "8 vCPU 32 GiB arm64", "g6.xlarge"'
TIMES = r"(?:(?P<count>\d{1,3})\s*[x×]\s*)?"
NUMBER = r"(?P<size>\d{1,6}(?:\.\d{1,3})?)"
GPU_MEMORY = re.compile(rf"{TIMES}{NUMBER}\s*gi?b\s+(?:gpu|tpu|accelerator)s?\b")
VCPU = re.compile(rf"{NUMBER}\s*v?cpus?\b")
MEMORY = re.compile(rf"{NUMBER}\s*gi?b(?:\s+(?:ram|memory))?\b")
ARCH = re.compile(r"(?P<arch>arm64|amd64)\b")
NAME = re.compile(rf"{TIMES}(?P<name>{MAKERS}[\w.*?-]+)")
BASES = (ON_DEMAND, OWNED)
"""Offers that a machine is compared by, the first that it is sold under."""


@dataclass(frozen=True, slots=True)
class MachineKind:
    """What is compared; None where nothing is said of it."""

    accelerators: frozenset[str] | None = None
    gpu_memory_gib: float | None = None
    count: int | None = None
    vcpu: float | None = None
    memory_gib: float | None = None
    arch: str | None = None

    @property
    def has_gpu(self) -> bool:
        """Whether machines with accelerators are meant; without, those that have none."""
        return self.accelerators is not None or self.gpu_memory_gib is not None


@dataclass(frozen=True, slots=True)
class ComparedMachine:
    """One seller's machine of the kind, where it is cheapest."""

    machine: MachineType
    row: PriceRow
    """The price that it is compared by."""
    regions: int
    """Regions that sell it at this price."""
    usd_per_gib_hour: float
    """Dollars an hour for one GiB of the accelerators' memory; of the machine's where it has none."""
    usd_per_tflops_hour: float | None
    """Dollars an hour for one dense 16-bit TFLOPS; None where the chip's rate is not known."""
    spot: PriceRow | None
    best: dict[int, PriceRow]
    """Years → the cheapest commitment of that term; absent where there is none."""

    def off(self, row: PriceRow | None) -> float | None:
        """Return which part of the compared price a row saves; None where it is not known."""
        return share_off(row, self.row)


@dataclass(frozen=True, slots=True)
class _Word:
    """A few words of the language and what they say."""

    text: str
    kind: MachineKind
    alone: bool = False
    """Whether it says all, and nothing may stand beside it."""


def parse_kind(text: str, book: PriceBook) -> MachineKind:
    """Return the kind of machine that the words mean.

    Raises ``InputError`` for what is not of the language above, or says one thing twice, and ``UnknownNameError`` for a name that
    nothing has.
    """
    said: list[_Word] = []
    rest = text.strip().casefold()
    while rest:
        word, length = _next(rest, book)
        said.append(word)
        rest = rest[length:].lstrip(" \t,;+")
    if not said:
        msg = f"what to compare is not said: got {text[:80]!r}"
        raise InputError(msg, resolve=f"say a kind of machine, such as {EXAMPLES}")
    return _joined(said, book)


def _next(rest: str, book: PriceBook) -> tuple[_Word, int]:
    """Return the first words of ``rest`` that say something, and how many characters they have."""
    for pattern, read in READERS:
        found = pattern.match(rest)
        if found:
            return read(found, book), found.end()
    msg = f"{rest[:40]!r} says no kind of machine"
    raise InputError(msg, resolve=f"say it as in {EXAMPLES}")


def _joined(said: list[_Word], book: PriceBook) -> MachineKind:
    """Return what all words mean together: any of the accelerators, and everything else once."""
    alone = next((word for word in said if word.alone), None)
    if alone and len(said) > 1:
        other = next(word for word in said if word is not alone)
        msg = f"{alone.text!r} is a machine to be like, and {other.text!r} stands beside it"
        raise InputError(msg, resolve=f"say {alone.text} alone, or the kind in words, as in {EXAMPLES}")
    chips = [word for word in said if word.kind.accelerators is not None]
    kind = MachineKind(frozenset().union(*(word.kind.accelerators or () for word in chips)) if chips else None)
    kind = replace(kind, **{field.name: _once(said, field.name) for field in fields(MachineKind)[1:]})  # type: ignore[arg-type]
    for word in chips if len(chips) > 1 else ():
        if not any(is_of(replace(kind, accelerators=word.kind.accelerators), machine) for machine in book.machine_types.values()):
            msg = f"no machine with {word.text!r} has the rest of what is said"
            raise InputError(msg, resolve=f"leave {word.text} out, or compare it alone")
    return kind


def _once(said: list[_Word], name: str) -> float | str | None:
    """Return what the words say of one thing; raise ``InputError`` where two of them do, but for the same number of accelerators."""
    stated = [word for word in said if getattr(word.kind, name) is not None]
    values = {getattr(word.kind, name) for word in stated}
    if len(values) > 1 or (len(stated) > 1 and name != "count"):
        msg = f"{stated[1].text!r} says again what {stated[0].text!r} says"
        raise InputError(msg, resolve=f"say each thing once, as in {EXAMPLES}; compare two kinds one after the other")
    return values.pop() if values else None


def _count(found: re.Match[str]) -> int | None:
    """Return the number of accelerators that is stated; 0 is none that could be sold."""
    if found["count"] and int(found["count"]) < 1:
        msg = f"{found[0]!r} asks for no accelerator"
        raise InputError(msg, resolve="ask for 1x or more, or for vCPUs and memory")
    return int(found["count"]) if found["count"] else None


def _gpu_memory(found: re.Match[str], book: PriceBook) -> _Word:
    """Read ``[N x] SIZE GiB GPU``."""
    del book
    return _Word(found[0], MachineKind(gpu_memory_gib=float(found["size"]), count=_count(found)))


def _name(found: re.Match[str], book: PriceBook) -> _Word:
    """Read ``[N x] ACCELERATOR``, or a machine's name."""
    like = named_machine(book, found["name"])
    if like and not found["count"]:
        return _Word(found[0], _like(like), alone=True)
    try:
        return _Word(found[0], MachineKind(accelerators=matching_gpus([found["name"]], book), count=_count(found)))
    except UnknownNameError:
        names = {short(machine.name) for machine in book.machine_types.values()}
        near = find_near_names(found["name"], (names | {machine.accelerator for machine in book.machine_types.values()}) - {""})
        msg = f"{found['name'][:40]!r} is neither an accelerator nor a machine"
        resolve = f"use {' or '.join(near)}, or say a kind as in {EXAMPLES}" if near else f"say a kind as in {EXAMPLES}"
        raise UnknownNameError(msg, resolve=resolve) from None


def _like(machine: MachineType) -> MachineKind:
    """Return the kind of one machine."""
    if machine.accelerators:
        return MachineKind(gpu_memory_gib=machine.accelerator_memory_gib, count=machine.accelerators)
    return MachineKind(vcpu=machine.vcpu, memory_gib=machine.memory_gib)


READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], PriceBook], _Word]], ...] = (
    (GPU_MEMORY, _gpu_memory),
    (VCPU, lambda found, _: _Word(found[0], MachineKind(vcpu=float(found["size"])))),
    (MEMORY, lambda found, _: _Word(found[0], MachineKind(memory_gib=float(found["size"])))),
    (ARCH, lambda found, _: _Word(found[0], MachineKind(arch=found["arch"]))),
    (NAME, _name),
)
"""The words of the language, those that say more first."""


def _about(value: float, wanted: float | None) -> bool:
    """Return whether a size is the one wanted, as sellers round it; true where none is wanted."""
    return wanted is None or abs(value - wanted) <= ABOUT * wanted


def _least(value: float, wanted: float | None) -> bool:
    """Return whether a size is at least the one wanted, as sellers round it; true where none is wanted."""
    return wanted is None or value >= wanted * (1 - ABOUT)


def is_of(kind: MachineKind, machine: MachineType) -> bool:
    """Return whether a machine is of a kind.

    A memory of 32 GiB is met by 30 GiB, and vCPUs by that number; beside a GPU both by that much or more.
    """
    if kind.arch not in {None, machine.arch} or bool(machine.accelerators) != kind.has_gpu:
        return False
    if not kind.has_gpu:
        return kind.vcpu in {None, float(machine.vcpu)} and _about(machine.memory_gib, kind.memory_gib)
    return (
        (kind.accelerators is None or machine.accelerator in kind.accelerators)
        and kind.count in {None, machine.accelerators}
        and _about(machine.accelerator_memory_gib, kind.gpu_memory_gib)
        and (kind.vcpu is None or machine.vcpu >= kind.vcpu)
        and _least(machine.memory_gib, kind.memory_gib)
    )


def compare(
    book: PriceBook, kind: MachineKind, tflops: Callable[[MachineType], float | None], regions: Iterable[str] = ()
) -> tuple[ComparedMachine, ...]:
    """Return each seller's machine of a kind in its cheapest region, the cheapest first.

    One a seller and accelerator; without accelerators one a seller and machine family. ``regions`` are patterns, and ``tflops``
    says the dense 16-bit TFLOPS of one of a machine's accelerators. Raises ``InputError`` where nothing is of the kind.
    """
    places = matching(regions, {region for _, region in sold(book)}, "region")
    groups: defaultdict[tuple[object, ...], list[PriceRow]] = defaultdict(list)
    for row in _priced(book, kind, places):
        machine = book.machine_types[row.machine]
        board = (machine.accelerator, round(machine.accelerator_memory_gib)) if kind.has_gpu else (machine.family, 0)
        groups[machine.cloud, *board].append(row)
    if not groups:
        raise _nothing(book, kind, regions)
    sides = [_side(book, rows, tflops) for rows in groups.values()]
    return tuple(sorted(sides, key=lambda side: (side.row.usd_per_hour, side.machine.name)))


def _priced(book: PriceBook, kind: MachineKind, places: frozenset[str]) -> list[PriceRow]:
    """Return the row that each machine of a kind is compared by, in each of the regions."""
    wanted = (place for place in sold(book) if place[1] in places and is_of(kind, book.machine_types[place[0]]))
    found = (next(filter(None, (regional(book, *place, offer) for offer in BASES)), None) for place in wanted)
    return [row for row in found if row is not None]


def _nothing(book: PriceBook, kind: MachineKind, regions: Iterable[str]) -> InputError:
    """Return the error where nothing is of a kind; it says which memories there are."""
    sizes = sorted({machine.accelerator_memory_gib for machine in book.machine_types.values() if machine.accelerators})
    known = ", ".join(f"{size:g}" for size in sizes)
    where = " in those regions" if tuple(regions) else ""
    resolve = f"ask for less, or for another accelerator memory: {known} GiB" if kind.has_gpu else "ask for other vCPUs or memory"
    if not kind.has_gpu and kind.memory_gib is not None and any(_about(size, kind.memory_gib) for size in sizes):
        resolve += f'; for accelerators of that memory, say "{kind.memory_gib:g} GiB GPU"'
    msg = f"no machine of that kind has a price{where}"
    return InputError(msg, resolve=resolve)


def _side(book: PriceBook, rows: list[PriceRow], tflops: Callable[[MachineType], float | None]) -> ComparedMachine:
    """Return the machine with the fewest accelerators, where it is cheapest; of equals, where spot is."""

    def order(row: PriceRow) -> tuple[object, ...]:
        spot = regional(book, row.machine, row.region, SPOT)
        fewest = book.machine_types[row.machine].accelerators
        return fewest, row.usd_per_hour, spot.usd_per_hour if spot else inf, row.machine, row.region

    row = min(rows, key=order)
    machine = book.machine_types[row.machine]
    speed = tflops(machine) if machine.accelerators else None
    usd_per_hour = float(row.usd_per_hour)
    return ComparedMachine(
        machine,
        row,
        sum((item.machine, item.usd_per_hour) == (row.machine, row.usd_per_hour) for item in rows),
        usd_per_hour / total_memory_gib(machine),
        usd_per_hour / (speed * machine.accelerators) if speed else None,
        regional(book, row.machine, row.region, SPOT),
        _best(book, row),
    )


def _best(book: PriceBook, row: PriceRow) -> dict[int, PriceRow]:
    """Return years → the cheapest commitment of that term for a machine in a region."""
    found: dict[int, PriceRow] = {}
    for item in sorted(ways_to_pay(book, row.machine, row.region), key=lambda item: (item.usd_per_hour, item.offer)):
        rule = book.commitments.get((item.cloud, item.offer))
        if rule is not None:
            found.setdefault(rule.term_years, item)
    return found
