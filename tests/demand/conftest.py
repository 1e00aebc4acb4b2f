"""A tiny price book, small files, and a small workload."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tightrope.base.catalogue import CommitmentRule, MachineType, PriceRow, Stock, TokenPrice, UnitPrice
from tightrope.base.errors import Where, build_unknown_name_error
from tightrope.base.records import Demand, FloatArray
from tightrope.clouds.token_prices import token_price

SEEN = date(2026, 11, 1)
OFFERS = {"on-demand": "pay-as-you-go", "spot": "pay-as-you-go", "plan-1y": "commitment"}
SMALL = """\
name: small
traffic:
  chat:
    constant: {rate_per_s: 2}
    sizes: {input_tokens: 100, output_tokens: 20}
    slo: [ttft p95 <= 3 s, tpot p95 <= 120 ms]
models:
  llm:
    engine: token
    architecture: {parameters: 7.0e9, layers: 32, kv_heads: 4, head_dim: 128}
    variants:
      fp16: {precision: fp16, quality: 1.0, serves: {chat: 100 %}}
where:
  aws: [us-east-1]
  families: [g4dn]
  quotas: {g4dn: 8}
purchase:
  offers: [on-demand, spot]
today:
  - {machine: g4dn.xlarge, region: us-east-1, variant: llm/fp16, machines: 3, classes: [chat]}
proof: {heldout: 4 days, seeds: [1]}
"""


def machine(name: str, accelerator: str = "", memory_gib: float = 0.0) -> MachineType:
    return MachineType(
        "aws", name, name.split(".", 1)[0], 4, 16.0, "x86_64", accelerator, int(bool(accelerator)), memory_gib, "test", SEEN
    )


def rule(cloud: str, offer: str, scope: Literal["machine", "family", "any"], inflexible: str = "") -> CommitmentRule:
    return CommitmentRule(cloud, offer, scope, 1, Decimal(0), 1, inflexible, "", "fixed", "test", SEEN)


RULES = (
    rule("aws", "reserved-1y", "machine", "g4dn"),
    rule("aws", "family-1y", "family"),
    rule("aws", "plan-1y", "any"),
    rule("aws", "both-1y", "any"),
    rule("other", "both-1y", "any"),
    rule("other", "only-other", "any"),
)


@dataclass(frozen=True)
class FakeBook:
    """Two machines in two regions, with prices in the first only: 1 USD an hour on demand, 0.6 with a commitment."""

    known: tuple[MachineType, ...] = (machine("g4dn.xlarge", "t4", 16.0), machine("c6i.large"))
    regions: tuple[str, ...] = ("us-east-1", "us-west-2")
    commitments: Mapping[tuple[str, str], CommitmentRule] = field(
        default_factory=lambda: {(each.cloud, each.offer): each for each in RULES}
    )

    def machine(self, name: str, where: Where | None = None) -> MachineType:
        """Return one machine."""
        return self.machines([name], where)[0]

    def machines(self, families: Iterable[str] = (), where: Where | None = None) -> tuple[MachineType, ...]:
        """Return the machines of a family or name."""
        for name in families:
            if not any(name in {found.name, found.family} for found in self.known):
                raise build_unknown_name_error(name, kind="machine", known=[found.name for found in self.known], where=where)
        return tuple(found for found in self.known if {found.name, found.family} & set(families))

    def check_region(self, cloud: str, region: str, where: Where | None = None) -> None:
        """Refuse an unknown cloud or region."""
        if cloud != "aws":
            raise build_unknown_name_error(cloud, kind="cloud", known=["aws"], where=where)
        if region not in self.regions:
            raise build_unknown_name_error(region, kind="region", known=self.regions, where=where)

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return a price of the first region."""
        if region != "us-east-1" or offer not in {"on-demand", *(each.offer for each in RULES)}:
            return None
        usd_per_hour = Decimal(1) if offer == "on-demand" else Decimal("0.6")
        return PriceRow("aws", region, machine, offer, usd_per_hour, 3, None, "list", "test", SEEN)

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return a rule."""
        return self.commitments[cloud, offer]

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Refuse: there are none."""
        raise build_unknown_name_error(item, kind=f"priced item of {cloud} {region}", known=())

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return the price of the list."""
        return token_price(provider, model)

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return None: nothing is one's own."""
        del machine, site
        return None


@pytest.fixture(scope="session")
def book() -> FakeBook:
    return FakeBook()


@pytest.fixture(scope="session")
def offers() -> dict[str, str]:
    return OFFERS


@pytest.fixture(scope="session")
def small() -> str:
    """Return the text of a workload that loads."""
    return SMALL


@pytest.fixture(scope="session")
def rates_of() -> Callable[..., Demand]:
    """Return a function that makes a demand of rates."""

    def make(rate_per_s: FloatArray, bin_s: float = 600.0, cv: float = 1.0) -> Demand:
        sizes = np.arange(1, 4, dtype=np.int64)
        return Demand(bin_s, np.asarray(rate_per_s, dtype=np.float64), sizes, sizes * 10, cv, np.empty(0), "test")

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Return a function that writes a file into the test's folder."""

    def put(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put
