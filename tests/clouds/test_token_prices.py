"""Token prices: figures of the list that ships, checked against the package's own sums, and no network."""

import socket
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot

from tightrope.base.errors import UnknownNameError
from tightrope.clouds import token_prices
from tightrope.clouds.token_prices import TokenPrice, TokenTier, find_token_prices, list_seen, token_price

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MILLION = 1_000_000


def dollars(*figures: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, figures))


@pytest.mark.parametrize(
    ("provider", "model", "given", "answered", "cached"),
    [
        ("openai", "gpt-4o", "2.5", "10", "1.25"),
        ("openai", "gpt-4o-mini", "0.15", "0.6", "0.075"),
        ("anthropic", "claude-opus-4-0", "15", "75", "1.5"),
        ("google", "gemini-2.5-pro", "1.25", "10", "0.125"),
    ],
)
def test_list_prices(provider: str, model: str, given: str, answered: str, cached: str) -> None:
    price = token_price(provider, model, DAY)
    assert (price.input_usd_per_million, price.output_usd_per_million, price.cached_input_usd_per_million) == dollars(
        given, answered, cached
    )


def test_a_price_as_of_a_day() -> None:
    before, after = (token_price("openai", "o3", date(2025, 6, day)) for day in (9, 10))
    assert (before.input_usd_per_million, before.output_usd_per_million, before.since) == (*dollars("10", "40"), None)
    assert (after.input_usd_per_million, after.output_usd_per_million, after.since) == (*dollars("2", "8"), date(2025, 6, 10))


def test_requests_that_can_wait_have_their_price_from_the_day_it_is_known() -> None:
    price = token_price("openai", "gpt-4o", DAY)
    assert (price.batch_input_usd_per_million, price.batch_output_usd_per_million) == dollars("1.25", "5")
    earlier = token_price("openai", "gpt-4o", date(2026, 10, 13))
    assert (earlier.batch_input_usd_per_million, earlier.batch_output_usd_per_million) == (None, None)


def test_long_prompts_have_tiers() -> None:
    assert token_price("google", "gemini-2.5-pro", DAY).tiers == (TokenTier(200_000, *dollars("2.5", "15", "0.25")),)
    assert token_price("openai", "gpt-4o", DAY).tiers == ()


def test_a_price_that_depends_on_the_hour_is_the_dearest() -> None:
    price = token_price("deepseek", "deepseek-chat", DAY)
    assert (price.input_usd_per_million, price.output_usd_per_million) == dollars("0.27", "1.1")
    assert "it is cheaper at others" in price.note


def test_a_price_of_the_maker_is_said_to_be_that() -> None:
    price = token_price("azure", "gpt-4o", DAY)
    assert price.provider == "azure"
    assert "the price of openai: the list has none of azure's own" in price.note
    assert "openai.com" in price.source
    assert (price.batch_input_usd_per_million, price.batch_output_usd_per_million) == (None, None)


def test_a_dated_version_is_found_by_the_name_that_stands_for_it() -> None:
    assert token_price("openai", "gpt-4o-2024-11-20", DAY).model == "gpt-4o"


def test_every_record_says_where_it_is_from() -> None:
    price = token_price("openai", "gpt-4o", DAY)
    assert price.source.startswith(f"genai-prices {genai_prices.__version__} [MIT], from https://developers.openai.com/")
    assert price.seen is None  # the list does not say when it read the provider's page
    routed = find_token_prices("*", token_prices.DATED_AS_READ, DAY)[0]
    assert routed.seen == list_seen()
    assert date(2026, 11, 9) <= (routed.seen or date.min) <= datetime.now(UTC).date()
    assert price.context_tokens == 128_000


