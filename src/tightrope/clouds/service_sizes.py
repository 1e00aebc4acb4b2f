"""Functions and container services: machines without a machine, by the vendors' rules of which sizes there are.

Comes in: a name such as ``lambda-1769mb`` or ``fargate-1vcpu-2gb``. Goes out: the ``MachineType`` of that size, and its price for an hour
from the vendor's unit prices (``unit_prices.csv``), where the book has them. To extend: add a ``VendorService``.

A size costs what its vCPUs and its memory cost; where a vendor writes GB for memory it counts 2³⁰ bytes, so a size's memory is billed by
the number that its name states. Free grants are left out: an account has one for everything that it runs. Tiers for volume are left out
too, so that large bills come out dear rather than cheap.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from tightrope.base.catalogue import MachineType, PriceRow, UnitPrice
from tightrope.base.errors import UnknownNameError, Where, find_near_names

SERVERLESS, CONTAINER = "serverless", "container"
"""The offers under which functions and containers are paid."""
REQUESTS = "serverless-requests"
MIB_PER_GIB = 1024
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes that are sold: one number of vCPUs, or None where they follow from the memory; memory in MiB, in steps."""

    vcpu: Decimal | None
    least_mib: int
    most_mib: int
    step_mib: int

    def hold(self, vcpu: Decimal | None, memory_mib: int) -> bool:
        """Return whether a size is among them."""
        fits = self.least_mib <= memory_mib <= self.most_mib and (memory_mib - self.least_mib) % self.step_mib == 0
        return fits and self.vcpu == vcpu


@dataclass(frozen=True, slots=True)
class VendorService:
    """One vendor's service: which sizes it has, by which unit prices it is paid, and how it behaves."""

    name: str
    """The family of its sizes, and the beginning of their names."""
    cloud: str
    offer: Literal["serverless", "container"]
    arch: str
    sizes: tuple[SizeRange, ...]
    items: tuple[tuple[str, Literal["vcpu", "memory"]], ...]
    """Unit prices of a second or an hour, and what of the size each is multiplied with."""
    source: str
    seen: date
    mib_per_vcpu: int | None = None
    """Where the vCPUs follow from the memory."""
    billed_step_s: float = 0.0
    """A request's time is rounded up to multiples of this."""
    least_billed_s: float = 0.0
    limit_s: float = math.inf
    """Longest time of one request."""
    instances: int = 0
    """Requests at one time that an account may run, before it asks for more."""
    keep_alive_s: float = 0.0
    """Time for which an idle instance stays: not promised by any vendor, but measured."""


def _gib(vcpu: str, least: float, most: float, step: float = 1.0) -> SizeRange:
    """Return sizes whose memory is stated in GiB."""
    return SizeRange(Decimal(vcpu), int(least * MIB_PER_GIB), int(most * MIB_PER_GIB), int(step * MIB_PER_GIB))


FARGATE_SIZES = (
    _gib("0.25", 0.5, 1.0, 0.5),
    _gib("0.25", 2.0, 2.0),
    _gib("0.5", 1.0, 4.0),
    _gib("1", 2.0, 8.0),
    _gib("2", 4.0, 16.0),
    _gib("4", 8.0, 30.0),
    _gib("8", 16.0, 60.0, 4.0),
    _gib("16", 32.0, 120.0, 8.0),
)
RUN_SIZES = (
    _gib("1", 0.125, 4.0, 0.125),
    _gib("2", 0.125, 8.0, 0.125),
    _gib("4", 2.0, 16.0, 0.125),
    _gib("6", 4.0, 24.0, 0.125),
    _gib("8", 4.0, 32.0, 0.125),
)
IDLE = "idle time: Shilkov, AWS Lambda Cold Starts After 10 Minutes (2019), halved, as vendors promise none"
LAMBDA = f"AWS Lambda developer guide, Lambda quotas and Configure Lambda function memory (2026); {IDLE}"
FARGATE = "Amazon ECS developer guide, Task CPU and memory (2026)"
RUN = "Google Cloud documentation, Cloud Run: CPU limits, memory limits, quotas, billing settings (2026)"
FUNCTIONS = f"Microsoft documentation, Azure Functions scale and hosting, and Azure Functions pricing (2026); {IDLE}"
INSTANCES = "Microsoft documentation, Resource availability and quota limits for Azure Container Instances (2026)"
SEEN = date(2026, 11, 25)

