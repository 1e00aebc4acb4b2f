"""What people type → the names and ranges that it means: case does not matter, ``*`` and ``?`` stand for anything."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf

from tightrope.base.catalogue import ON_DEMAND, OWNED, SPOT, MachineType
from tightrope.base.errors import InputError, UnknownNameError, build_unknown_name_error, find_near_names
from tightrope.clouds.book import PriceBook

AZURE_PREFIX = "standard_"
FIRST_OFFERS = (ON_DEMAND, SPOT, OWNED)
"""Offers that stand before all others, and that are shown where none is asked for."""
NO_GPU = "none"
MAKERS = r"(?:(?:nvidia|amd|google|aws|intel|tesla)[ _-]+)*"
"""What may stand before an accelerator's name, and says nothing that the name does not."""
SPAN = re.compile(r"(?P<low>\d+(?:\.\d+)?)(?P<more>\+)?(?:\s*[-–]\s*(?P<high>\d+(?:\.\d+)?))?")


def unknown(text: str, kind: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not there, with near names whatever their case."""
    folded = {name.casefold(): name for name in known}
    near = [folded[name] for name in find_near_names(text.casefold(), folded)]
    if not near:
        return build_unknown_name_error(text, kind=kind, known=folded.values())
    return UnknownNameError(f"unknown {kind} {text[:80]!r}", resolve=f"use {' or '.join(near)}")


def words(stated: Iterable[str], kind: str = "name") -> list[str]:
    """Return what options state, split at commas.

    Raises ``InputError`` where one of them is blank: what a shell does not know must not stand for everything.

    >>> words(("us-*, eu-*", "ap-south-1"))
    ['us-*', 'eu-*', 'ap-south-1']
    """
    found: list[str] = []
    for text in stated:
        named = [word.strip() for word in text.split(",") if word.strip()]
        if not named:
            msg = f"empty {kind}: got {text[:40]!r}, expected a name or a pattern"
            raise InputError(msg, resolve="name one, or leave the option out; a variable that is not set is empty too")
        found += named
    return found


def matching(stated: Iterable[str], known: Iterable[str], kind: str) -> frozenset[str]:
    """Return the known names that one of the stated patterns matches, all of them where none is stated.

    Raises ``UnknownNameError`` for a pattern that matches nothing, and ``InputError`` for a blank one.
    """
    known, found = frozenset(known), set[str]()
    patterns = words(stated, kind)
    for pattern in patterns:
        hits = {name for name in known if fnmatchcase(name.casefold(), pattern.casefold())}
        if not hits:
            raise unknown(pattern, kind, known)
        found |= hits
    return frozenset(found) if patterns else known


def matching_gpus(stated: Iterable[str], book: PriceBook) -> frozenset[str] | None:
    """Return the accelerators that the patterns name, None where none is stated; ``none`` is the empty name.

    A family's name that is no accelerator's stands for all of its members: ``tpu`` for ``tpu-v5e`` and ``tpu-v6e``, but ``l4`` for
    itself alone. Raises as ``matching`` does.
    """
    known = {machine.accelerator for machine in book.machine_types.values()} - {""}
    patterns = [_without_maker(word.casefold(), known) for word in words(stated, "accelerator")]
    found = set[str]()
    for pattern in patterns:
        members = {name for name in known if name.partition("-")[0] == pattern}
        found |= (
            {""}
            if pattern == NO_GPU
            else members
            if pattern not in known and members
            else matching([pattern], known, "accelerator")
        )
    return frozenset(found) if patterns else None


def _without_maker(name: str, known: Iterable[str]) -> str:
    """Return an accelerator's name without who made it.

    >>> _without_maker("nvidia tesla-t4", {"t4"}), _without_maker("aws-box", {"aws-box"})
    ('t4', 'aws-box')
    """
    return name if name in known else re.sub(f"^{MAKERS}", "", name)


def offer_names(book: PriceBook) -> frozenset[str]:
    """Return every offer that the book has a price or a discount of."""
    return frozenset(
        {key[2] for key in book.rows}
        | {key[2] for key in book.zone_rows}
        | {key[3] for key in (*book.discounts, *book.own_discounts)}
    )


def in_order(offers: Iterable[str]) -> tuple[str, ...]:
    """Return offers as they are shown: on-demand, spot, then by name.

    >>> in_order({"spot", "reserved-1y", "on-demand"})
    ('on-demand', 'spot', 'reserved-1y')
    """
    return tuple(sorted(offers, key=lambda name: (rank(name), name)))


def rank(offer: str) -> int:
    """Return the place of an offer among the first ones, the same last place for all others."""
    return FIRST_OFFERS.index(offer) if offer in FIRST_OFFERS else len(FIRST_OFFERS)


def short(name: str) -> str:
    """Return a machine's name as it may be typed: in lower case, without Azure's ``Standard_``.

    >>> short("Standard_NC4as_T4_v3"), short("G6.xlarge")
    ('nc4as_t4_v3', 'g6.xlarge')
    """
    return name.casefold().removeprefix(AZURE_PREFIX)


def matching_machines(stated: Iterable[str], book: PriceBook) -> frozenset[str]:
    """Return the machines that one of the patterns matches, all where none is stated; raise as ``matching`` does."""
    found = set[str]()
    patterns = words(stated, "machine")
    for pattern in patterns:
        hits = _called(pattern, book)
        if not hits:
            raise unknown_machine(pattern, book)
        found |= hits
    return frozenset(found if patterns else book.machine_types)


def named_machine(book: PriceBook, text: str) -> MachineType | None:
    """Return the machine that a name means, of two that may be typed so the one that is called exactly so.

    None where nothing is called so. Raises ``UnknownNameError`` where two may be meant.
    """
    typed = text.strip()
    if typed in book.machine_types:
        return book.machine_types[typed]
    found = sorted(name for name in book.machine_types if typed.casefold() in {name.casefold(), short(name)})
    if len(found) > 1:
        msg = f"{typed[:80]!r} may be {' or '.join(found)}"
        raise UnknownNameError(msg, resolve=f"write {' or '.join(found)}, in these very letters")
    return book.machine_types[found[0]] if found else None


def _called(pattern: str, book: PriceBook) -> set[str]:
    """Return the machines whose name a pattern matches, as it is or without Azure's ``Standard_``."""
    typed = pattern.casefold()
    return {name for name in book.machine_types if fnmatchcase(name.casefold(), typed) or fnmatchcase(short(name), typed)}


def unknown_machine(text: str, book: PriceBook) -> UnknownNameError:
    """Return the error for a machine that is not there: near names, or the book's own where a family's name is in it."""
    typed, names = short(text.strip()), {short(name): name for name in book.machine_types}
    families = {machine.family.casefold(): machine.family for machine in book.machine_types.values()}
    start, dot, size = typed.partition(".")
    if start in families:
        try:
            book.machine(f"{families[start]}{dot}{size[:80]}")
        except UnknownNameError as error:
            return error
    near = [names[name] for name in find_near_names(typed, names)]
    msg = f"unknown machine {text[:80]!r}"
    if near:
        return UnknownNameError(msg, resolve=f"use {' or '.join(near)}")
    return unknown(text, "machine", [*book.machine_types, *families.values()])


@dataclass(frozen=True, slots=True)
class Span:
    """A range of numbers, its ends included."""

    low: float = 0.0
    high: float = inf

    def holds(self, value: float) -> bool:
        """Return whether a value lies in it."""
        return self.low <= value <= self.high


def parse_span(text: str | None, option: str) -> Span:
    """Return the range that an option states: ``4`` exactly, ``4+`` or more, ``4-16`` from one to the other; all if it is left out.

    Raises ``InputError`` for anything else.

    >>> parse_span("4+", "--vcpu"), parse_span("4-16", "--vcpu").holds(16)
    (Span(low=4.0, high=inf), True)
    """
    if text is None:
        return Span()
    found = SPAN.fullmatch(text.strip())
    ends = (found["low"], found["high"] or found["low"]) if found else ("1", "0")
    if found is None or (found["more"] and found["high"]) or float(ends[0]) > float(ends[1]):
        msg = f"{option}: got {text[:40]!r}, expected a number or a range"
        raise InputError(msg, resolve=f"write {option} 4 (exactly), {option} 4+ (or more), or {option} 4-16")
    return Span(float(ends[0]), inf if found["more"] else float(ends[1]))
