"""A user's own folder (``--catalogue``): tables as in ``rows.py``, and machines that ``owned.csv`` declares. Its word stands first.

A slip in it must not pass for a wish: names that nobody has, days that are yet to come and tables that are none are errors.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tightrope.base import registry
from tightrope.base.catalogue import ANY, Catalogue, Discount, MachineType, PriceRow, UnitPrice, Withdrawal
from tightrope.base.errors import InputError, Where, near_names
from tightrope.clouds.in_force import tiers_in_force, unit_key
from tightrope.clouds.owned import NAME as OWNED
from tightrope.clouds.owned import load_owned
from tightrope.clouds.rows import TABLES, holds_tables, load_catalogue


def load_own(directory: Path, machines: dict[str, MachineType]) -> Catalogue:
    """Return a user's own folder: the machines that ``owned.csv`` declares, then its tables, which may name or correct them.

    Raises ``InputError`` with file and remedy, also for a machine of another seller's name, for a day that is yet to come, and for tiers
    of one unit price that are not all of one day.
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
    )
    _check_names(both, machines, Where(directory))
    _check_own(both, machines, Where(directory))
    return both


def _check_folder(directory: Path) -> None:
    """Raise ``InputError`` where a user's folder is not there, or has a table whose name is a slip."""
    if not directory.is_dir():
        msg = "there is no such folder"
        raise InputError(msg, where=Where(directory), resolve="name the folder that holds owned.csv, prices.csv or other tables")
    known = (*TABLES, "sources", "owned")
    for path in sorted(directory.glob("*.csv")):
        near = near_names(path.stem, known, 1)
        if path.stem not in known and near:
            msg = f"no table is called {path.name}"
            raise InputError(msg, where=Where(directory), resolve=f"call it {near[0]}.csv, or move it elsewhere")


def _check_names(own: Catalogue, machines: dict[str, MachineType], where: Where) -> None:
    """Raise ``InputError`` for a cloud, a family or an offer of a user's folder that nobody has."""
    every = (*machines.values(), *own.machines)
    rules = [rule for cloud in registry.clouds().values() for rule in cloud.catalogue().commitments]
    known = {
        "cloud": {machine.cloud for machine in every},
        "family": {machine.family for machine in every} | {ANY},
        "offer": {*registry.offers(), *(rule.offer for rule in [*rules, *own.commitments]), OWNED},
    }
    for row in (*own.prices, *own.unit_prices, *own.discounts, *own.withdrawn):
        for what, names in known.items():
            name = getattr(row, what, None)
            if name is not None and name not in names:
                msg = f"{name}: no such {what}, in the row of {_said(row)}"
                raise InputError(msg, where=where, resolve=f"use {' or '.join(near_names(name, names) or sorted(names))}")


def _check_own(own: Catalogue, machines: dict[str, MachineType], where: Where) -> None:
    """Raise ``InputError`` for what a user's folder can not mean."""
    for machine in own.machines:
        if machine.cloud != machines.get(machine.name, machine).cloud:
            msg = f"{machine.name} is a machine of {machines[machine.name].cloud}, and can not be one of {machine.cloud} too"
            raise InputError(msg, where=where, resolve="give the machine a name of its own")
    today = datetime.now(tz=UTC).date()
    for row in (*own.machines, *own.prices, *own.unit_prices, *own.discounts, *own.withdrawn):
        if row.seen > today:
            msg = f"seen: {row.seen} is yet to come, in the row of {_said(row)}"
            raise InputError(msg, where=where, resolve=f"write the day on which the figure was true, {today} at the latest")
    tiers = tiers_in_force(own.unit_prices, None)
    for unit in own.unit_prices:
        if unit.above not in {tier.above for tier in tiers[unit_key(unit)]}:
            newest = tiers[unit_key(unit)][0].seen
            msg = f"{_said(unit)}: the tier above {unit.above:f} was seen {unit.seen}, another tier {newest}"
            raise InputError(msg, where=where, resolve="give all tiers of an item one day, or remove those that ended")


def _said(row: MachineType | PriceRow | UnitPrice | Discount | Withdrawal) -> str:
    """Return what a row is about, in its own words."""
    names = ("cloud", "region", "name", "machine", "family", "item", "offer", "zone")
    return " ".join(str(getattr(row, name)) for name in names if getattr(row, name, ""))
