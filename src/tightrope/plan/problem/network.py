"""What stands around the machines and what moves between them: load balancers, control planes, NAT, traffic of every kind.

Comes in: the workload's bytes per request and its ``infrastructure``, the book's unit prices. Goes out: US dollars of one request of a
class answered in a place, and of a place for a month. ``list_missing_prices`` names each price that the book lacks: none counts as zero.

Requests of a class with a stated ``place`` come in there: its load balancer takes them, and answers leave to the internet from there;
what is answered elsewhere crosses over and back, at the price of the side that sends. Without a place they come in where they are
answered.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from tightrope.base.catalogue import OWNED, VOLUMES, UnitPrice
from tightrope.base.errors import UnknownNameError
from tightrope.base.places import Infrastructure, WherePolicy
from tightrope.base.plan import BillLine, ServedClass
from tightrope.base.records import TrafficClass, Workload
from tightrope.base.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.demand_week import lead_seconds, size_classes
from tightrope.plan.problem.response_cache import drop_hits

BYTES_PER_GB = 1e9
CONNECTIONS_PER_S_AND_UNIT = 25.0
"""New connections a second in one load-balancer capacity unit, beside 1 GB an hour (AWS, Elastic Load Balancing pricing, 2026)."""
DRIVERS = {
    "internet-egress": "egress",
    "cdn-egress": "egress",
    "cdn-requests": "egress",
    "kubernetes-control-plane": "control plane",
    "load-balancer": "network",
    "load-balancer-traffic": "network",
    "nat-gateway": "network",
    "nat-gateway-traffic": "network",
    "inter-zone-transfer": "network",
    "inter-region-transfer": "network",
}
"""Item of the price book → driver of the bill."""
AT_THE_EDGE = ("cdn-egress", "cdn-requests")
"""Items that are paid for only where answers may leave through caches at the edge."""


def items_of(infrastructure: Infrastructure) -> tuple[str, ...]:
    """Return the items that a bill with this infrastructure may rest on."""
    return tuple(item for item in DRIVERS if infrastructure.cdn or item not in AT_THE_EDGE)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A region of a cloud."""

    cloud: str
    region: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.cloud} {self.region}"


Sender = TrafficClass | ServedClass
"""A class of a workload, or of a plan's file."""


class NetworkTerms(Protocol):
    """What a workload, or a plan's file, says of who asks from where and of what stands around the machines."""

    @property
    def classes(self) -> Sequence[Sender]:
        """Who asks."""
        ...

    @property
    def infrastructure(self) -> Infrastructure:
        """What stands around the machines."""
        ...

    @property
    def where(self) -> WherePolicy:
        """Which regions are allowed."""
        ...


Served = dict[str, dict[Place, float]]
"""Traffic class → place → requests a month that are answered there."""


def find_tiers(book: PriceBook, place: Place, item: str) -> tuple[UnitPrice, ...]:
    """Return an item's tiers, none where the book does not have it."""
    try:
        return book.tiers(place.cloud, place.region, item)
    except UnknownNameError:
        return ()


def tiered_usd(tiers: tuple[UnitPrice, ...], units: float) -> float:
    """Return what so many units a month cost; what lies below the lowest tier is free.

    >>> from datetime import date
    >>> from decimal import Decimal
    >>> row = lambda above, usd: UnitPrice("aws", "r", "internet-egress", "GB", Decimal(usd), "list", "s", date(2026, 1, 1), Decimal(above))
    >>> round(tiered_usd((row(100, "0.09"), row(10240, "0.085")), 10340.0), 6)
    921.1
    """
    starts = [float(tier.above) for tier in tiers]
    ends = [*starts[1:], float("inf")]
    return sum(float(tier.usd) * max(0.0, min(units, end) - start) for tier, start, end in zip(tiers, starts, ends, strict=True))


def mean_usd_per_gb(tiers: tuple[UnitPrice, ...], gb_per_month: float) -> float:
    """Return the mean price of 10⁹ bytes where so much goes out in a month, US dollars; that of the first tier where nothing does."""
    volume = tiers[0].unit.partition("-")[0].partition(" ")[0]
    per_unit = VOLUMES[volume] / BYTES_PER_GB
    return tiered_usd(tiers, gb_per_month / per_unit) / gb_per_month if gb_per_month > 0.0 else tiers[0].usd_per_gb


def count_monthly_requests(workload: Workload) -> dict[str, float]:
    """Return the requests of each class in a month, growth included, from the part of the trace that sizing may see.

    Those that a cache answers are among them.
    """
    month_s = HOURS_PER_MONTH * SECONDS_PER_HOUR
    return {
        item.traffic_class.name: float(item.expected.mean()) * month_s
        for item in size_classes(drop_hits(workload), {}, lead_seconds(workload))
    }


