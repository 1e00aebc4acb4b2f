"""How machines may be paid for, what is committed already, and what may come: names checked against the price book."""

from collections.abc import Mapping

from tightrope.base.errors import InputError, build_unknown_name_error
from tightrope.base.future import Future, Move, Scenario
from tightrope.base.records import Committed, PurchasePolicy
from tightrope.base.scope import resolve_scope
from tightrope.demand import schema
from tightrope.demand.price_names import PriceNames
from tightrope.demand.yaml_document import Document, check_name


def define_purchase(
    document: Document, stated: schema.PurchaseSpec, offers: Mapping[str, str], book: PriceNames
) -> PurchasePolicy:
    """Return how machines may be paid for; offers and commitments must exist."""
    for number, offer in enumerate(stated.offers):
        check_name(offer, "offer", offers, document.where("purchase", "offers", number))
    return PurchasePolicy(
        offers=tuple(stated.offers),
        max_spot_share=stated.max_spot_share,
        spot_zone_loss_share=stated.spot_zone_loss_share,
        max_pools=stated.max_pools,
        pool_worth=stated.pool_worth,
        existing=tuple(_existing(document, number, entry, book) for number, entry in enumerate(stated.existing)),
        min_utilisation=stated.min_utilisation,
        n_plus_one_share=stated.n_plus_one_share,
        zone_loss_share=stated.zone_loss_share,
        min_spot_zones=stated.min_spot_zones,
    )


def _existing(document: Document, number: int, entry: schema.ExistingSpec, book: PriceNames) -> Committed:
    """Return one commitment with the scope and the US dollars an hour that bills know it by."""
    cloud = _seller(document, number, entry, book)
    usd_per_hour = entry.usd_per_hour or 0.0
    scope = entry.scope or ""
    place = ("purchase", "existing", number)
    if entry.machine is not None and entry.region is not None and entry.machines is not None:
        book.check_region(cloud, entry.region, document.where(*place, "region"))
        row = book.find(entry.machine, entry.region, entry.offer)
        if row is None:
            what = f"no price is known for {entry.machine} in {entry.region} under {entry.offer}"
            resolve = "correct machine, region or offer, or state its scope and usd_per_hour"
            raise InputError(what, resolve=resolve, where=document.where(*place))
        usd_per_hour, scope = entry.machines * float(row.usd_per_hour), f"{entry.region}/{entry.machine}"
        if book.commitment(cloud, entry.offer).scope == "any":
            scope = ""
    elif scope:
        region, _, name = scope.partition("/")
        book.check_region(cloud, region, document.where(*place, "scope"))
        book.machines([name] if name else (), document.where(*place, "scope"))
    made = Committed(cloud, entry.offer, scope, usd_per_hour)
    try:
        return Committed(cloud, entry.offer, resolve_scope(made, book.commitment(cloud, entry.offer), book), usd_per_hour)
    except InputError as error:
        raise InputError(error.what, resolve=error.resolve, where=document.where(*place)) from error


def _seller(document: Document, number: int, entry: schema.ExistingSpec, book: PriceNames) -> str:
    """Return the cloud that sells a commitment of that name: the machine's, where one is named."""
    where = document.where("purchase", "existing", number, "offer")
    sellers = [cloud for cloud, offer in book.commitments if offer == entry.offer]
    if not sellers:
        raise build_unknown_name_error(
            entry.offer, kind="commitment", known={offer for _, offer in book.commitments}, where=where
        )
    if entry.machine is not None:
        cloud = book.machine(entry.machine, document.where("purchase", "existing", number, "machine")).cloud
        if cloud not in sellers:
            known = {offer for seller, offer in book.commitments if seller == cloud}
            raise build_unknown_name_error(entry.offer, kind=f"commitment of {cloud}", known=known, where=where)
        return cloud
    if len(sellers) > 1:
        what = f"{entry.offer!r} is sold by {' and '.join(sellers)}"
        raise InputError(what, resolve="state the commitment by machine, region and machines", where=where)
    return sellers[0]


def define_future(document: Document, stated: schema.FutureSpec, book: PriceNames) -> Future:
    """Return what may come; families and machines must exist. Weights that miss 1 by rounding are made to fit."""
    total = sum(scenario.weight for scenario in stated.scenarios)
    scenarios = []
    for number, entry in enumerate(stated.scenarios):
        for at, move in enumerate(entry.moves):
            for key, name in (("from", move.source), ("to", move.target)):
                book.machines([name], document.where("future", "scenarios", number, "moves", at, key))
        moves = tuple(Move(move.source, move.target, move.by_month, move.ratio) for move in entry.moves)
        scenarios.append(Scenario(entry.name, entry.weight / total, entry.growth_per_month, moves))
    return Future(stated.months, tuple(scenarios))
