"""What model providers charge for tokens: the list of the package ``genai-prices`` (MIT), in our words.

Comes in: a provider and a model, or patterns. Goes out: ``TokenPrice`` records in US dollars for a million tokens, as of a day. The
figures are those that the installed package carries; it can also fetch newer ones, which is never asked of it. Its version, and the
providers' own pages that it names, are the source of every record. It dates a price by the day from which it holds, where it knows
one; what it does not date holds for all days up to the first that it does.

A price that the package does not state is None, and so is one that is 0 there: what is free is not told from what is unknown.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from tightrope.base.catalogue import TokenPrice, TokenTier
from tightrope.base.errors import UnknownNameError, build_unknown_name_error, find_near_names
from tightrope.base.units import today

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider

DATED_AS_READ = "openrouter"
"""A provider whose prices the package dates by the day on which it read them, not by the day from which they hold."""
UNDATED = "the list does not say since when, so it may not have held on that day"
"""What is said of an undated price, last of all, in the answer of a past day."""
BATCH = {"processing": "batch"}
"""How the package names the rate for requests that can wait."""


@cache
def _list() -> "DataSnapshot":
    """Return the list that the installed package carries, whatever else was fetched in this process."""
    from genai_prices.data import providers  # 1.5 MB of figures: only who asks for them pays for it
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


def _entries(model: "ModelInfo") -> list["ConditionalPrice"]:
    """Return a model's prices that hold under a condition; none where it has one price for all days."""
    return model.prices if isinstance(model.prices, list) else []


def _start(entry: "ConditionalPrice") -> date | None:
    """Return the first day of a price, where the list dates it."""
    return getattr(entry.constraint, "start_date", None)


@cache
def list_seen() -> date | None:
    """Return the newest day on which the list read the prices of ``DATED_AS_READ``, None where it shows none."""
    models = (model for provider in _list().providers if provider.id == DATED_AS_READ for model in provider.models)
    days = (_start(entry) for model in models for entry in _entries(model))
    return max((day for day in days if day is not None), default=None)


def _amount(price: "ModelPrice", key: str, prompt_tokens: int = 0) -> Decimal | None:
    """Return one price for prompts of more than ``prompt_tokens``; None where the list has none, or 0."""
    value = getattr(price, key, None)
    if value is None or isinstance(value, Decimal):
        return value or None
    reached = [tier.price for tier in value.tiers if tier.start <= prompt_tokens]
    return (reached[-1] if reached and prompt_tokens else value.base) or None


def _tiers(price: "ModelPrice") -> tuple[TokenTier, ...]:
    """Return the prices for longer prompts, one for each length at which any of them changes."""
    keys = ("input_mtok", "output_mtok", "cache_read_mtok")
    starts = {tier.start for key in keys for tier in getattr(getattr(price, key, None), "tiers", ())}
    return tuple(TokenTier(start, *(_amount(price, key, start) for key in keys)) for start in sorted(starts))


def _prices_of_day(model: "ModelInfo", day: date) -> list["ModelPrice"]:
    """Return each price that holds at some hour of the day (UTC), the most expensive first."""
    found: dict[int, ModelPrice] = {}
    for hour in range(24) if _entries(model) else (12,):
        price = model.get_prices(datetime.combine(day, time(hour, 59), UTC))
        found[id(price)] = price
    return sorted(found.values(), key=lambda price: sum(_amount(price, key) or 0 for key in ("input_mtok", "output_mtok")))[::-1]


def _batch(model: "ModelInfo", day: date, standard: "ModelPrice") -> tuple[Decimal | None, Decimal | None]:
    """Return input and output prices of requests that can wait, None where they are the standard ones or not stated."""
    price = model.get_prices(datetime.combine(day, time(12), UTC), BATCH)
    pairs = ((_amount(price, key), _amount(standard, key)) for key in ("input_mtok", "output_mtok"))
    given, paid = ((batch if batch != usual else None) for batch, usual in pairs)
    return given, paid


def _lists(provider: "Provider", model: "ModelInfo") -> bool:
    """Return whether a model is in a provider's own list."""
    return any(known is model for known in provider.models)


def _note(model: "ModelInfo", provider: "Provider", owner: "Provider", *, varies: bool) -> str:
    """Return what has to be said of a price."""
    said = (
        model.price_comments,
        "the most expensive hours of the day; it is cheaper at others" if varies else "",
        f"the price of {owner.id}: the list has none of {provider.id}'s own" if owner is not provider else "",
    )
    return "; ".join(filter(None, said))


