"""The four things a contributor can add, on one screen. Each lives in one folder; built-ins face the same contract tests.

A part is found by the attribute its module carries (``CLOUD``, ``OFFER``, ``RENDERER``, ``PROFILES``; ``OFFERS`` for several) or by
the entry point of that kind (see ``registry.py``). What a part does not offer it declares (``faces``) or answers with a ``Refusal``:
no method raises at run time.
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
    """Dotted name of the function that fetches the seller's own price lists (see ``clouds/refresh.py``); empty where it has none,
    which the face ``refresh`` tells."""

    def catalogue(self) -> Catalogue:
        """Return every machine, price and rule, all dates (append-only)."""
        ...


class Prices(Protocol):
    """What an offer may ask of the price book."""

    def find(self, machine: str, region: str, offer: str) -> PriceRow | None:
        """Return the row in force, None where it is not sold so."""
        ...

    def machine(self, name: str) -> MachineType:
        """Return the machine type; raise ``UnknownNameError``."""
        ...

    def machines(self, families: Iterable[str] = ()) -> tuple[MachineType, ...]:
        """Return the machines of these families or type names, all where none are named; raise ``UnknownNameError``."""
        ...

    def commitment(self, cloud: str, offer: str) -> CommitmentRule:
        """Return how a seller applies a commitment; raise ``UnknownNameError`` where it sells none of that name."""
        ...

    def unit_price(self, cloud: str, region: str, item: str) -> UnitPrice:
        """Return the dearest tier of what is not per machine-hour; raise ``UnknownNameError`` where the region has no such price."""
        ...

    def token_price(self, provider: str, model: str) -> TokenPrice:
        """Return what a provider charges for a model's tokens; raise ``UnknownNameError`` where the list has no such model."""
        ...

    def stock(self, machine: str, site: str) -> Stock | None:
        """Return the machines of one's own at a site; None where there are none."""
        ...


@runtime_checkable
class Offer(Protocol):
    """A way of paying (``offers/<name>.py``): what it costs for the optimiser, and exactly on the bill."""

    name: str
    kind: Literal["pay-as-you-go", "commitment"]

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the coefficients of one machine-hour, or why it is not to be had."""
        ...

    def charge(self, usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
        """Return the month's bill lines and the usage they leave unpaid (machine-hours still to be charged by other offers).

        ``committed`` holds the commitments of one cloud and one order, which are applied together; none for pay as you go. Each has
        one line of the driver ``commitment unused``, in their order.
        """
        ...


@runtime_checkable
class Renderer(Protocol):
    """Writes a plan out (``render/<target>/``)."""

    name: str
    next_command: str
    """What to run on the files next, with ``{out}`` for their folder; empty where they are only read."""

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return relative path → file content; the same plan gives the same bytes."""
        ...


@runtime_checkable
class ProfileSource(Protocol):
    """Knows how variants behave on machines (``perf/``)."""

    name: str
    rank: int
    """Sources are asked from the lowest rank up; the first profile wins."""

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return the engine model with provenance and error band, or why there is none."""
        ...
