"""A user's own folder (``--catalogue``): tables as in ``catalogue_tables.py``, and machines declared in ``owned.csv``.

Its rows win over every other source. Unknown names, days in the future and malformed tables are errors: a slip must not pass unnoticed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

from tightrope.base import registry
from tightrope.base.catalogue import ANY, OWNED, Catalogue, Discount, MachineType, PriceRow, UnitPrice, Withdrawal
from tightrope.base.errors import InputError, Where, find_near_names
from tightrope.base.units import today
from tightrope.clouds.catalogue_tables import TABLES, holds_tables, load_catalogue
from tightrope.clouds.owned import load_owned
from tightrope.clouds.validity import newest_tiers, tiers_in_force, unit_key


def load_own(directory: Path, machines: dict[str, MachineType], theirs: Sequence[Catalogue]) -> Catalogue:
    """Return a user's own folder: the machines that ``owned.csv`` declares, then its tables, which may name or correct them.

    ``machines`` and ``theirs`` are what sellers have. Raises ``InputError`` with file and remedy, also for names that no seller has, for
    a machine of another seller's name, for a day that is yet to come, and for tiers of one unit price that are not whole.
    """
    _check_folder(directory)
    declared = directory / "owned.csv"
    owned = load_owned(declared) if declared.exists() else Catalogue()
    known = machines | {machine.name: machine for machine in owned.machines}
    own = load_catalogue(directory, known) if holds_tables(directory) or not declared.exists() else Catalogue()
    both = replace(
        own,
        machines=owned.machines + own.machines,
        prices=owned.prices + own.prices,
        unit_prices=owned.unit_prices + own.unit_prices,
        stocks=owned.stocks,
    )
    where = Where(directory)
    _check_machines(both, machines, where)
    _check_names(both, known | {machine.name: machine for machine in own.machines}, theirs, where)
    _check_days(both, where)
    _check_tiers(both.unit_prices, theirs, where)
    return both


def _check_folder(directory: Path) -> None:
    """Raise ``InputError`` where a user's folder is not there, or has a table whose name is a slip."""
    if not directory.is_dir():
        msg = "there is no such folder"
        raise InputError(msg, where=Where(directory), resolve="name the folder that holds owned.csv, prices.csv or other tables")
    known = (*TABLES, "sources", "owned")
    for path in sorted(directory.glob("*.csv")):
        near = find_near_names(path.stem, known, 1)
        if path.stem not in known and near:
            msg = f"no table is called {path.name}"
            raise InputError(msg, where=Where(directory), resolve=f"call it {near[0]}.csv, or move it elsewhere")


def _check_machines(own: Catalogue, machines: dict[str, MachineType], where: Where) -> None:
    """Raise ``InputError`` for a machine that has the name of another seller's."""
    for machine in own.machines:
        if machine.cloud != machines.get(machine.name, machine).cloud:
            msg = f"{machine.name} is a machine of {machines[machine.name].cloud}, and cannot be one of {machine.cloud} too"
            raise InputError(msg, where=where, resolve="give the machine a name of its own")


def _check_names(own: Catalogue, machines: dict[str, MachineType], theirs: Sequence[Catalogue], where: Where) -> None:
    """Raise ``InputError`` for a cloud, or a region, family, machine or offer of it, that nobody has.

    A region that is new is meant where its name is like no other, or its unit prices are given too, which plans need.
    """
    known: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for machine in machines.values():
        known[machine.cloud]["family"] |= {machine.family, ANY}
        known[machine.cloud]["machine"].add(machine.name)
        known[machine.cloud]["offer"] |= {*registry.load_offers(), OWNED}
        known[machine.cloud]["region"].add(ANY)
    for rule in (rule for part in (*theirs, own) for rule in part.commitments):
        known[rule.cloud]["offer"].add(rule.offer)
    for row in (row for part in theirs for row in (*part.prices, *part.unit_prices)):
        known[row.cloud]["region"].add(row.region)
    priced, metered = ({(row.cloud, row.region) for row in rows} for rows in (own.prices, own.unit_prices))
    for cloud, region in sorted(priced):
        if (cloud, region) in metered or not find_near_names(region, known[cloud]["region"], 1):
            known[cloud]["region"].add(region)
    for row in (*own.prices, *own.unit_prices, *own.discounts, *own.withdrawn):
        if row.cloud not in known:
            _refuse("cloud", row.cloud, known, row, where)
        for what, names in known[row.cloud].items():
            name = getattr(row, what, None)
            if name is not None and name not in names:
                _refuse(what, name, names, row, where)


def _refuse(
    what: str, name: str, names: Iterable[str], row: PriceRow | UnitPrice | Discount | Withdrawal, where: Where
) -> NoReturn:
    """Raise ``InputError`` for a name that nobody has."""
    near = find_near_names(name, names) or sorted(names)[:12]
    new = "; to add a region, give its unit prices too" if what == "region" else ""
    msg = f"{name}: no such {what}{'' if what == 'cloud' else f' of {row.cloud}'}, in the row of {_said(row)}"
    raise InputError(msg, where=where, resolve=f"use {' or '.join(near)}{new}")


def _check_days(own: Catalogue, where: Where) -> None:
    """Raise ``InputError`` for a day that is yet to come."""
    now = today()
    for row in (*own.machines, *own.prices, *own.unit_prices, *own.discounts, *own.withdrawn):
        if row.seen > now:
            msg = f"seen: {row.seen} is yet to come, in the row of {_said(row)}"
            raise InputError(msg, where=where, resolve=f"write the day on which the figure was true, {now} at the latest")


def _check_tiers(unit_prices: Sequence[UnitPrice], theirs: Sequence[Catalogue], where: Where) -> None:
    """Raise ``InputError`` for tiers that are not all of one day, or without the first of them: all would be billed at the next."""
    tiers, sold = tiers_in_force(unit_prices, None), newest_tiers([part.unit_prices for part in theirs], None)
    for unit in unit_prices:
        if unit.above not in {tier.above for tier in tiers[unit_key(unit)]}:
            newest = tiers[unit_key(unit)][0].seen
            msg = f"{_said(unit)}: the tier above {unit.above:f} was seen {unit.seen}, another tier {newest}"
            raise InputError(msg, where=where, resolve="give all tiers of an item one day, or remove those that ended")
    for key, (lowest, *_) in tiers.items():
        free = sold[key][0].above if key in sold else Decimal(0)
        if lowest.above > free:
            msg = f"{_said(lowest)}: the lowest tier begins above {lowest.above:f}, the seller's above {free:f}"
            raise InputError(msg, where=where, resolve="give every tier of the item, a free one with 0")


def _said(row: MachineType | PriceRow | UnitPrice | Discount | Withdrawal) -> str:
    """Return what a row is about, in its own words."""
    names = ("cloud", "region", "name", "machine", "family", "item", "offer", "zone")
    return " ".join(str(getattr(row, name)) for name in names if getattr(row, name, ""))
