"""Where machines may stand and where requests come from; a class whose users are in several places becomes one class for each."""

from dataclasses import replace

import numpy as np

from tightrope.base.errors import InputError, build_unknown_name_error, find_near_names
from tightrope.base.records import Demand, Infrastructure, TrafficClass, WherePolicy, Workload
from tightrope.demand import schema
from tightrope.demand.price_names import PriceNames
from tightrope.demand.schema_places import InfrastructureSpec as StatedInfrastructure
from tightrope.demand.yaml_document import Document

BYTES_PER_GB = 1e9
MOST_TOGETHER = 4
"""Regions that one plan may choose among: every set of them is looked at, 15 of four."""
SHARE_ERROR = 1e-3
"""Shares of users may miss 1 by this, which is rounding."""


def define_where(document: Document, stated: schema.WorkloadFile, book: PriceNames) -> WherePolicy:
    """Return where machines may stand; clouds, regions, families and quota names must exist."""
    where = stated.where
    regions = {cloud: tuple(names) for cloud, names in (where.model_extra or {}).items()}
    if not regions:
        what, resolve = "where names no cloud", "add one, such as `aws: [us-east-1]`"
        raise InputError(what, resolve=resolve, where=document.where("where"))
    known = [*schema.PlacesSpec.model_fields]
    for cloud, names in regions.items():
        if near := find_near_names(cloud, known, 1):
            what, resolve = f"where: unknown key {cloud!r}", f"use {near[0]}"
            raise InputError(what, resolve=resolve, where=document.where("where", cloud))
        for number, region in enumerate(names):
            book.check_region(cloud, region, document.where("where", cloud, number))
    for number, family in enumerate(where.families):
        book.machines([family], document.where("where", "families", number))
    for name in where.quotas:
        book.machines([name], document.where("where", "quotas", name))
    if where.together and sum(map(len, regions.values())) > MOST_TOGETHER:
        what = f"where.together is stated for {sum(map(len, regions.values()))} regions, expected {MOST_TOGETHER} or fewer"
        resolve = "name fewer regions, or leave together out: then each region is planned by itself"
        raise InputError(what, resolve=resolve, where=document.where("where", "together"))
    return WherePolicy(
        regions, tuple(where.families), dict(where.quotas), where.together, _round_trips(document, stated, regions)
    )


def _round_trips(
    document: Document, stated: schema.WorkloadFile, regions: dict[str, tuple[str, ...]]
) -> dict[tuple[str, str], float]:
    """Return the time between two regions and back, both ways round; what is stated twice must agree."""
    known = {region for names in regions.values() for region in names} | {
        p for item in stated.traffic.values() for p in item.users
    }
    found: dict[tuple[str, str], float] = {}
    for first, others in stated.where.round_trip.items():
        for second, round_trip_s in others.items():
            place = document.where("where", "round_trip", first, second)
            for name in (first, second):
                if name not in known:
                    raise build_unknown_name_error(name, kind="region of where or users", known=known, where=place)
            if found.get((first, second), round_trip_s) != round_trip_s:
                what = (
                    f"the round trip between {first} and {second} is stated as {found[first, second]:g} s and {round_trip_s:g} s"
                )
                raise InputError(what, resolve="state it once", where=place)
            found[first, second] = found[second, first] = round_trip_s
    return found


def define_infrastructure(stated: StatedInfrastructure) -> Infrastructure:
    """Return what stands around the machines."""
    return Infrastructure(
        disk_gb=stated.disk / BYTES_PER_GB,
        load_balancer=stated.load_balancer,
        control_plane=stated.control_plane,
        nat_gateways=stated.nat_gateways,
        nat_bytes_per_request=stated.nat_per_request,
        cross_zone_share=stated.cross_zone_share,
        cdn=stated.cdn,
    )


def split_by_place(document: Document, stated: schema.WorkloadFile, workload: Workload, book: PriceNames) -> Workload:
    """Return the workload with every class whose users are in several places parted into ``class.region``, one for each place."""
    parts = {
        item.name: _parts(document, item, stated.traffic[item.name].users, workload, book)
        for item in workload.classes
        if stated.traffic[item.name].users
    }
    if not parts:
        return workload
    whole = {item.name: (item,) for item in workload.classes} | parts
    classes = tuple(part for item in workload.classes for part in whole[item.name])
    names = [item.name for item in classes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        what = f"two traffic classes are called {twice!r}: one is a place of the other's users"
        raise InputError(what, resolve="call it otherwise", where=document.where("traffic", twice))
    return replace(
        workload,
        classes=classes,
        variants=tuple(
            replace(variant, serves={part.name: share for name, share in variant.serves.items() for part in whole[name]})
            for variant in workload.variants
        ),
        today=tuple(
            replace(pool, classes=tuple(part.name for name in pool.classes for part in whole[name])) for pool in workload.today
        ),
    )


def _parts(
    document: Document, item: TrafficClass, users: dict[str, float], workload: Workload, book: PriceNames
) -> tuple[TrafficClass, ...]:
    """Return the class as its places see it; the shares must be 100 % together and every place a region of an allowed cloud."""
    total = sum(users.values())
    if abs(total - 1.0) > SHARE_ERROR:
        what = f"the users of {item.name!r} are {100 * total:.4g} % together, expected 100 %"
        raise InputError(what, resolve="correct the shares", where=document.where("traffic", item.name, "users"))
    places = [_place(document, item.name, region, workload, book) for region in users]
    if len(users) == 1:
        return (replace(item, place=places[0]),)
    shares = np.array(list(users.values())) / total
    drawn = np.random.default_rng(0).choice(len(shares), size=len(item.demand.arrival_s), p=shares)
    return tuple(
        replace(item, name=f"{item.name}.{place[1]}", place=place, demand=part_of(item.demand, float(share), drawn == number))
        for number, (place, share) in enumerate(zip(places, shares, strict=True))
    )


def _place(document: Document, name: str, region: str, workload: Workload, book: PriceNames) -> tuple[str, str]:
    """Return the first allowed cloud that has the region, with the region."""
    for cloud in workload.where.regions:
        if region in workload.where.regions[cloud]:
            return cloud, region
    clouds = list(workload.where.regions)
    for cloud in clouds[:-1]:
        try:
            book.check_region(cloud, region)
        except InputError:
            continue
        return cloud, region
    book.check_region(clouds[-1], region, document.where("traffic", name, "users", region))
    return clouds[-1], region


def part_of(demand: Demand, share: float, mine: np.ndarray) -> Demand:
    """Return the part of a demand that comes from one place; ``mine`` is bool[requests] of a trace that lists them.

    Requests kept by chance with probability p have arrivals with cv² = 1 + p (cv² − 1) in the long run (thinning of a renewal
    process; Cox and Isham, Point Processes, 1980, section 4.3).
    """
    cv = float(np.sqrt(max(0.0, 1.0 + share * (demand.interarrival_cv**2 - 1.0))))
    part = replace(
        demand, rate_per_s=demand.rate_per_s * share, interarrival_cv=cv, source=f"{demand.source}; {share:.3g} of the requests"
    )
    if not len(demand.arrival_s):
        return part
    return replace(
        part,
        arrival_s=demand.arrival_s[mine],
        input_tokens=demand.input_tokens[mine],
        output_tokens=demand.output_tokens[mine],
    )
