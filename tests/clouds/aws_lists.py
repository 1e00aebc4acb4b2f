"""AWS's price lists in small, as JSON and CSV: offer files and Savings Plan files.

The shapes are those of the Price List Bulk API as AWS documents them ("Reading the price list files", AWS Billing user guide) and
as public tools that read it show them; the facts are a few, with the distractors that a reader must leave alone: other systems,
tenancies and capacity states, reserved capacity, capacity blocks.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def _names(text: str) -> list[str]:
    """Return the names that a header row holds."""
    return text.split(",")


VERSION = "20261120120000"
HOURLY, UPFRONT = "6YS6EN2CT7", "2TG2D8R56U"
PAYMENTS = {"No Upfront": 0.0, "Partial Upfront": 0.5, "All Upfront": 1.0}
EC2_COLUMNS = _names(
    "SKU,OfferTermCode,RateCode,TermType,PriceDescription,EffectiveDate,StartingRange,EndingRange,Unit,PricePerUnit,Currency,"
    "RelatedTo,LeaseContractLength,PurchaseOption,OfferingClass,Product Family,serviceCode,Location,Location Type,Instance Type,"
    "Current Generation,Instance Family,vCPU,Physical Processor,Clock Speed,Memory,Storage,Network Performance,"
    "Processor Architecture,Storage Media,Volume Type,Tenancy,EBS Optimized,Operating System,License Model,usageType,operation,"
    "AvailabilityZone,CapacityStatus,ECU,GPU,GPU Memory,instanceSKU,MarketOption,Normalization Size Factor,Pre Installed S/W,"
    "Processor Features,Region Code,From Region Code,serviceName,Volume API Name,VPCNetworkingSupport"
)
SAVINGS_COLUMNS = _names(
    "SKU,RateCode,Unit,EffectiveDate,DiscountedRate,Currency,DiscountedSKU,DiscountedServiceCode,DiscountedUsageType,"
    "DiscountedOperation,PurchaseOption,LeaseContractLength,LeaseContractLengthUnit,ServiceCode,UsageType,Operation,Description,"
    "Instance Family,Location,Location Type,Granularity,Product Family,DiscountedRegionCode,DiscountedInstanceType"
)
OF_MACHINES = {
    *(
        "Instance Type",
        "vCPU",
        "Memory",
        "Operating System",
        "Tenancy",
        "CapacityStatus",
        "Pre Installed S/W",
        "GPU",
        "MarketOption",
    ),
    *("LeaseContractLength", "PurchaseOption", "OfferingClass", "Network Performance"),
}
"""Columns that only the offer file of EC2 has."""
ATTRIBUTES = {
    "servicecode": "serviceCode",
    "location": "Location",
    "locationType": "Location Type",
    "instanceType": "Instance Type",
    "vcpu": "vCPU",
    "physicalProcessor": "Physical Processor",
    "memory": "Memory",
    "storage": "Storage",
    "networkPerformance": "Network Performance",
    "tenancy": "Tenancy",
    "operatingSystem": "Operating System",
    "licenseModel": "License Model",
    "usagetype": "usageType",
    "operation": "operation",
    "capacitystatus": "CapacityStatus",
    "gpu": "GPU",
    "gpuMemory": "GPU Memory",
    "marketoption": "MarketOption",
    "preInstalledSw": "Pre Installed S/W",
    "regionCode": "Region Code",
    "fromRegionCode": "From Region Code",
    "servicename": "serviceName",
    "volumeApiName": "Volume API Name",
}
"""The attribute in JSON → the column in CSV."""


@dataclass
class Dimension:
    """One price of a term."""

    unit: str
    price: str
    currency: str = "USD"
    begin: str = "0"

    @property
    def code(self) -> str:
        """The last part of its rate code."""
        first = UPFRONT if self.unit == "Quantity" else HOURLY
        return first if self.begin == "0" else f"TIER{self.begin}"


@dataclass
class Term:
    """One way of paying for a product."""

    code: str
    dimensions: list[Dimension]
    kind: str = "OnDemand"
    effective: str = "2026-11-01"
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Product:
    """One SKU of an offer file."""

    sku: str
    attributes: dict[str, str]
    terms: list[Term]
    family: str = "Compute Instance"


def reserved(usd_per_hour: float, *, classes: Sequence[str] = ("standard", "convertible")) -> Iterator[Term]:
    """Yield the reserved terms of a machine: standard 30 % (1 year) and 50 % (3 years) off, convertible 5 points less."""
    for index, (offering, years, payment) in enumerate((c, y, p) for c in classes for y in (1, 3) for p in PAYMENTS):
        rate = usd_per_hour * ((0.7 if years == 1 else 0.5) + (0.05 if offering == "convertible" else 0.0))
        share = PAYMENTS[payment]
        dimensions = [Dimension("Hrs", f"{rate * (1 - share):.10f}")]
        if share:
            dimensions.insert(0, Dimension("Quantity", f"{rate * share * years * 8760:.0f}"))
        attributes = {"LeaseContractLength": f"{years}yr", "OfferingClass": offering, "PurchaseOption": payment}
        yield Term(f"RI{index:08d}", dimensions, "Reserved", attributes=attributes)


def linux(
    machine: str,
    usd_per_hour: str,
    *,
    vcpu: int = 4,
    memory: str = "16 GiB",
    gpu: str = "",
    network: str = "Up to 10 Gigabit",
    region: str = "us-east-1",
    terms: Iterable[Term] = (),
    **changed: str,
) -> Product:
    """Return a machine as the offer file lists it (Linux, shared tenancy, used), with some attributes ``changed``."""
    attributes = {
        "servicecode": "AmazonEC2",
        "location": "US East (N. Virginia)",
        "locationType": "AWS Region",
        "instanceType": machine,
        "vcpu": str(vcpu),
        "physicalProcessor": "Intel Xeon Platinum 8259CL",
        "memory": memory,
        "storage": "EBS only",
        "networkPerformance": network,
        "tenancy": "Shared",
        "operatingSystem": "Linux",
        "licenseModel": "No License required",
        "usagetype": f"BoxUsage:{machine}",
        "operation": "RunInstances",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
        "preInstalledSw": "NA",
        "regionCode": region,
        "servicename": "Amazon Elastic Compute Cloud",
    }
    if gpu:
        attributes |= {"gpu": gpu, "gpuMemory": "NA"}
    attributes |= changed
    sku = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()[:16].upper()
    found = [Term("JRTCKXETXF", [Dimension("Hrs", usd_per_hour)]), *terms]
    return Product(sku, {name: value for name, value in attributes.items() if value}, found)


def catalogue(region: str = "us-east-1") -> list[Product]:
    """Return a few machines of a region, and what is sold beside them that no reader should take for them."""

    def kind(machine: str, usd: str, **facts: Any) -> Product:
        return linux(machine, usd, region=region, **facts)

    plain = [
        kind("g6.xlarge", "0.8048000000", gpu="1", terms=reserved(0.8048)),
        kind("g6.12xlarge", "4.6016000000", vcpu=48, memory="192 GiB", gpu="4", network="40 Gigabit", terms=reserved(4.6016)),
        kind("c6i.large", "0.0850000000", vcpu=2, memory="4 GiB", network="Up to 12500 Megabit", terms=reserved(0.085)),
        kind("c6i.xlarge", "0.1700000000", memory="8 GiB", network="Up to 12500 Megabit", terms=reserved(0.17)),
        kind("p5.48xlarge", "55.0400000000", vcpu=192, memory="2,048 GiB", gpu="8", network="3200 Gigabit"),
    ]
    beside = [
        kind("g6.xlarge", "0.9888000000", operatingSystem="Windows", operation="RunInstances:0002"),
        kind("g6.xlarge", "1.2848000000", preInstalledSw="SQL Web", operation="RunInstances:0200"),
        kind("g6.xlarge", "0.8853000000", tenancy="Dedicated", usagetype="DedicatedUsage:g6.xlarge"),
        kind("g6.xlarge", "0.8048000000", capacitystatus="UnusedCapacityReservation", usagetype="UnusedBox:g6.xlarge"),
        kind("g6.xlarge", "0.0000000000", capacitystatus="AllocatedCapacityReservation", usagetype="Reservation:g6.xlarge"),
        kind("p5.48xlarge", "0.0000000000", vcpu=192, marketoption="CapacityBlock", usagetype="CapacityBlock:p5.48xlarge"),
        kind("x9.large", "0.1000000000"),
    ]
    return [*plain, *beside, *metered(region)["AmazonEC2"]]


def metered(region: str = "us-east-1", code: str = "") -> dict[str, list[Product]]:
    """Return service → what is sold by other units than hours of machines, and what is sold beside it."""

    def one(family: str, usage: str, unit: str, *tiers: tuple[str, str], **facts: str) -> Product:
        attributes = {"usagetype": f"{code}{usage}", "regionCode": region} | facts
        sku = hashlib.sha256(f"{family} {attributes}".encode()).hexdigest()[:16].upper()
        terms = [Term("JRTCKXETXF", [Dimension(unit, usd, begin=begin) for begin, usd in tiers])]
        return Product(sku, {name: value for name, value in attributes.items() if value}, terms, family)

    def flat(family: str, usage: str, unit: str, usd: str, **facts: str) -> Product:
        return one(family, usage, unit, ("0", usd), **facts)

    egress = (("0", "0.0900000000"), ("10240", "0.0850000000"), ("51200", "0.0700000000"), ("153600", "0.0500000000"))
    outward = {"regionCode": "", "fromRegionCode": region}
    return {
        "AmazonEC2": [
            flat("Storage", "EBS:VolumeUsage.gp3", "GB-Mo", "0.0800000000", volumeApiName="gp3"),
            flat("Storage", "EBS:VolumeUsage.gp2", "GB-Mo", "0.1000000000", volumeApiName="gp2"),
            flat("NAT Gateway", "NatGateway-Hours", "Hrs", "0.0450000000"),
            flat("NAT Gateway", "NatGateway-Bytes", "GB", "0.0450000000"),
            flat("NAT Gateway", "RegionalNatGateway-Hours", "Hrs", "0.0460000000"),
            flat("Storage", "LAX1-EBS:VolumeUsage.gp3", "GB-Mo", "0.0960000000", regionCode="us-west-2-lax-1"),
        ],
        "AWSDataTransfer": [
            one("Data Transfer", "DataTransfer-Out-Bytes", "GB", *egress, **outward),
            flat("Data Transfer", "DataTransfer-Regional-Bytes", "GB", "0.0100000000", **outward),
            flat("Data Transfer", "DataTransfer-In-Bytes", "GB", "0.0000000000", regionCode=""),
            one("Data Transfer", "DataTransfer-Out-Bytes", "GB", ("0", "0.12"), regionCode="", fromRegionCode="us-west-2-lax-1"),
        ],
        "AmazonS3": [
            one("Storage", "TimedStorage-ByteHrs", "GB-Mo", ("0", "0.0230000000"), ("51200", "0.0220000000")),
            flat("Storage", "TimedStorage-SIA-ByteHrs", "GB-Mo", "0.0125000000"),
            flat("API Request", "Requests-Tier1", "Requests", "0.0000050000"),
            flat("API Request", "Requests-Tier2", "Requests", "0.0000004000"),
        ],
        "AWSELB": [
            flat("Load Balancer-Application", "LoadBalancerUsage", "Hrs", "0.0225000000"),
            flat("Load Balancer-Application", "TS-LoadBalancerUsage", "Hrs", "0.0063000000"),
            flat("Load Balancer-Application", "LCUUsage", "LCU-Hrs", "0.0080000000"),
            flat("Load Balancer-Network", "LCUUsage", "NLCU-Hrs", "0.0060000000"),
        ],
    }


def ec2_json(products: Iterable[Product]) -> dict[str, Any]:
    """Return the offer file as its JSON document."""
    products = list(products)
    terms: dict[str, Any] = {"OnDemand": {}, "Reserved": {}}
    for product in products:
        for term in product.terms:
            name = f"{product.sku}.{term.code}"
            terms[term.kind].setdefault(product.sku, {})[name] = {
                "offerTermCode": term.code,
                "sku": product.sku,
                "effectiveDate": f"{term.effective}T00:00:00Z",
                "priceDimensions": {
                    f"{name}.{dimension.code}": {
                        "rateCode": f"{name}.{dimension.code}",
                        "description": "as listed",
                        **({} if dimension.unit == "Quantity" else {"beginRange": dimension.begin, "endRange": "Inf"}),
                        "unit": dimension.unit,
                        "pricePerUnit": {dimension.currency: dimension.price},
                        "appliesTo": [],
                    }
                    for dimension in term.dimensions
                },
                "termAttributes": term.attributes,
            }
    listed = {p.sku: {"sku": p.sku, "productFamily": p.family, "attributes": p.attributes} for p in products}
    return {"formatVersion": "v1.0", "offerCode": "AmazonEC2", "version": VERSION, "products": listed, "terms": terms}


def ec2_rows(products: Iterable[Product]) -> Iterator[dict[str, str]]:
    """Yield the offer file's CSV rows, one a price."""
    for product in products:
        facts = {ATTRIBUTES[name]: value for name, value in product.attributes.items()}
        for term in product.terms:
            for dimension in term.dimensions:
                yield facts | {
                    "SKU": product.sku,
                    "OfferTermCode": term.code,
                    "RateCode": f"{product.sku}.{term.code}.{dimension.code}",
                    "TermType": term.kind,
                    "PriceDescription": 'as listed, "all in", per hour',
                    "EffectiveDate": term.effective,
                    "StartingRange": "" if dimension.unit == "Quantity" else dimension.begin,
                    "Unit": dimension.unit,
                    "PricePerUnit": dimension.price,
                    "Currency": dimension.currency,
                    "Product Family": product.family,
                    **term.attributes,
                }


