"""Format of a commitment's scope, and the resolution of a stated one."""

from tightrope.base.catalogue import CommitmentRule, MachineType
from tightrope.base.contracts import Prices
from tightrope.base.errors import InputError
from tightrope.base.records import Committed

FORMS = {
    "machine": "a region/machine where it is sold",
    "family": "a region/family where it is sold",
    "region": "a region where it is sold",
    "any": "no scope (it covers everything of {})",
}
"""A rule's scope → how a commitment's scope is written."""


def format_scope(rule: CommitmentRule, machine: MachineType, region: str) -> str:
    """Return the scope that covers a machine: its region and type, region and family, region, or everything."""
    if rule.scope == "any":
        return ""
    if rule.scope == "region":
        return region
    return f"{region}/{machine.family if rule.covers_other_sizes(machine.family) else machine.name}"


def resolve_scope(committed: Committed, rule: CommitmentRule, prices: Prices) -> str:
    """Return the scope that a stated one means: one size means its family where the commitment covers all sizes.

    Raises ``InputError`` with the expected form where the seller sells no such commitment.
    """
    if rule.scope == "any" and not committed.scope:
        return ""
    place, _, name = committed.scope.partition("/")
    fits = rule.scope != "any" and (rule.scope == "region") != bool(name)
    scopes = {
        format_scope(rule, machine, place)
        for machine in (prices.machines([name] if name else ()) if fits else ())
        if machine.cloud == committed.cloud and machine.family not in rule.excluded_families.split()
        if prices.find(machine.name, place, committed.offer) is not None
    }
    if len(scopes) == 1:
        return scopes.pop()
    such = f", such as {min(scopes)}" if scopes else ""
    form = FORMS[rule.scope].format(committed.cloud)
    msg = f"{committed.cloud} sells no {committed.offer} for {committed.scope!r}: expected {form}{such}"
    raise InputError(msg, resolve="correct the commitment's scope or offer")
