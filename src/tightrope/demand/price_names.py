"""What is asked of the price book while a workload is read."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from tightrope.base.catalogue import CommitmentRule, MachineType, PriceRow, Stock, TokenPrice, UnitPrice
from tightrope.base.errors import Where


class PriceNames(Protocol):
    """The price book, as far as names are checked against it; satisfies ``contracts.Prices``."""

    @property
    def commitments(self) -> Mapping[tuple[str, str], CommitmentRule]:
        """(cloud, offer) → how the seller applies it."""
        ...

    def machine(self, name: str, where: Where | None = None) -> MachineType:
        """Return one machine type, or raise ``UnknownNameError``."""
        ...

    def machines(self, families: Iterable[str] = (), where: Where | None = None) -> tuple[MachineType, ...]:
        """Return the machines of some families or types, or raise ``UnknownNameError``."""
        ...

    def check_region(self, cloud: str, region: str, where: Where | None = None) -> None:
        """Raise ``UnknownNameError`` unless the cloud has the region."""
        ...

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the price in force, None where it is not sold so."""
        ...

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return how a seller applies a commitment, or raise ``UnknownNameError``."""
        ...

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Return a price that is not per machine-hour, or raise ``UnknownNameError``."""
        ...

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return what a provider charges for a model's tokens, or raise ``UnknownNameError``."""
        ...

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return the machines of one's own at a site, None where there are none."""
        ...