def as_csv(rows: Iterable[Mapping[str, str]], columns: Sequence[str], code: str = "AmazonEC2") -> bytes:
    """Return rows as AWS writes a price list: five rows about the file, the names of the columns, the rows."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    about = {"FormatVersion": "v1.0", "Disclaimer": "This pricing list is for informational purposes only. All prices, too."}
    writer.writerows([*about.items(), ("Publication Date", "2026-11-20T12:00:00Z"), ("Version", VERSION), ("OfferCode", code)])
    writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return file.getvalue().encode()


@dataclass
class Plan:
    """One Savings Plan: what it takes off the on-demand price, of which products."""

    sku: str
    kind: str
    years: int
    payment: str
    rates: dict[str, str]
    """SKU of the discounted product → rate."""
    unit: str = "Hrs"
    currency: str = "USD"
    effective: str = "2026-11-01T00:00:00Z"
    length_unit: str = "year"


def plans(products: Iterable[Product]) -> list[Plan]:
    """Return every plan of both kinds, in the same keys: Compute 20 or 40 % off, EC2 Instance 5 points more; a third kind too."""
    found = []
    hourly = {p.sku: float(p.terms[0].dimensions[0].price) for p in products if p.family == "Compute Instance"}
    for kind, more in (("ComputeSavingsPlans", 0.0), ("EC2InstanceSavingsPlans", 0.05), ("DatabaseSavingsPlans", 0.5)):
        for years in (1, 3):
            for payment, share in PAYMENTS.items():
                off = 0.2 * (1 if years == 1 else 2) + more + share / 100
                rates = {sku: f"{usd * (1 - off):.6f}" for sku, usd in hourly.items() if usd}
                found.append(Plan(f"{kind[:4]}{years}{payment[:2]}".upper(), kind, years, payment, rates))
    return found


def plans_json(listed: Iterable[Plan]) -> dict[str, Any]:
    """Return a Savings Plan file as its JSON document."""
    listed = list(listed)
    products = [
        {
            "sku": plan.sku,
            "productFamily": plan.kind,
            "serviceCode": "ComputeSavingsPlans",
            "usageType": f"ComputeSP:{plan.years}yr{plan.payment.replace(' ', '')}",
            "attributes": {"purchaseOption": plan.payment, "granularity": "hourly", "purchaseTerm": f"{plan.years}yr"},
        }
        for plan in listed
    ]
    terms = [
        {
            "sku": plan.sku,
            "description": f"{plan.years} year {plan.payment}",
            "effectiveDate": plan.effective,
            "leaseContractLength": {"duration": plan.years, "unit": plan.length_unit},
            "rates": [
                {
                    "discountedSku": sku,
                    "discountedUsageType": "BoxUsage",
                    "discountedOperation": "RunInstances",
                    "discountedServiceCode": "AmazonEC2",
                    "rateCode": f"{plan.sku}.{sku}",
                    "unit": plan.unit,
                    "discountedRate": {"price": price, "currency": plan.currency},
                }
                for sku, price in plan.rates.items()
            ],
        }
        for plan in listed
    ]
    return {"version": VERSION, "regionCode": "us-east-1", "products": products, "terms": {"savingsPlan": terms}}


def plan_rows(listed: Iterable[Plan]) -> Iterator[dict[str, str]]:
    """Yield a Savings Plan file's CSV rows, one a rate."""
    for plan in listed:
        for sku, price in plan.rates.items():
            yield {
                "SKU": plan.sku,
                "RateCode": f"{plan.sku}.{sku}",
                "Unit": plan.unit,
                "EffectiveDate": plan.effective,
                "DiscountedRate": price,
                "Currency": plan.currency,
                "DiscountedSKU": sku,
                "DiscountedServiceCode": "AmazonEC2",
                "PurchaseOption": plan.payment,
                "LeaseContractLength": str(plan.years),
                "LeaseContractLengthUnit": plan.length_unit,
                "ServiceCode": "ComputeSavingsPlans",
                "Product Family": plan.kind,
            }
