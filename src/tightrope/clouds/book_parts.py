"""The catalogues that the price book is made of: those that ship, those that were refreshed, and the user's own folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tightrope.base import registry
from tightrope.base.catalogue import Catalogue, MachineType
from tightrope.base.errors import InputError
from tightrope.clouds.archive import archives, load_archive
from tightrope.clouds.user_catalogue import load_own


@dataclass(frozen=True, slots=True)
class BookPart:
    """One catalogue that the book is made of."""

    kind: Literal["shipped", "refreshed", "own"]
    name: str
    """The cloud's; a refreshed archive's file and the user's own folder are called as they lie on disk."""
    path: Path | None
    written: datetime | None
    """When a refreshed archive was written, UTC."""
    catalogues: tuple[Catalogue, ...]
    """What stands now, and what newer rows have replaced where it lies apart."""

    @property
    def rows(self) -> int:
        """Rows that a price may come from, all dates."""
        return sum(len(item.prices) + len(item.unit_prices) + len(item.discounts) for item in self.catalogues)


def load_parts(directory: Path | None = None, *, earlier: bool = True) -> tuple[BookPart, ...]:
    """Return every catalogue that the book is made of; ``directory`` is the user's own folder.

    ``earlier`` reads what newer rows of refreshed catalogues have replaced, too: a book of today does without. Raises ``InputError``.
    """
    parts = [BookPart("shipped", name, None, None, (cloud.catalogue(),)) for name, cloud in registry.load_clouds().items()]
    _check_one_seller(parts)
    machines = machines_of(parts)
    for path in archives(machines):
        written = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
        parts.append(BookPart("refreshed", path.stem, path, written, load_archive(path, machines, earlier=earlier)))
    if directory:
        own = load_own(directory, machines_of(parts), [item for part in parts for item in part.catalogues])
        parts.append(BookPart("own", directory.name, directory, None, (own,)))
    return tuple(parts)


def machines_of(parts: Sequence[BookPart]) -> dict[str, MachineType]:
    """Return name → machine: as the user describes it, else as it ships, else as it was refreshed."""
    ordered = sorted(parts, key=lambda part: ("refreshed", "shipped", "own").index(part.kind))
    return {machine.name: machine for part in ordered for item in part.catalogues for machine in item.machines}


def _check_one_seller(shipped: Sequence[BookPart]) -> None:
    """Raise ``InputError`` where two sellers have machines of one name, since prices are found by name."""
    found: dict[str, MachineType] = {}
    for machine in (machine for part in shipped for item in part.catalogues for machine in item.machines):
        if machine.name in found:
            msg = f"the clouds {found[machine.name].cloud!r} and {machine.cloud!r} both sell a machine called {machine.name!r}"
            raise InputError(msg, resolve="rename the machine in one of the catalogues")
        found[machine.name] = machine
