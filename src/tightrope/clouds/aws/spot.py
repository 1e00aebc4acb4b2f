"""Spot prices by zone from AWS's spot price history, and interruptions from its Spot Instance Advisor.

The history (EC2 DescribeSpotPriceHistory) needs an AWS account; its credentials come from boto3's own chain, and neither they nor
AWS's messages about them are shown. Without it the price is on-demand less the advisor's savings. Zones are named by id
(``use1-az4``) where the account may read ids: a zone's name (``us-east-1a``) means another zone in each account.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias, cast

from tightrope.base.catalogue import SPOT, PriceRow
from tightrope.clouds.aws.rates import SkippedRates, plausible, rounded_up, trimmed, usd_of
from tightrope.clouds.downloads import Fetcher, on_loopback, reshaped
from tightrope.clouds.refresh import RefreshQuery

ADVISOR_URL = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
ADVISOR = "AWS Spot Instance Advisor [public document]"
HISTORY = "EC2 DescribeSpotPriceHistory, Linux/UNIX [AWS API]"
UPPER_EDGES = {"<5%": 0.05, "5-10%": 0.10, "10-15%": 0.15, "15-20%": 0.20, ">20%": 0.30}
"""The advisor's band → the highest share of machines interrupted in a month; ``>20%`` has no upper edge."""
MOST_TIMES_ON_DEMAND = 10
"""A higher spot price is an error in the list: a zone's price may exceed on-demand, but not by so much."""
TYPES_A_CALL, ROWS_A_PAGE = 100, 1000
WITHOUT = "spot prices are on-demand less the Spot Instance Advisor's savings"
GIVE_CREDENTIALS = "sign in as for the AWS command line (`aws configure`, `aws sso login`, AWS_PROFILE or a role)"
ALLOW = "allow ec2:DescribeSpotPriceHistory and ec2:DescribeAvailabilityZones for these credentials, and enable the region"
Zones: TypeAlias = dict[str, Decimal]
"""Zone → US dollars an hour."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The advisor's figures for a machine in a region."""

    share_saved: Decimal
    """Savings as a share of the on-demand price, in [0, 1)."""
    interruptions_per_month: float


def load_advice(ask: RefreshQuery, fetcher: Fetcher) -> dict[tuple[str, str], Advice]:
    """Return (region, machine) → the advisor's figures for Linux; raise ``SourceError`` for an unknown shape."""
    document = _check_mapping(fetcher.json(ask.at(ADVISOR_URL), "Spot Instance Advisor"), "the document")
    bands = _parse_bands(document.get("ranges"))
    listed = _check_mapping(document.get("spot_advisor"), "spot_advisor")
    found: dict[tuple[str, str], Advice] = {}
    skipped = SkippedRates()
    for region in ask.regions:
        if region in listed:
            linux = _check_mapping(_check_mapping(listed[region], region).get("Linux"), f"Linux in {region}")
            for machine, entry in linux.items():
                advice = _parse_advice(_check_mapping(entry, machine), bands)
                if advice is None:
                    skipped.add("implausible savings or band of the Spot Instance Advisor", machine)
                else:
                    found[region, machine] = advice
    skipped.note(fetcher, "spot")
    return found


def _check_mapping(value: object, what: str) -> dict[str, object]:
    """Return an object of the advisor's document."""
    if not isinstance(value, dict):
        raise reshaped(ADVISOR, value, f"an object as {what}")
    return cast("dict[str, object]", value)


def _parse_bands(ranges: object) -> dict[object, float]:
    """Return a band's index → its upper edge."""
    bands = [_check_mapping(band, "a band") for band in ranges] if isinstance(ranges, list) else []
    labels = {band.get("index"): str(band.get("label")) for band in bands}
    if not labels or not set(labels.values()) <= set(UPPER_EDGES):
        raise reshaped(ADVISOR, ranges, f"the bands {', '.join(UPPER_EDGES)}")
    return {index: UPPER_EDGES[label] for index, label in labels.items()}


