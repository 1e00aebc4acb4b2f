"""AWS's price server in small: the index, each region's lists (``aws_lists.py``), and the Spot Advisor."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.clouds import aws_lists
from tests.clouds.aws_lists import Plan, Product
from tests.clouds.loopback import Loopback

RANGES = [
    {"index": index, "label": label, "dots": index, "max": top}
    for index, (label, top) in enumerate([("<5%", 5), ("5-10%", 11), ("10-15%", 16), ("15-20%", 22), (">20%", 100)])
]


def advisor(regions: Iterable[str], facts: Mapping[str, tuple[object, object]]) -> dict[str, Any]:
    """Return the Spot Advisor's document: machine → (percent saved, index of the band), the same in every region."""
    listed = {machine: {"s": saved, "r": band} for machine, (saved, band) in facts.items()}
    return {"ranges": RANGES, "instance_types": {}, "spot_advisor": {name: {"Linux": listed, "Windows": {}} for name in regions}}


INDEX = "/offers/v1.0/aws/index.json"
PLAN_INDEX = "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan/current/region_index.json"
ADVISOR = "/spot-advisor-data.json"
SERVICES = ("AmazonEC2", "AWSDataTransfer", "AmazonS3", "AWSELB")


def index_path(service: str = "AmazonEC2") -> str:
    """Return where a service's regions are listed."""
    return f"/offers/v1.0/aws/{service}/current/region_index.json"


def offer_path(region: str = "us-east-1", suffix: str = "csv", service: str = "AmazonEC2") -> str:
    """Return where a region's offer file is served."""
    return f"/offers/v1.0/aws/{service}/{aws_lists.VERSION}/{region}/index.{suffix}"


def plan_path(region: str = "us-east-1", suffix: str = "csv") -> str:
    """Return where a region's Savings Plan file is served."""
    return f"/savingsPlan/v1.0/aws/AWSComputeSavingsPlan/{aws_lists.VERSION}/{region}/index.{suffix}"


def serve_indexes(server: Loopback, regions: Sequence[str] = ("us-east-1",), services: Sequence[str] = SERVICES) -> None:
    """Serve the way from the root to each region's files."""
    offers = {name: {"currentRegionIndexUrl": index_path(name), "currentSavingsPlanIndexUrl": PLAN_INDEX} for name in services}
    server.serve(INDEX, json.dumps({"offers": offers}))
    for service in services:
        files = {name: {"regionCode": name, "currentVersionUrl": offer_path(name, "json", service)} for name in regions}
        server.serve(index_path(service), json.dumps({"formatVersion": "v1.0", "regions": files}))
    listed = [{"regionCode": name, "versionUrl": plan_path(name, "json")} for name in regions]
    server.serve(PLAN_INDEX, json.dumps({"regions": listed}))


def serve_region(
    server: Loopback,
    region: str = "us-east-1",
    *,
    products: Sequence[Product] | None = None,
    listed: Sequence[Plan] | None = None,
    gzip: bool = False,
    others: Mapping[str, Sequence[Product]] | None = None,
) -> None:
    """Serve a region's offer files and Savings Plan file, in both formats."""
    products = aws_lists.catalogue(region) if products is None else products
    listed = aws_lists.plans(products) if listed is None else listed
    offers = {**aws_lists.metered(region), **(others or {}), "AmazonEC2": products}
    for service, sold in offers.items():
        columns = (
            aws_lists.EC2_COLUMNS
            if service == "AmazonEC2"
            else [name for name in aws_lists.EC2_COLUMNS if name not in aws_lists.OF_MACHINES]
        )
        server.serve(offer_path(region, "csv", service), aws_lists.as_csv(aws_lists.ec2_rows(sold), columns, service), gzip=gzip)
        server.serve(offer_path(region, "json", service), json.dumps(aws_lists.ec2_json(sold), indent=2), gzip=gzip)
    server.serve(
        plan_path(region),
        aws_lists.as_csv(aws_lists.plan_rows(listed), aws_lists.SAVINGS_COLUMNS, "AmazonComputeSavingsPlan"),
        gzip=gzip,
    )
    server.serve(plan_path(region, "json"), json.dumps(aws_lists.plans_json(listed), indent=2), gzip=gzip)


SAVED = {"g6.xlarge": (60, 2), "g6.12xlarge": (45, 4), "c6i.large": (50, 0), "c6i.xlarge": (50, 1), "p5.48xlarge": (70, 3)}


def serve_advisor(server: Loopback, regions: Sequence[str] = ("us-east-1",), facts: Mapping[str, Any] = SAVED) -> None:
    """Serve the Spot Advisor's document."""
    server.serve(ADVISOR, json.dumps(advisor(regions, facts)))
