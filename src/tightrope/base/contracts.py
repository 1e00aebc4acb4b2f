"""The four kinds of parts that a contributor can add. Each lives in one folder; built-ins face the same contract tests.

A part is found by its module's attribute (``CLOUD``, ``OFFER``, ``RENDERER``, ``PROFILES``; ``OFFERS`` for several) or by the
entry point of its kind (see ``registry.py``). A part declares missing features (``faces``) or answers with a ``Refusal``: no method
raises at run time.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from tightrope.base.catalogue import Catalogue, CommitmentRule, MachineType, PriceRow, Stock, TokenPrice, UnitPrice
from tightrope.base.plan import BillLine, Committed, OfferTerms, Plan, Refusal, Usage
from tightrope.base.records import ModelVariant, Profile

Face: TypeAlias = Literal["machines", "prices", "spot", "commitments", "unit_prices", "refresh"]


@runtime_checkable
class Cloud(Protocol):
    """A seller of machines (``clouds/<name>/``): dated facts, nothing computed."""

    name: str
    faces: frozenset[Face]
    importer: str
    """Dotted name of the function that fetches the seller's price lists (see ``clouds/refresh.py``); empty where there is none: the
    face ``refresh`` is then missing."""

    def catalogue(self) -> Catalogue:
        """Return every machine, price and rule, of all dates (append-only)."""
        ...


class Prices(Protocol):
    """The part of the price book that offers use."""

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the row in force; None where the offer is not sold."""
        ...

    def machine(self, name: str) -> MachineType:
        """Return the machine type; raise ``UnknownNameError``."""
        ...

    def machines(self, families: Iterable[str] = ()) -> tuple[MachineType, ...]:
        """Return the machines of these families or types, all where none are named; raise ``UnknownNameError``."""
        ...

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return how a seller applies a commitment; raise ``UnknownNameError`` where it sells no such commitment."""
        ...

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Return the most expensive tier of a unit price; raise ``UnknownNameError`` where the region has no such price."""
        ...

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return a provider's token prices of a model; raise ``UnknownNameError`` where the list has no such model."""
        ...

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return the owned machines at a site; None where there are none."""
        ...


@runtime_checkable
class Offer(Protocol):
    """A payment option (``offers/<name>.py``): its cost coefficients for the optimiser, and its exact charge on the bill."""

    name: str
    kind: Literal["pay-as-you-go", "commitment"]

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the cost coefficients of one machine-hour, or why it is unavailable."""
        ...

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return the month's bill lines and the unpaid usage (machine-hours left for other offers to charge).

        ``committed`` holds the commitments of one cloud and one order, which are applied together; it is empty for pay-as-you-go. Each
        commitment has one line of the driver ``commitment unused``, in the same order.
        """
        ...


@runtime_checkable
class Renderer(Protocol):
    """Turns a plan into files (``render/<target>/``)."""

    name: str
    next_command: str
    """The next command for the files, with ``{out}`` for their folder; empty where they are only read."""

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return relative path → file content; equal plans give equal bytes."""
        ...


@runtime_checkable
class ProfileSource(Protocol):
    """A source of performance profiles of variants on machines (``perf/``)."""

    name: str
    rank: int
    """Sources are queried from the lowest rank up; the first profile wins."""

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return the engine model with provenance and error band, or why there is none."""
        ...
