"""Token APIs: one option a variant that states an API, with the latencies that the user states and the prices of the list.

A request costs what the tokens of the class's own sample cost on average. Classes that can wait long enough pay the batch rates where
the list has them.
"""

from collections.abc import Iterator

import numpy as np

from tightrope.base.catalogue import MachineType
from tightrope.base.errors import UnknownNameError
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import ApiUse, FloatArray, ModelVariant, Profile, Provenance, Slo, TrafficClass, Workload
from tightrope.base.registry import find_offer
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.offers.token_api import BATCH, STANDARD, token_units
from tightrope.plan.problem.arrays import PoolOption
from tightrope.plan.problem.capacity import Capacity
from tightrope.plan.problem.demand_week import ClassDemand
from tightrope.plan.problem.deployments import Deployment
from tightrope.plan.problem.services.service_options import ServiceOptions, Taken, allowed
from tightrope.plan.problem.services.service_pools import build_api_engine

ANYWHERE = "api"
"""Region of what is asked for over the internet."""


def find_apis(workload: Workload, book: PriceBook, sized: tuple[ClassDemand, ...]) -> ServiceOptions:
    """Return an option for each variant with an API and each offer that has a price of it, and why others are left out."""
    found = ServiceOptions()
    for variant in workload.variants:
        if variant.api is not None and not any(allowed(workload, name) for name in (STANDARD, BATCH)):
            found += ServiceOptions(
                (), (Refusal(f"{variant.name} by {variant.api.name}", f"purchase.offers does not allow {STANDARD}"),)
            )
            continue
        for name in (STANDARD, BATCH) if variant.api is not None else ():
            if allowed(workload, name):
                found += _find_offered(book, sized, variant, name)
    return found


def _find_offered(book: PriceBook, sized: tuple[ClassDemand, ...], variant: ModelVariant, offer: str) -> ServiceOptions:
    """Return the option of one variant under one offer, or why there is none."""
    api = variant.api
    assert api is not None  # noqa: S101 - the caller chose variants with an API
    what = f"{variant.name} by {api.name} {offer}"
    terms = find_offer(offer).terms(api.name, ANYWHERE, book)
    if isinstance(terms, Refusal):
        return ServiceOptions((), (Refusal(what, terms.reason),))
    capacity: dict[str, Capacity] = {}
    taken: Taken = {}
    reasons: list[str] = []
    for item in sized:
        name = item.traffic_class.name
        if variant.serves.get(name, 0.0) <= 0.0:
            continue
        reason = _explain_refusal(item.traffic_class, api, offer, _find_context_tokens(book, api))
        if reason:
            reasons.append(f"{name}: {reason}")
        else:
            capacity[name] = _compute_capacity(item.traffic_class, api)
            taken = {**taken, name: measure_mean_units(item, terms)}
    if not capacity:
        return ServiceOptions((), (Refusal(what, "; ".join(reasons) or "serves no class"),))
    machine = MachineType(api.provider, api.name, api.provider, 0, 0.0, "", "", 0, 0.0, terms.row.source, terms.row.seen)
    provenance = Provenance("published", f"latencies as the workload states them; price: {terms.row.source}", 0.0)
    profile = Profile(variant.name, api.name, build_api_engine(api), 1, provenance)
    left = (Refusal(what, "; ".join(reasons)),) if reasons else ()
    option = PoolOption(variant, machine, ANYWHERE, profile, terms, taken)
    return ServiceOptions(((Deployment(variant, machine, profile, capacity), option),), left)


def _find_context_tokens(book: PriceBook, api: ApiUse) -> int | None:
    """Return the most tokens of one request, None where the list does not say."""
    try:
        return book.token_price(api.provider, api.model).context_tokens
    except UnknownNameError:
        return None


def _explain_refusal(item: TrafficClass, api: ApiUse, offer: str, context_tokens: int | None) -> str:
    """Return why the API does not serve a class under an offer; empty where it does."""
    longest = int((item.demand.input_tokens + item.demand.output_tokens).max())
    if context_tokens is not None and longest > context_tokens:
        return f"its largest request has {longest} tokens, the model reads and writes {context_tokens}"
    if offer == BATCH:
        if item.deferral is None:
            return "it does not wait"
        window_s = item.deferral.window_h * SECONDS_PER_HOUR
        return "" if window_s >= api.batch_within_s else f"it waits {window_s:g} s, batches take up to {api.batch_within_s:g} s"
    return next((reason for slo in item.slos if (reason := _explain_missed(item, api, slo))), "") if item.deferral is None else ""


def _explain_missed(item: TrafficClass, api: ApiUse, slo: Slo) -> str:
    """Return why a promise cannot be kept with the latencies stated; empty where it is."""
    if api.ttft_s is None and slo.metric in {"ttft", "latency"}:
        return f"{slo} rests on the API's ttft, which is not stated"
    if api.tpot_s is None and slo.metric in {"tpot", "latency"}:
        return f"{slo} rests on the API's tpot, which is not stated"
    value_s = _answer_s(item, api, slo)
    return "" if value_s <= slo.limit_s else f"{slo} comes to {value_s:.3g} s with the latencies stated"


def _answer_s(item: TrafficClass, api: ApiUse, slo: Slo) -> float:
    """Return what a promise's metric comes to at its percentile."""
    first_s, each_s = api.ttft_s or 0.0, api.tpot_s or 0.0
    if slo.metric != "latency":
        return first_s if slo.metric == "ttft" else each_s
    after = np.maximum(item.demand.output_tokens - 1, 0)
    return float(np.quantile(first_s + each_s * after, slo.percentile))


def _compute_capacity(item: TrafficClass, api: ApiUse) -> Capacity:
    """Return how many requests a second keep one request in the air at any time: what pools are sized by elsewhere."""
    engine = build_api_engine(api)
    tokens = float(np.mean(np.maximum(item.demand.output_tokens, 1)))
    mean_s = (api.ttft_s or engine.weights_s) + engine.weights_s * (tokens - 1.0)
    per_s = 1.0 / mean_s
    return Capacity(per_s, per_s, per_s, 1, {})


def measure_mean_units(sized: ClassDemand, terms: OfferTerms) -> dict[str, float]:
    """Return what one request of a class takes of each unit, on average over its sample.

    Of work that waits one planned: plans hold a headroom of it, which nobody is charged for.
    """
    item = sized.traffic_class
    units = token_units(terms, item.demand.input_tokens, item.demand.output_tokens)
    planned = float(sized.work.sum())
    part = float(sized.expected.sum()) / planned if item.deferral is not None and planned > 0.0 else 1.0
    return {name: part * float(amounts.mean()) for name, amounts in units.items()}


def limits(workload: Workload) -> Iterator[tuple[str, ApiUse]]:
    """Yield each API that has a limit, with its name."""
    for variant in workload.variants:
        api = variant.api
        if api is not None and min(api.requests_per_s, api.tokens_per_s) < float("inf"):
            yield api.name, api


def measure_used_of_limit(item: TrafficClass, api: ApiUse, rate_per_s: FloatArray) -> FloatArray:
    """Return which part of an API's limit a class takes at some rates, both float64[...]."""
    tokens = float(np.mean(item.demand.input_tokens + item.demand.output_tokens))
    return rate_per_s * max(1.0 / api.requests_per_s, tokens / api.tokens_per_s)
