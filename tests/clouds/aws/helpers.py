"""What the tests of AWS's importer share: machines that are known, and ways to look at rows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from tests.clouds import aws_lists
from tests.clouds.aws_lists import Plan, Product, Term

from tightrope.base.catalogue import MachineType, PriceRow

TODAY = date(2026, 11, 25)
REGION = "us-east-1"
KEY, SECRET = "AKIATIGHTROPETEST", "s3cr3t+of/the+test"
SHAPES = {
    "g6.xlarge": (4, 16, "l4", 1, 24),
    "g6.12xlarge": (48, 192, "l4", 4, 24),
    "c6i.large": (2, 4, "", 0, 0),
    "c6i.xlarge": (4, 8, "", 0, 0),
    "p5.48xlarge": (192, 2048, "h100", 8, 80),
}
KNOWN = {
    name: MachineType("aws", name, name.partition(".")[0], vcpu, memory, "amd64", kind, count, each, "a test", TODAY)
    for name, (vcpu, memory, kind, count, each) in SHAPES.items()
}
FORMS = ("csv", "json")


def row(rows: Iterable[PriceRow], machine: str, offer: str, zone: str = "") -> PriceRow:
    (found,) = [item for item in rows if (item.machine, item.offer, item.zone) == (machine, offer, zone)]
    return found


def offers_of(rows: Iterable[PriceRow], machine: str) -> set[str]:
    return {item.offer for item in rows if item.machine == machine}


def changed(products: list[Product], machine: str = "g6.xlarge") -> Product:
    """Return the machine's plain product, to be changed in place."""
    return next(p for p in products if p.attributes.get("instanceType") == machine)


def reserved_term(products: list[Product], payment: str) -> Term:
    """Return the standard one-year term of g6.xlarge that is paid so."""
    wanted = {"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": payment}
    return next(term for term in changed(products).terms if term.attributes == wanted)


def changed_plans(**facts: str) -> list[Plan]:
    """Return the plans, one of those that count changed."""
    listed = aws_lists.plans(aws_lists.catalogue())
    return [replace(plan, **facts) if plan.sku == "COMP1NO" else plan for plan in listed]
