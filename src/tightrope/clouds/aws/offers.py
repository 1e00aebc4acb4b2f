"""What counts in AWS's offer file of EC2, in whatever format it came (``offers_csv.py``, ``offers_json.py``).

A product counts where it is Linux without further software, of shared tenancy, and no capacity reservation or capacity block: a
machine's other products cost something else, or nothing. Shapes: AWS Billing user guide, "Reading the service price list file for
an AWS service".
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


@dataclass(frozen=True, slots=True)
class Product:
    """A machine of the offer file, its attributes as AWS writes them, empty where it says nothing."""

    machine: str
    vcpu: str
    memory: str
    gpu: str
    network: str


@dataclass(frozen=True, slots=True)
class ListPrice:
    """One price of one term of a product, as AWS writes it: a term may have one by the hour and one that is paid at its start."""

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


@dataclass(slots=True)
class Listing:
    """What counts in one region's offer file."""

    where: str
    """The file, for messages."""
    region: str
    families: frozenset[str]
    """Families that the price book knows; others are only named."""
    version: str = ""
    products: dict[str, Product] = field(default_factory=dict)
    """SKU → machine."""
    prices: list[ListPrice] = field(default_factory=list)
    other_families: set[str] = field(default_factory=set)

    def keep(self, sku: str, family: str, attributes: Mapping[str, str]) -> bool:
        """Return whether a product counts, and keep it if so."""
        if family not in FAMILIES or any(attributes.get(name) != value for name, value in KEPT.items()):
            return False
        sold, region = attributes.get("marketoption") or "OnDemand", attributes.get("regionCode") or self.region
        if sold != "OnDemand" or region != self.region:
            return False
        machine = attributes.get("instanceType", "")
        if machine.partition(".")[0] not in self.families:
            self.other_families.add(machine.partition(".")[0])
            return False
        said = (attributes.get(name, "") for name in ("vcpu", "memory", "gpu", "networkPerformance"))
        self.products[sku] = Product(machine, *said)
        return True

    @property
    def source(self) -> str:
        """The public source of what the file says."""
        version = f", version {self.version}" if self.version else ""
        return f"AWS Price List, offer file AmazonEC2 of {self.region}{version} [public price list]"


def described(product: Product, known: Mapping[str, MachineType], today: date) -> MachineType | None:
    """Return a new size of a family that ``known`` machines belong to, None where its attributes do not say enough."""
    family = product.machine.partition(".")[0]
    siblings = [machine for machine in known.values() if machine.family == family]
    memory = SIZE.fullmatch(product.memory.replace(",", ""))
    accelerators = _accelerators(product, siblings)
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


def _accelerators(product: Product, siblings: list[MachineType]) -> int | None:
    """Return how many accelerators a size has; None where nothing says so, or the family's are of more than one kind."""
    kinds = {(machine.accelerator, machine.accelerator_memory_gib, machine.arch) for machine in siblings}
    if len(kinds) != 1:
        return None
    if not siblings[0].accelerator:
        return 0 if product.gpu in {"", "NA", "0"} else None
    return int(product.gpu) if product.gpu.isdecimal() and int(product.gpu) > 0 else None


def network_gbps(text: str) -> float | None:
    """Return a bandwidth in gigabits a second, None where it is told in words.

    >>> network_gbps("Up to 12500 Megabit"), network_gbps("4x 100 Gigabit"), network_gbps("Low to Moderate")
    (12.5, 400.0, None)
    """
    found = BANDWIDTH.fullmatch(text)
    if found is None or float(found[2]) == 0:
        return None
    return int(found[1] or 1) * float(found[2]) / (1000 if found[3] == "Megabit" else 1)
