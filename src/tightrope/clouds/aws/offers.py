"""The relevant products of AWS's offer files, in either format (``offers_csv.py``, ``offers_json.py``).

A machine counts if it is Linux without further software, of shared tenancy, and no capacity reservation or capacity block: its
other products have other prices, or none. Storage, traffic, NAT gateways and load balancers (``METERS``) are found by product
family and usage type (``NatGateway-Hours``; most regions put a code before it: ``EUW2-NatGateway-Hours``).
Shapes: AWS Billing user guide, "Reading the service price list file for an AWS service".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from tightrope.base.catalogue import MachineType

KEPT = {"operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used"}
"""Attributes of the products that count."""
FAMILIES = frozenset({"Compute Instance", "Compute Instance (bare metal)"})
SIZE = re.compile(r"(\d{1,7}(?:\.\d+)?) GiB", re.ASCII)
BANDWIDTH = re.compile(r"(?:Up to )?(?:(\d{1,3})\s?x )?(\d{1,7}(?:\.\d+)?) (Gigabit|Megabit)", re.ASCII)
SIZES_SOURCE = "AWS Price List, offer file AmazonEC2 [public price list]; the accelerator as in the family's other sizes"
REGION_CODE = re.compile(r"\A(?!TS-)[A-Z]{2,4}\d?-", re.ASCII)
"""The region's prefix of a usage type; ``TS-`` is no region, but another kind of load balancer."""


@dataclass(frozen=True, slots=True)
class AwsMeter:
    """An item of the price book and AWS's name for it."""

    item: str
    unit: str
    family: str
    usage: str
    """The usage type, without a region's code."""
    units: frozenset[str]
    """AWS's names of the price's unit."""
    times: int = 1
    """AWS's units in one unit of the price book."""
    free: int = 0
    """Free units a month, even if the list has no free tier."""


_GB, _GB_MONTHS, _HOURS = frozenset({"GB"}), frozenset({"GB-Mo", "GB-month"}), frozenset({"Hrs", "hours", "Hours"})
_LCU_HOURS, _REQUESTS = frozenset({"LCU-Hrs", "LCU-hours", "LCU-Hours"}), frozenset({"Requests", "Request"})
EC2 = "AmazonEC2"
METERS = {
    EC2: (
        AwsMeter("block-storage", "GB-month", "Storage", "EBS:VolumeUsage.gp3", _GB_MONTHS),
        AwsMeter("nat-gateway", "hour", "NAT Gateway", "NatGateway-Hours", _HOURS),
        AwsMeter("nat-gateway-traffic", "GB", "NAT Gateway", "NatGateway-Bytes", _GB),
    ),
    "AWSDataTransfer": (
        AwsMeter("internet-egress", "GB", "Data Transfer", "DataTransfer-Out-Bytes", _GB, free=100),
        AwsMeter("inter-zone-transfer", "GB each way", "Data Transfer", "DataTransfer-Regional-Bytes", _GB),
    ),
    "AmazonS3": (
        AwsMeter("object-storage", "GB-month", "Storage", "TimedStorage-ByteHrs", _GB_MONTHS),
        AwsMeter("object-storage-writes", "million requests", "API Request", "Requests-Tier1", _REQUESTS, times=1_000_000),
        AwsMeter("object-storage-reads", "million requests", "API Request", "Requests-Tier2", _REQUESTS, times=1_000_000),
    ),
    "AWSELB": (
        AwsMeter("load-balancer", "hour", "Load Balancer-Application", "LoadBalancerUsage", _HOURS),
        AwsMeter("load-balancer-traffic", "LCU-hour", "Load Balancer-Application", "LCUUsage", _LCU_HOURS),
    ),
}
"""Offer file → its meters. AWS gives 100 GB a month of traffic to the internet free of charge (EC2 on-demand pricing page,
"Data Transfer"); its list does not say so everywhere."""


@dataclass(frozen=True, slots=True)
class Product:
    """A machine of the offer file, its attributes as AWS writes them, empty where AWS states none."""

    machine: str
    vcpu: str
    memory: str
    gpu: str
    network: str


@dataclass(frozen=True, slots=True)
class ListPrice:
    """One price of one term of a product, as AWS writes it: a term may have an hourly price and an upfront price."""

    sku: str
    kind: str
    """``OnDemand`` or ``Reserved``."""
    term: str
    effective: str
    unit: str
    currency: str
    price: str
    lease: str = ""
    payment: str = ""
    offering: str = ""
    begin: str = ""
    """Start of its tier, empty for the first."""