def _record(provider: "Provider", model: "ModelInfo", day: date) -> TokenPrice:
    """Return the list's entry as of a day."""
    owner = next(item for item in (provider, *_list().providers) if _lists(item, model))
    prices = _prices_of_day(model, day)
    price = prices[0]
    since = next((_start(entry) for entry in _entries(model) if entry.prices is price), None)
    said = _note(model, provider, owner, varies=len(prices) > 1)
    return TokenPrice(
        provider.id,
        model.id,
        _amount(price, "input_mtok"),
        _amount(price, "output_mtok"),
        _amount(price, "cache_read_mtok"),
        _amount(price, "cache_write_mtok"),
        *(_batch(model, day, price) if owner is provider else (None, None)),
        tiers=_tiers(price),
        context_tokens=model.context_window,
        since=since,
        seen=list_seen() if owner.id == DATED_AS_READ else None,
        source=f"genai-prices {version('genai-prices')} [MIT], from {', '.join(owner.pricing_urls or ['no page that it names'])}",
        note="; ".join(filter(None, (said, UNDATED if since is None and day < today() else ""))),
    )


def token_price(provider: str, model: str, as_of: date | None = None) -> TokenPrice:
    """Return what a provider charges for a model's tokens on a day (default: today, UTC).

    A model is found by its name in the list, or as the package finds it: by any name that the provider's service knows it by.

    Raises
    ------
    UnknownNameError
        For a provider, or a model of it, that the list does not have, with the nearest names.

    """
    known = _list()
    try:
        found = known.find_provider(None, provider, None)
    except LookupError as error:
        raise build_unknown_name_error(provider, kind="provider", known=(item.id for item in known.providers)) from error
    try:
        listed = next((item for item in found.models if item.id == model), None)
        entry = listed or known.find_provider_model(model, found, None, None)[1]
    except LookupError as error:
        raise build_unknown_name_error(model, kind=f"model of {found.id}", known=(item.id for item in found.models)) from error
    return _record(found, entry, as_of or today())


def _matches(pattern: str) -> Callable[[str], bool]:
    """Return whether a name is like a shell pattern, in any case."""
    return lambda name: fnmatchcase(name.lower(), pattern.lower())


def _found(models: Callable[[str], bool], providers: Callable[[str], bool]) -> Iterator[tuple["Provider", "ModelInfo"]]:
    """Yield every model of the list whose name and provider match."""
    for provider in _list().providers:
        if providers(provider.id):
            yield from ((provider, model) for model in provider.models if models(model.id))


def find_token_prices(model_pattern: str = "*", provider_pattern: str = "*", as_of: date | None = None) -> tuple[TokenPrice, ...]:
    """Return the prices of every model that matches shell patterns such as ``*llama-3*``, the cheapest first.

    Raises
    ------
    UnknownNameError
        Where nothing matches, with the names nearest to the pattern.

    """
    if not any(_matches(provider_pattern)(provider.id) for provider in _list().providers):
        raise build_unknown_name_error(provider_pattern, kind="provider", known=(provider.id for provider in _list().providers))
    found = tuple(_found(_matches(model_pattern), _matches(provider_pattern)))
    if not found:
        names = {model.id for _, model in _found(_matches("*"), _matches(provider_pattern))}
        near = find_near_names(model_pattern.strip("*"), names)
        msg = f"no model of {provider_pattern} is called {model_pattern!r}"
        start = Counter(name[:4] for name in sorted(names)).most_common(1)[0][0]
        some = f"say less of its name, as in *{start}*, or * for all {len(names):,} models"
        raise UnknownNameError(msg, resolve=f"use {' or '.join(near)}" if near else some)
    day = as_of or today()
    return tuple(sorted((_record(provider, model, day) for provider, model in found), key=_cheapest_first))


def _cheapest_first(price: TokenPrice) -> tuple[bool, Decimal, str, str]:
    """Return how prices are ordered: by what a token read and a token written cost together, those without a price last."""
    parts = (price.input_usd_per_million, price.output_usd_per_million)
    known = [part for part in parts if part is not None]
    return not known, sum(known, Decimal(0)), price.provider, price.model