SERVICES: dict[str, VendorService] = {
    service.name: service
    for service in (
        *(
            VendorService(
                name=f"lambda{arm}",
                cloud="aws",
                offer=SERVERLESS,
                arch=arch,
                sizes=(SizeRange(None, 128, 10_240, 1),),
                items=((f"serverless-duration{arm}", "memory"),),
                source=LAMBDA,
                seen=SEEN,
                mib_per_vcpu=1769,
                billed_step_s=0.001,
                limit_s=900.0,
                instances=1000,
                keep_alive_s=300.0,
            )
            for arm, arch in (("", "amd64"), ("-arm", "arm64"))
        ),
        VendorService(
            name="cloud-run",
            cloud="gcp",
            offer=SERVERLESS,
            arch="amd64",
            sizes=RUN_SIZES,
            items=(("serverless-cpu", "vcpu"), ("serverless-memory", "memory")),
            source=RUN,
            seen=SEEN,
            billed_step_s=0.1,
            limit_s=3600.0,
            instances=100,
            keep_alive_s=300.0,
        ),
        VendorService(
            name="functions",
            cloud="azure",
            offer=SERVERLESS,
            arch="amd64",
            sizes=(SizeRange(None, 128, 1536, 128),),
            items=(("serverless-duration", "memory"),),
            source=FUNCTIONS,
            seen=SEEN,
            billed_step_s=0.001,
            least_billed_s=0.1,
            limit_s=230.0,
            instances=100,
            keep_alive_s=600.0,
        ),
        *(
            VendorService(
                name=f"fargate{arm}",
                cloud="aws",
                offer=CONTAINER,
                arch=arch,
                sizes=FARGATE_SIZES,
                items=((f"container-cpu{arm}", "vcpu"), (f"container-memory{arm}", "memory")),
                source=FARGATE,
                seen=SEEN,
            )
            for arm, arch in (("", "amd64"), ("-arm", "arm64"))
        ),
        VendorService(
            name="cloud-run-instance",
            cloud="gcp",
            offer=CONTAINER,
            arch="amd64",
            sizes=RUN_SIZES,
            items=(("container-cpu", "vcpu"), ("container-memory", "memory")),
            source=RUN,
            seen=SEEN,
        ),
        VendorService(
            name="container-instances",
            cloud="azure",
            offer=CONTAINER,
            arch="amd64",
            sizes=tuple(_gib(vcpu, 0.5, 16.0, 0.5) for vcpu in ("1", "2", "3", "4")),
            items=(("container-cpu", "vcpu"), ("container-memory", "memory")),
            source=INSTANCES,
            seen=SEEN,
        ),
    )
}
"""Azure Functions name the memory that a function uses, which is what is billed there; an instance has one vCPU whatever that is."""

_NAME = re.compile(r"(?P<service>[a-z][a-z-]*?)(-(?P<vcpu>\d+(\.\d+)?)vcpu)?-(?P<memory>\d+(\.\d+)?)(?P<unit>mb|gb)")