def _parse_advice(entry: Mapping[str, object], bands: Mapping[object, float]) -> Advice | None:
    """Return the figures for one machine, None if implausible; raise ``SourceError`` if one is missing."""
    if not {"s", "r"} <= entry.keys():
        raise reshaped(ADVISOR, entry, "savings 's' and a band 'r'")
    saved, band = entry["s"], entry["r"]
    if isinstance(saved, bool) or not isinstance(saved, int) or not 0 <= saved < 100 or not isinstance(band, int):
        return None
    return Advice(Decimal(saved) / 100, bands[band]) if band in bands else None


# ------------------------------------------------------------------------------------------------------------- history


def load_history(
    region: str, machines: Sequence[str], ask: RefreshQuery, fetcher: Fetcher, skipped: SkippedRates
) -> dict[str, Zones]:
    """Return machine → zone → the spot price in force; empty, with a note to the user, if the history is unavailable."""
    if ask.endpoint and not on_loopback(ask.endpoint):
        fetcher.note(f"aws: no spot prices by zone, credentials are sent only to AWS, not to a mirror: {WITHOUT}")
        return {}
    try:
        import botocore.exceptions  # an optional part of the installation
    except ImportError:
        fetcher.note(f"aws: no spot prices by zone, boto3 is missing: {WITHOUT}; to get them, pip install 'tightrope[aws]'")
        return {}
    try:
        return _fetch_history(_make_client(region, ask), machines, skipped)
    except botocore.exceptions.NoCredentialsError:
        fetcher.note(f"aws: no spot prices by zone, there are no credentials: {WITHOUT}; to get them, {GIVE_CREDENTIALS}")
    except botocore.exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))[:60]
        fetcher.note(f"aws {region}: no spot prices by zone, AWS refused them ({code}): {WITHOUT}; {ALLOW}")
    except botocore.exceptions.BotoCoreError as error:
        fetcher.note(f"aws {region}: no spot prices by zone, the request failed ({type(error).__name__}): {WITHOUT}")
    return {}


def _make_client(region: str, ask: RefreshQuery) -> Any:  # noqa: ANN401 - boto3 creates its clients' classes at run time
    """Return boto3's EC2 client of a region, with boto3's own credentials."""
    import boto3  # an optional part of the installation
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=20, read_timeout=60)
    return boto3.Session().client("ec2", region_name=region, endpoint_url=ask.endpoint or None, config=config)


def _fetch_history(client: Any, machines: Sequence[str], skipped: SkippedRates) -> dict[str, Zones]:  # noqa: ANN401
    """Return machine → zone → the newest price."""
    newest: dict[tuple[str, str], tuple[datetime, Decimal]] = {}
    pages = client.get_paginator("describe_spot_price_history")
    names: dict[str, str] = {}
    for start in range(0, len(machines), TYPES_A_CALL):
        query = {
            "InstanceTypes": list(machines[start : start + TYPES_A_CALL]),
            "ProductDescriptions": ["Linux/UNIX"],
            "StartTime": datetime.now(UTC),  # with no end: the prices in force
            "PaginationConfig": {"PageSize": ROWS_A_PAGE},
        }
        for page in pages.paginate(**query):
            for machine, zone, zone_id, when, usd in map(_parse_row, page.get("SpotPriceHistory", [])):
                names[zone] = zone_id or names.get(zone, "")
                if not plausible(usd):
                    skipped.add("implausible spot price", machine)
                elif (machine, zone) not in newest or newest[machine, zone][0] < when:
                    newest[machine, zone] = when, usd
    ids = {zone: name for zone, name in names.items() if name} or _fetch_zone_ids(client)
    found: dict[str, Zones] = defaultdict(dict)
    for (machine, zone), (_, usd) in newest.items():
        found[machine][ids.get(zone, zone)] = usd
    return dict(found)