@dataclass(slots=True)
class Listing:
    """The relevant products and prices of one service's offer file for one region."""

    region: str
    families: frozenset[str] = frozenset()
    """Machine families in the price book; of others only the names are kept."""
    service: str = EC2
    version: str = ""
    products: dict[str, Product] = field(default_factory=dict)
    """SKU → machine."""
    metered: dict[str, AwsMeter] = field(default_factory=dict)
    """SKU → the price book's item."""
    prices: list[ListPrice] = field(default_factory=list)
    other_families: set[str] = field(default_factory=set)

    def keep(self, sku: str, family: str, attributes: Mapping[str, str]) -> bool:
        """Return whether a product counts, and keep it if so."""
        if any((attributes.get(name) or self.region) != self.region for name in ("regionCode", "fromRegionCode")):
            return False
        if family in FAMILIES:
            return self._keep_machine(sku, attributes)
        usage = attributes.get("usagetype", "")
        for meter in METERS[self.service]:
            if family == meter.family and meter.usage in {usage, REGION_CODE.sub("", usage, count=1)}:
                self.metered[sku] = meter
                return True
        return False

    def _keep_machine(self, sku: str, attributes: Mapping[str, str]) -> bool:
        """Return whether a machine counts, and keep it if so."""
        sold = attributes.get("marketoption") or "OnDemand"
        if sold != "OnDemand" or any(attributes.get(name) != value for name, value in KEPT.items()):
            return False
        machine = attributes.get("instanceType", "")
        if machine.partition(".")[0] not in self.families:
            self.other_families.add(machine.partition(".")[0])
            return False
        facts = (attributes.get(name, "") for name in ("vcpu", "memory", "gpu", "networkPerformance"))
        self.products[sku] = Product(machine, *facts)
        return True

    def counts(self, sku: str) -> bool:
        """Return whether a product was kept."""
        return sku in self.products or sku in self.metered

    @property
    def where(self) -> str:
        """The file's name in messages."""
        return f"AWS Price List, offer file {self.service} of {self.region}"

    @property
    def source(self) -> str:
        """The file as a public source."""
        return f"{self.where}{f', version {self.version}' if self.version else ''} [public price list]"


def described(product: Product, known: Mapping[str, MachineType], today: date) -> MachineType | None:
    """Return a new size of a family of ``known`` machines, None if its attributes are incomplete."""
    family = product.machine.partition(".")[0]
    siblings = [machine for machine in known.values() if machine.family == family]
    memory = SIZE.fullmatch(product.memory.replace(",", ""))
    accelerators = _count_accelerators(product, siblings)
    if not siblings or memory is None or not product.vcpu.isdecimal() or int(product.vcpu) == 0 or accelerators is None:
        return None
    like = siblings[0]
    return MachineType(
        cloud="aws",
        name=product.machine,
        family=family,
        vcpu=int(product.vcpu),
        memory_gib=float(memory[1]),
        arch=like.arch,
        accelerator=like.accelerator,
        accelerators=accelerators,
        accelerator_memory_gib=like.accelerator_memory_gib,
        source=SIZES_SOURCE,
        seen=today,
        network_gbps=network_gbps(product.network),
    )


def _count_accelerators(product: Product, siblings: list[MachineType]) -> int | None:
    """Return the number of a size's accelerators, None if it is unknown or the family has several kinds."""
    kinds = {(machine.accelerator, machine.accelerator_memory_gib, machine.arch) for machine in siblings}
    if len(kinds) != 1:
        return None
    if not siblings[0].accelerator:
        return 0 if product.gpu in {"", "NA", "0"} else None
    return int(product.gpu) if product.gpu.isdecimal() and int(product.gpu) > 0 else None


def network_gbps(text: str) -> float | None:
    """Return a bandwidth in gigabits a second, None where AWS states it in words.

    >>> network_gbps("Up to 12500 Megabit"), network_gbps("4x 100 Gigabit"), network_gbps("Low to Moderate")
    (12.5, 400.0, None)
    """
    found = BANDWIDTH.fullmatch(text)
    if found is None or float(found[2]) == 0:
        return None
    return int(found[1] or 1) * float(found[2]) / (1000 if found[3] == "Megabit" else 1)