@dataclass(frozen=True, slots=True)
class ServiceSize:
    """One size of a service."""

    name: str
    service: VendorService
    vcpu: Decimal
    memory_mib: int

    @property
    def machine(self) -> MachineType:
        """Return it as the price book knows machines; a part of a vCPU counts as one."""
        kind = self.service
        vcpu, memory_gib = math.ceil(self.vcpu), self.memory_mib / MIB_PER_GIB
        return MachineType(kind.cloud, self.name, kind.name, vcpu, memory_gib, kind.arch, "", 0, 0.0, kind.source, kind.seen)

    def billed_s(self, seconds: float) -> float:
        """Return the time that a request of so many seconds is billed for.

        >>> find_size("cloud-run-1vcpu-2gb").billed_s(0.12), find_size("functions-512mb").billed_s(0.02)
        (0.2, 0.1)
        """
        step = self.service.billed_step_s
        rounded = math.ceil(seconds / step - 1e-9) * step if step else seconds
        return max(round(rounded, 9), self.service.least_billed_s)

    def price(self, region: str, tiers: Callable[[str], UnitPrice]) -> PriceRow:
        """Return what an hour of it costs, for a function an hour of answering; ``tiers`` raises where an item has no price."""
        usd_per_hour, rows = Decimal(0), [tiers(item) for item, _ in self.service.items]
        for row, (_, what) in zip(rows, self.service.items, strict=True):
            amount = self.vcpu if what == "vcpu" else Decimal(self.memory_mib) / MIB_PER_GIB
            usd_per_hour += amount * row.usd * (SECONDS_PER_HOUR if row.unit.endswith("second") else 1)
        return PriceRow(
            cloud=self.service.cloud,
            region=region,
            machine=self.name,
            offer=self.service.offer,
            usd_per_hour=usd_per_hour,
            zones=0,
            interruptions_per_month=None,
            basis="derived" if len(rows) > 1 or any(row.basis == "derived" for row in rows) else "list",
            source="; ".join(dict.fromkeys(row.source for row in rows)),
            seen=min(row.seen for row in rows),
        )


def find_size(name: str) -> ServiceSize | None:
    """Return the size of that name; None where no service begins so, or where it sells no such size.

    >>> find_size("lambda-1769mb").vcpu, find_size("lambda-64mb"), find_size("fargate-0.25vcpu-0.5gb").memory_mib
    (Decimal('1'), None, 512)
    """
    match = _NAME.fullmatch(name)
    service = SERVICES.get(match["service"]) if match else None
    if match is None or service is None:
        return None
    vcpu = Decimal(match["vcpu"]) if match["vcpu"] else None
    exact_mib = Decimal(match["memory"]) * (MIB_PER_GIB if match["unit"] == "gb" else 1)
    if exact_mib != int(exact_mib) or not any(sizes.hold(vcpu, int(exact_mib)) for sizes in service.sizes):
        return None
    implied = exact_mib / service.mib_per_vcpu if service.mib_per_vcpu else Decimal(1)
    return ServiceSize(name, service, vcpu or implied, int(exact_mib))


def unknown_size(name: str, where: Where | None = None) -> UnknownNameError | None:
    """Return the error for a size that a service does not sell; None where the name is of no service."""
    near = find_near_names(re.split(r"-\d", name)[0], SERVICES, 1)
    if not near or not re.search(r"-\d", name):
        return None
    service = SERVICES[near[0]]
    forms = [_form(service, sizes) for sizes in service.sizes]
    msg = f"unknown machine {name!r}: {service.name} is sold as {'; '.join(forms)}"
    return UnknownNameError(msg, resolve=f"name one of these sizes, such as {_example(service)}", where=where)


def _form(service: VendorService, sizes: SizeRange) -> str:
    """Return how sizes are named, in words."""
    if sizes.vcpu is None:
        return f"{service.name}-<{sizes.least_mib} to {sizes.most_mib}>mb"
    least, most = (f"{mib / MIB_PER_GIB:g}" for mib in (sizes.least_mib, sizes.most_mib))
    return f"{service.name}-{sizes.vcpu}vcpu-<{least} to {most}>gb"


def _example(service: VendorService) -> str:
    """Return the name of the smallest size."""
    first = service.sizes[0]
    if first.vcpu is None:
        return f"{service.name}-{first.least_mib}mb"
    return f"{service.name}-{first.vcpu}vcpu-{first.least_mib / MIB_PER_GIB:g}gb"