def _parse_row(row: Mapping[str, object]) -> tuple[str, str, str, datetime, Decimal]:
    """Return one row of the history: machine, zone, the zone's id if stated, time, and US dollars an hour."""
    machine, zone, when = row.get("InstanceType"), row.get("AvailabilityZone"), row.get("Timestamp")
    if not isinstance(machine, str) or not isinstance(zone, str) or not isinstance(when, datetime) or "SpotPrice" not in row:
        raise reshaped(HISTORY, sorted(row), "InstanceType, AvailabilityZone, Timestamp and SpotPrice")
    return machine, zone, str(row.get("AvailabilityZoneId") or ""), when, usd_of(row["SpotPrice"], HISTORY)


def _fetch_zone_ids(client: Any) -> dict[str, str]:  # noqa: ANN401
    """Return zone name → zone id, empty if the account may not read them."""
    from botocore.exceptions import ClientError

    try:
        zones = client.describe_availability_zones()["AvailabilityZones"]
    except ClientError:
        return {}
    return {zone["ZoneName"]: zone["ZoneId"] for zone in zones if zone.get("ZoneId")}


# ---------------------------------------------------------------------------------------------------------------- rows


def spot_rows(
    on_demand: Mapping[str, PriceRow],
    history: Mapping[str, Zones],
    advice: Mapping[tuple[str, str], Advice],
    skipped: SkippedRates,
) -> list[PriceRow]:
    """Return the spot rows of the machines of ``on_demand``: each region's row, then its zones' rows.

    A region's price is the mean over its zones, rounded up; without zones, on-demand less the advisor's savings.
    """
    rows: list[PriceRow] = []
    for machine, row in sorted(on_demand.items()):
        advised = advice.get((row.region, machine))
        zones = dict(_keep_plausible(history.get(machine, {}), row, skipped))
        if zones:
            rows += _make_zone_rows(row, zones, advised)
        elif advised is not None:
            usd_per_hour = rounded_up(row.usd_per_hour * (1 - advised.share_saved))
            source = f"on-demand × (1 − savings): {ADVISOR}; on-demand: {row.source}"
            if plausible(usd_per_hour):
                rows.append(_make_row(row, usd_per_hour, advised, "derived", source, 0, ""))
            else:
                skipped.add("implausible spot price", machine)
    return rows


def _keep_plausible(zones: Zones, on_demand: PriceRow, skipped: SkippedRates) -> Iterator[tuple[str, Decimal]]:
    """Yield the zones with a plausible price, by name."""
    for zone, usd in sorted(zones.items()):
        if usd <= on_demand.usd_per_hour * MOST_TIMES_ON_DEMAND:
            yield zone, trimmed(usd)
        else:
            skipped.add("implausible spot price", on_demand.machine)


def _make_zone_rows(on_demand: PriceRow, zones: Zones, advice: Advice | None) -> Iterator[PriceRow]:
    """Yield the row of the region, then those of its zones."""
    suffix = f"; interruptions: {ADVISOR}" if advice else ""
    mean = rounded_up(sum(zones.values(), Decimal(0)) / len(zones))
    yield _make_row(on_demand, mean, advice, "derived", f"mean over zones of {HISTORY}{suffix}", len(zones), "")
    for zone, usd in zones.items():
        yield _make_row(on_demand, usd, advice, "list", f"{HISTORY}{suffix}", 1, zone)


def _make_row(
    on_demand: PriceRow,
    usd_per_hour: Decimal,
    advice: Advice | None,
    basis: Literal["list", "derived"],
    source: str,
    zones: int,
    zone: str,
) -> PriceRow:
    """Return one spot row of an on-demand row's machine."""
    return PriceRow(
        cloud="aws",
        region=on_demand.region,
        machine=on_demand.machine,
        offer=SPOT,
        usd_per_hour=usd_per_hour,
        zones=zones,
        interruptions_per_month=None if advice is None else advice.interruptions_per_month,
        basis=basis,
        source=source,
        seen=on_demand.seen,
        zone=zone,
    )
