"""The ledger's charges with the columns of FOCUS 1.2 (focus.finops.org, June 2025), so that cost tools read them.

They are a split of what the sellers' own bills hold: load them beside those, not added to them. Each row is an hour's charges that are
alike in tenant, model, variant, class, pool and tag; what no request was charged has no tenant.
"""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tightrope.base.errors import InputError
from tightrope.serve.ledger.cost_report import COLUMNS, Total, total
from tightrope.serve.ledger.journal import HOUR, utc
from tightrope.serve.ledger.month_to_date import month_of
from tightrope.serve.ledger.reader import LedgerReader
from tightrope.serve.ledger.rows import COSTS
from tightrope.serve.records import NUSD_PER_USD

PROVIDERS = {"aws": "AWS", "azure": "Microsoft", "gcp": "Google Cloud"}
CATEGORY, SUBCATEGORY = "AI and Machine Learning", "Other (AI and Machine Learning)"
PLACES = f"""
SELECT pool, max_by(cloud, at_ns), max_by(region, at_ns), max_by(machine, at_ns), max_by(offer, at_ns) FROM (
  SELECT pool, cloud, region, machine, offer, at_ns FROM lines WHERE {COSTS} UNION ALL
  SELECT meter, cloud, region, machine, offer, at_ns FROM lines WHERE kind = 'machines')
GROUP BY pool
"""
Row = dict[str, str | int | None]


def focus_rows(reader: LedgerReader, out: Path, from_ns: int, to_ns: int) -> int:
    """Write the rows as CSV and return how many; raise ``InputError`` where a price is not known."""
    spent = total(reader, from_ns, to_ns, (*COLUMNS, "hour"))
    if not spent.complete:
        names = sorted({row.meter for row in spent.machines if row.paid_nusd is None})
        what = f"the price of {', '.join(map(repr, names)) or 'some requests'} is not known, and FOCUS must state every cost"
        raise InputError(what, resolve="export csv or parquet, or a time from when `usd_per_hour` was stated in serve.yaml")
    count = 0
    with out.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        for row in _rows(reader, spent):
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
            count += 1
    return count


def _rows(reader: LedgerReader, spent: Total) -> Iterator[Row]:
    """Yield a row for each charge."""
    places = {pool: place for pool, *place in reader.rows(PLACES)}
    (account,) = reader.rows("SELECT coalesce(max_by(what, at_ns), '') FROM lines WHERE kind = 'start'")[0]
    for charge in spent.charges:
        said = dict(zip(spent.by, charge.key, strict=True))
        hour_ns = _hour_ns(said["hour"])
        what = f"{charge.requests} requests to {said['model']}"
        tags = {name: said[name] for name in ("variant", "class", "tag") if said[name]}
        row = _row(
            account, said["pool"], places, (max(hour_ns, spent.from_ns), min(hour_ns + HOUR, spent.to_ns)), charge.nusd, what
        )
        row |= {"SubAccountId": said["tenant"], "SubAccountName": said["tenant"], "Tags": json.dumps(tags, sort_keys=True)}
        row |= {"PricingQuantity": charge.requests, "ConsumedQuantity": charge.requests, "SkuId": said["model"]}
        row |= {"x_InputTokens": charge.tokens_in, "x_OutputTokens": charge.tokens_out, "x_SavedCost": usd(charge.saved_nusd)}
        yield row
    for machines in spent.machines:
        for kind, nusd in (("idle", machines.idle_nusd), ("other", machines.other_nusd), ("unmetered", machines.unmetered_nusd)):
            if nusd:
                window = (machines.from_ns, machines.to_ns)
                yield _row(
                    account, machines.meter, places, window, nusd, f"{kind} time of the machines of {machines.meter}", kind
                )


def _row(
    account: str, pool: str, places: dict[str, list[str]], window: tuple[int, int], nusd: int, what: str, kind: str = "request"
) -> Row:
    """Return a row in which what is said of requests is empty; the key order is that of the columns."""
    cloud, region, machine, offer = places.get(pool, ["", "", "", ""])
    provider = PROVIDERS.get(cloud, cloud) or account
    begins_ns, ends_ns = month_of(window[0])
    cost = usd(nusd)
    return {
        "BilledCost": cost, "EffectiveCost": cost, "ListCost": cost, "ContractedCost": cost, "BillingCurrency": "USD",
        "BillingAccountId": account, "BillingAccountName": account, "SubAccountId": None, "SubAccountName": None,
        "BillingPeriodStart": utc(begins_ns), "BillingPeriodEnd": utc(ends_ns),
        "ChargePeriodStart": utc(window[0]), "ChargePeriodEnd": utc(window[1]),
        "ChargeCategory": "Usage", "ChargeClass": None, "ChargeDescription": what, "ChargeFrequency": "Usage-Based",
        "ProviderName": provider, "PublisherName": provider, "InvoiceIssuerName": provider,
        "ServiceCategory": CATEGORY, "ServiceSubcategory": SUBCATEGORY, "ServiceName": "Model inference",
        "ResourceId": pool, "ResourceName": pool, "ResourceType": machine or "Pool",
        "RegionId": region or None, "RegionName": region or None,
        "PricingCategory": "Dynamic" if offer == "spot" else "Standard", "PricingQuantity": None, "PricingUnit": "Requests",
        "ConsumedQuantity": None, "ConsumedUnit": "Requests", "SkuId": None, "Tags": None,
        "x_Offer": offer, "x_Kind": kind, "x_InputTokens": None, "x_OutputTokens": None, "x_SavedCost": None,
    }  # fmt: skip


def usd(nusd: int) -> str:
    """Return nano-dollars as exact US dollars.

    >>> usd(1_200_000_034), usd(-5)
    ('1.200000034', '-0.000000005')
    """
    whole, part = divmod(abs(nusd), NUSD_PER_USD)
    return f"{'-' if nusd < 0 else ''}{whole}.{part:09d}"


def _hour_ns(hour: str) -> int:
    """Return when an hour begins, from its name."""
    return int(datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()) * 10**9
