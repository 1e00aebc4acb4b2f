"""Services as a workload states them: names checked against the price lists."""

from collections.abc import Sequence

from tightrope.base.errors import UnknownNameError, Where
from tightrope.base.services import ApiUse, ServicePolicy
from tightrope.demand.price_names import PriceNames
from tightrope.demand.schema_services import ApiSpec, ServicesSpec

SECONDS_PER_MINUTE = 60.0


def define_api(stated: ApiSpec | None, book: PriceNames, where: Where) -> ApiUse | None:
    """Return a provider's model; the price list must have it."""
    if stated is None:
        return None
    try:
        book.token_price(stated.provider, stated.model)
    except UnknownNameError as error:
        raise UnknownNameError(error.what, resolve=error.resolve, where=where) from error
    requests, tokens = (
        limit / SECONDS_PER_MINUTE if limit is not None else float("inf")
        for limit in (stated.requests_per_minute, stated.tokens_per_minute)
    )
    return ApiUse(stated.provider, stated.model, stated.ttft, stated.tpot, requests, tokens, stated.batch_within)


def define_services(stated: ServicesSpec, own_sites: Sequence[str]) -> ServicePolicy:
    """Return how services behave; ``own_sites`` are those at which the workload may use machines of its own."""
    return ServicePolicy(stated.keep_alive, stated.container_start, stated.own_machines == "bought", tuple(own_sites))