def test_the_whole_list_has_no_price_of_nothing() -> None:
    found = find_token_prices(as_of=DAY)
    assert len(found) > 2_000
    amounts = [
        amount
        for price in found
        for part in (price, *price.tiers)
        for amount in (part.input_usd_per_million, part.output_usd_per_million, part.cached_input_usd_per_million)
    ]
    assert all(amount is None or 0 < amount < 10_000 for amount in amounts)
    assert any(amount is None for amount in amounts)
    costs = [(price.input_usd_per_million or 0) + (price.output_usd_per_million or 0) for price in found]
    priced = [cost for cost in costs if cost]
    assert costs == sorted(priced) + [0] * (len(costs) - len(priced))


def usd(price: TokenPrice, given: int, answered: int) -> Decimal:
    """Return what a request costs, by our record."""
    part = next((tier for tier in reversed(price.tiers) if given > tier.above_prompt_tokens), price)
    return ((part.input_usd_per_million or 0) * given + (part.output_usd_per_million or 0) * answered) / Decimal(MILLION)


@pytest.mark.parametrize("given", [1_000, 200_000, 200_001, 900_000])
def test_a_request_costs_what_the_package_says(given: int) -> None:
    usage = genai_prices.Usage(input_tokens=given, output_tokens=700)
    checked = 0
    for provider in data_snapshot.get_snapshot().providers:
        for model in provider.models:
            price = token_price(provider.id, model.id, DAY)
            if price.input_usd_per_million and price.output_usd_per_million and "cheaper at others" not in price.note:
                by_package = model.calc_price(usage, provider, genai_request_timestamp=NOON)
                assert usd(price, given, 700) == by_package.input_price + by_package.output_price, price
                checked += 1
    assert checked > 1_900


@pytest.mark.parametrize(
    ("provider", "model", "says"),
    [
        ("opnai", "o3", r"unknown provider 'opnai'\nResolve: use openai or "),
        ("openai", "gpt-4oo", r"unknown model of openai 'gpt-4oo'\nResolve: use gpt-4o or "),
    ],
)
def test_a_name_that_does_not_exist_gets_near_names(provider: str, model: str, says: str) -> None:
    with pytest.raises(UnknownNameError, match=says):
        token_price(provider, model, DAY)


def test_patterns() -> None:
    found = find_token_prices("GPT-4o*", "open[!r]*", DAY)
    assert {price.provider for price in found} == {"openai"}
    assert {"gpt-4o", "gpt-4o-mini"} <= {price.model for price in found}


@pytest.mark.parametrize(
    ("model", "provider", "says"),
    [
        ("gpt-4oo", "openai", r"no model of openai is called 'gpt-4oo'\nResolve: use gpt-4o or "),
        (
            "§§§§§",
            "openai",
            r"no model of openai is called '§§§§§'\nResolve: say less of its name, as in \*gpt-\*, or \* for all",
        ),
        ("*", "antropic", r"unknown provider 'antropic'\nResolve: use anthropic"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(model: str, provider: str, says: str) -> None:
    with pytest.raises(UnknownNameError, match=says):
        find_token_prices(model, provider, DAY)


def test_an_undated_price_is_said_to_be_that_in_the_answer_of_a_past_day() -> None:
    undated = token_price("openai", "gpt-4o-mini", date(2025, 1, 1))
    assert undated.since is None
    assert undated.note.endswith(token_prices.UNDATED)
    assert token_prices.UNDATED not in token_price("openai", "o3", date(2025, 6, 10)).note
    assert token_prices.UNDATED not in token_price("openai", "gpt-4o-mini").note


def test_a_remedy_finds_something() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_token_prices("zzzzzzz", "*", DAY)
    pattern = caught.value.resolve.partition(" as in ")[2].partition(",")[0]
    assert len(find_token_prices(pattern, "*", DAY)) > 10


def test_nothing_is_fetched_and_what_others_fetched_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    empty = data_snapshot.DataSnapshot(providers=[], from_auto_update=True)
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", empty)
    token_prices._list.cache_clear()
    assert token_price("openai", "gpt-4o", DAY).input_usd_per_million == Decimal("2.5")


def test_the_list_is_not_loaded_before_it_is_asked_for() -> None:
    code = "import sys, tightrope.clouds.token_prices; print('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"  # noqa: S603
