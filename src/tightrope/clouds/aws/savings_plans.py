"""Machine prices from AWS's Savings Plan files: both kinds of plan, every term and payment option.

Both kinds are in one file and discount the same products (the same ``discountedSku``), so only its plan's ``productFamily`` shows the
kind of a rate; other kinds of plan (for databases, for machine learning) are left out. A rate is the commitment's hourly cost, for
every payment option: no, half or full upfront payment.

Shapes: AWS Billing user guide, "Reading the service price list file for a Savings Plan"; Savings Plans user guide, "Understanding
how Savings Plans apply to your usage".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tightrope.base.catalogue import PriceRow
from tightrope.base.units import HOURS_PER_YEAR
from tightrope.clouds.aws.rates import (
    PAYMENTS,
    MachineRate,
    SkippedRates,
    cheaper,
    check_currency,
    check_unit,
    in_force,
    plausible,
    rows_of,
    trimmed,
    usd_of,
)

KINDS = {"ComputeSavingsPlans": "compute-savings-plan", "EC2InstanceSavingsPlans": "instance-savings-plan"}
"""A plan's ``productFamily`` → the name of its offers."""
UPFRONT_SHARES = {"no-upfront": Decimal(0), "partial-upfront": Decimal("0.5"), "all-upfront": Decimal(1)}
YEARS = {("1", "year"): 1, ("3", "year"): 3}


@dataclass(frozen=True, slots=True)
class PlanRate:
    """One rate of one plan, as AWS writes it."""

    plan: str
    kind: str
    payment: str
    length: str
    length_unit: str
    effective: str
    sku: str
    """The product that it discounts."""
    unit: str
    currency: str
    price: str


def savings_plan_rows(
    rates: Iterable[PlanRate], skus: Mapping[str, str], on_demand: Mapping[str, PriceRow], where: str, skipped: SkippedRates
) -> list[PriceRow]:
    """Return the rows of both kinds of plan for the machines of ``on_demand``; ``skus`` is SKU → machine.

    Raises ``SourceError`` for an invalid number, another currency or another unit.
    """
    like = next(iter(on_demand.values()))
    found = list(_find_rates(rates, skus, like.seen, where, skipped))
    source = f"AWS Price List, Savings Plan file AWSComputeSavingsPlan of {like.region} [public price list]"
    return rows_of(cheaper(found, on_demand, skipped), like.region, source, like.seen, skipped)


def _find_rates(
    rates: Iterable[PlanRate], skus: Mapping[str, str], today: date, where: str, skipped: SkippedRates
) -> Iterator[MachineRate]:
    """Yield the machines' rates under the plans in force."""
    for rate in rates:
        check_currency(rate.currency, where)
        check_unit(rate.unit, ("Hrs",), where)
        usd_per_hour, machine = usd_of(rate.price, where), skus[rate.sku]
        years, payment = YEARS.get((rate.length, rate.length_unit)), PAYMENTS.get(rate.payment)
        if years is None or payment is None:
            skipped.add(f"unknown term of {rate.length} {rate.length_unit!r}, {rate.payment!r}", machine)
        elif not in_force(rate.effective, today, where):
            skipped.add("price not yet in force", machine)
        elif not plausible(usd_per_hour):
            skipped.add("implausible price of a machine", machine)
        else:
            upfront_usd = trimmed(usd_per_hour * HOURS_PER_YEAR * years * UPFRONT_SHARES[payment])
            yield MachineRate(
                machine, f"{KINDS[rate.kind]}-{years}y-{payment}", trimmed(usd_per_hour), upfront_usd, rate.effective
            )