@dataclass(frozen=True, slots=True)
class Around:
    """The workload's traffic and infrastructure at the book's prices."""

    workload: NetworkTerms
    book: PriceBook
    requests: dict[str, float]
    """Traffic class → requests a month."""

    @property
    def sent_gb(self) -> float:
        """What all classes send to the internet in a month, GB: sellers count an account's volume together."""
        items = {item.name: item.egress_bytes_per_request for item in self.workload.classes}
        return sum(self.requests[name] * sent for name, sent in items.items()) / BYTES_PER_GB

    def _measure_moved_gb(self, item: Sender, place: Place) -> list[tuple[Place, str, float]]:
        """Return what one request of the class answered in ``place`` moves: the place that charges it, under which item, and GB."""
        entry = self.entry(item, place)
        sent, brought = item.egress_bytes_per_request / BYTES_PER_GB, item.ingress_bytes_per_request / BYTES_PER_GB
        stated = self.workload.infrastructure
        amounts = [
            (entry, self.choose_egress_item(entry), sent),
            (place, "inter-zone-transfer", stated.cross_zone_share * (sent + brought)),
            (place, "nat-gateway-traffic", stated.nat_bytes_per_request / BYTES_PER_GB if stated.nat_gateways else 0.0),
            (entry, "load-balancer-traffic", sent + brought if self._is_balanced(item) else 0.0),
        ]
        if entry != place:
            amounts += [
                (entry, self._find_crossing_item(entry, place), brought),
                (place, self._find_crossing_item(place, entry), sent),
            ]
        return amounts

    def _find_crossing_item(self, side: Place, other: Place) -> str:
        """Return under which item a side pays for what it sends to another place.

        Between regions of one seller that is the internet's as well where no price between them is known: no seller asks more for less.
        """
        between = side.cloud == other.cloud and find_tiers(self.book, side, "inter-region-transfer")
        return "inter-region-transfer" if between else "internet-egress"

    def request_usd(self, item: Sender, place: Place) -> dict[tuple[Place, str], float]:
        """Return what one request of the class answered in ``place`` costs: (place that charges it, item) → US dollars."""
        found: dict[tuple[Place, str], float] = {}
        for at, name, gb in self._measure_moved_gb(item, place):
            usd = self._usd(at, name, gb) if gb > 0.0 or (name == "load-balancer-traffic" and self._is_balanced(item)) else 0.0
            if usd > 0.0:
                found[at, name] = found.get((at, name), 0.0) + usd
        entry = self.entry(item, place)
        if item.egress_bytes_per_request and self.choose_egress_item(entry) == "cdn-egress":
            found[entry, "cdn-requests"] = self._edge_usd(entry, "cdn-requests") / self._sending
        return found

    def choose_egress_item(self, entry: Place) -> str:
        """Return by which item a month's answers leave for the internet at less: straight, or through the seller's caches at the edge.

        Nothing is taken to be found in those: an answer is made for one request. Where the seller's machines are behind them, what
        goes from those to the caches is free (AWS, CloudFront pricing, 2026).
        """
        if not self.workload.infrastructure.cdn or not self.sent_gb:
            return "internet-egress"
        straight = find_tiers(self.book, entry, "internet-egress")
        straight_usd = mean_usd_per_gb(straight, self.sent_gb) * self.sent_gb if straight else math.inf
        edge_usd = sum(self._edge_usd(entry, name) for name in AT_THE_EDGE)
        return "cdn-egress" if edge_usd < straight_usd else "internet-egress"

    def egress_usd_per_gb(self, entry: Place) -> float | None:
        """Return the mean price of 10⁹ bytes of a month's answers that leave there, US dollars; None where it is not known, or none leave.

        Requests to the caches at the edge, where answers leave by these, are in it.
        """
        way = self.choose_egress_item(entry)
        tiers = find_tiers(self.book, entry, way)
        if not tiers or not self.sent_gb:
            return None
        edge_usd = self._edge_usd(entry, "cdn-requests") if way == "cdn-egress" else 0.0
        return mean_usd_per_gb(tiers, self.sent_gb) + edge_usd / self.sent_gb

    @property
    def _sending(self) -> float:
        """Return the requests a month whose answers go to the internet."""
        return sum(self.requests[item.name] for item in self.workload.classes if item.egress_bytes_per_request)

    def _edge_usd(self, entry: Place, name: str) -> float:
        """Return what a month's answers cost under one item of the caches at the edge, US dollars; infinite where it has no price."""
        tiers = find_tiers(self.book, entry, name)
        if not tiers:
            return math.inf
        if name == "cdn-requests":
            return tiered_usd(tiers, self._sending / 1e6)
        return mean_usd_per_gb(tiers, self.sent_gb) * self.sent_gb

    def entry(self, item: Sender, place: Place) -> Place:
        """Return where a class's requests come in that are answered in ``place``; a service of another seller has no door of ours."""
        if item.place:
            return Place(*item.place)
        regions = self.workload.where.regions
        if place.cloud in regions or not regions:
            return place
        cloud, names = next(iter(regions.items()))
        return Place(cloud, names[0])

    def _is_balanced(self, item: Sender) -> bool:
        """Return whether the class goes through a load balancer: work that waits comes from a queue."""
        return self.workload.infrastructure.load_balancer and item.deferral is None

    def _usd(self, place: Place, name: str, gb: float) -> float:
        """Return what ``gb`` of one request cost under an item; 0 where it is not priced."""
        tiers = find_tiers(self.book, place, name)
        if not tiers:
            return 0.0
        if tiers[0].unit == "LCU-hour":
            return float(tiers[0].usd) * max(gb, 1.0 / (CONNECTIONS_PER_S_AND_UNIT * SECONDS_PER_HOUR))
        if name in {"internet-egress", "cdn-egress"}:
            return mean_usd_per_gb(tiers, self.sent_gb) * gb
        sides = 2.0 if tiers[0].unit.endswith("each way") else 1.0
        return sides * tiers[0].usd_per_gb * gb

    def fixed_usd(self, place: Place, *, machines: bool, entry: bool) -> dict[str, float]:
        """Return what a place costs a month whatever goes through it: item → US dollars.

        ``machines``: some stand there; ``entry``: requests come in there.
        """
        return {
            item: count * float(tiers[0].usd) * HOURS_PER_MONTH
            for item, count in self._count_standing(machines=machines, entry=entry).items()
            if count and (tiers := find_tiers(self.book, place, item))
        }

    def _count_standing(self, *, machines: bool, entry: bool) -> dict[str, int]:
        """Return how many of each item stand in a place."""
        stated = self.workload.infrastructure
        balanced = entry and any(self._is_balanced(item) for item in self.workload.classes)
        return {
            "load-balancer": int(balanced),
            "kubernetes-control-plane": int(machines and stated.control_plane),
            "nat-gateway": stated.nat_gateways if machines else 0,
        }

    def entries(self, places: Collection[Place]) -> set[Place]:
        """Return where requests come in that must be answered in some of ``places``."""
        waiting = [item for item in self.workload.classes if item.deferral is None]
        return {self.entry(item, place) for item in waiting for place in places}

    def standing_usd(self, machines: Collection[Place], entries: Collection[Place]) -> dict[tuple[Place, str], float]:
        """Return what places cost a month whatever goes through them: (place, item) → US dollars."""
        return {
            (place, item): usd
            for place in sorted({*machines, *entries})
            for item, usd in self.fixed_usd(place, machines=place in machines, entry=place in entries).items()
        }

    def lines(self, served: Served, machines: Collection[Place]) -> tuple[BillLine, ...]:
        """Return the month's bill of what is answered where, egress by class, the rest by item; ``machines``: where some stand."""
        sums = {(line.driver, line.offer): line.usd for line in self.moved_lines(served)}
        for (_, name), usd in self.standing_usd(machines, self._find_entries(served)).items():
            sums[DRIVERS[name], name] = sums.get((DRIVERS[name], name), 0.0) + usd
        return _build_lines(sums)

    def moved_lines(self, served: Served) -> tuple[BillLine, ...]:
        """Return what moves in a month of what is answered where, egress by class, the rest by item."""
        sums: dict[tuple[str, str], float] = {}
        for item in self.workload.classes:
            for place, requests in served.get(item.name, {}).items():
                for (_, name), usd in self.request_usd(item, place).items():
                    key = (DRIVERS[name], item.name if DRIVERS[name] == "egress" else name)
                    sums[key] = sums.get(key, 0.0) + requests * usd
        return _build_lines(sums)

    def _find_entries(self, served: Served) -> set[Place]:
        """Return where the requests that are answered so come in; work that waits comes from a queue."""
        waiting = [item for item in self.workload.classes if item.deferral is None]
        return {self.entry(item, place) for item in waiting for place in served.get(item.name, {})}

    def list_missing_prices(self, served: Served, machines: Collection[Place]) -> list[str]:
        """Say which prices that the bill needs the book does not have; what stands at one's own site needs none."""
        entries = self._find_entries(served)
        needed: dict[Place, set[str]] = {place: {"object-storage"} for place in machines}
        for item in self.workload.classes:
            for place in served.get(item.name, {}):
                for at, name, gb in self._measure_moved_gb(item, place):
                    needed.setdefault(at, set()).update({name} if gb > 0.0 else ())
        for place in {*machines, *entries}:
            standing = self._count_standing(machines=place in machines, entry=place in entries)
            needed.setdefault(place, set()).update(name for name, count in standing.items() if count)
            needed[place] |= {"load-balancer-traffic"} if standing["load-balancer"] else set()
        missing = {
            place: sorted(name for name in names if not find_tiers(self.book, place, name)) for place, names in needed.items()
        }
        return [
            f"no price of {', '.join(missing[place])} of {place} is known: not in the bill"
            for place in sorted(missing)
            if missing[place] and place.cloud in self.book.clouds and place.cloud != OWNED
        ]


def _build_lines(sums: dict[tuple[str, str], float]) -> tuple[BillLine, ...]:
    """Return what costs anything as lines of a bill."""
    return tuple(BillLine(driver, "", what, usd) for (driver, what), usd in sums.items() if usd > 0.0)


def around(workload: Workload, book: PriceBook) -> Around:
    """Return the workload's traffic and infrastructure at the book's prices."""
    return Around(workload, book, count_monthly_requests(workload))
