"""Functions, token APIs and machines of one's own: terms and bills by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.base.plan import Committed, OfferTerms, Refusal, Usage, UsageLine
from tightrope.base.registry import find_offer
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.offers.bill import charge_fleet, used_shares
from tightrope.offers.token_api import token_units

HOURS = np.array([200.0, 300.0, 230.0])
OWNED_CSV = """\
name,site,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,quantity,purchase_usd,residual_usd,life_years,interest_rate,power_watts,pue,usd_per_kwh,overhead_usd_per_month,seen
rack,basel,32,256,amd64,l40s,2,48,3,35040,0,4,0,1000,1.5,0.2,73,2026-10-01
"""
"""Capital 35,040 / 4 / 8,760 = 1 USD an hour, power 1 kW × 1.5 × 0.2 = 0.3, overhead 73 / 730 = 0.1."""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "owned.csv").write_text(OWNED_CSV, encoding="utf-8")
    return load_price_book(directory=folder)


def usage(machine: str, region: str, offer: str, hours: list[float], **units: list[float]) -> Usage:
    """Return one line's usage in three periods; a unit's name has ``_`` for a space."""
    line = UsageLine("pool", "seller", region, machine, offer)
    return Usage((line,), np.array([hours]), HOURS, {name.replace("_", " "): np.array([row]) for name, row in units.items()})


def terms(offer: str, machine: str, region: str, book: PriceBook) -> OfferTerms:
    found = find_offer(offer).terms(machine, region, book)
    assert isinstance(found, OfferTerms)
    return found


def test_a_function_is_charged_by_its_time_and_its_requests(book: PriceBook) -> None:
    used = usage("lambda-1024mb", "us-east-1", "serverless", [0.5, 0.0, 1.0], requests=[1800.0, 0.0, 3600.0])
    (line,) = charge_fleet(used, book, ())
    hours, requests = 0.5 * 200 + 230, 1800 * 200 + 3600 * 230
    assert line.usd == pytest.approx(hours * 3600 * 0.0000166667 + requests * 0.2e-6, rel=1e-12)
    assert (line.driver, line.offer) == ("compute", "serverless")


def test_requests_alone_do_not_go_unpaid(book: PriceBook) -> None:
    used = usage("lambda-1024mb", "nowhere", "serverless", [0.0] * 3, requests=[1.0] * 3)
    with pytest.raises(InputError, match="cannot be billed"):
        charge_fleet(used, book, ())


def test_a_function_whose_requests_have_no_price_is_refused(book: PriceBook) -> None:
    """Cloud Run in us-west4: the shipped prices have its vCPUs and memory, and no price of a request."""
    refused = find_offer("serverless").terms("cloud-run-1vcpu-2gb", "us-west4", book)
    assert isinstance(refused, Refusal)
    assert "no price of a request" in refused.reason


def test_tokens_are_charged_at_the_list(book: PriceBook) -> None:
    price = book.token_price("openai", "gpt-4o-mini")
    assert price.input_usd_per_million is not None
    assert price.output_usd_per_million is not None
    used = usage("openai/gpt-4o-mini", "", "token-api", [0.0] * 3, input_tokens=[1e6, 0.0, 2e6], output_tokens=[0.0, 1e6, 0.0])
    (line,) = charge_fleet(used, book, ())
    by_hand = (200 + 2 * 230) * float(price.input_usd_per_million) + 300 * float(price.output_usd_per_million)
    assert line.usd == pytest.approx(by_hand, rel=1e-12)


def test_a_long_prompt_is_paid_at_its_tier(book: PriceBook) -> None:
    """A list with a tier: all tokens of a request beyond its length are paid at its rates, one of just that length is not."""
    tiered = terms("token-api", "google/gemini-2.5-pro", "", book)
    length = next(int(name.rpartition(" ")[2]) for name in tiered.usd_per_unit if " above " in name)
    units = token_units(tiered, np.array([length, length + 1]), np.array([10, 20]))
    assert units["input tokens"].tolist() == [length, 0]
    assert units["output tokens"].tolist() == [10, 0]
    assert units[f"input tokens above {length}"].tolist() == [0, length + 1]
    assert units[f"output tokens above {length}"].tolist() == [0, 20]
    assert units.keys() == tiered.usd_per_unit.keys()


def test_batches_are_cheaper_where_the_list_has_them(book: PriceBook) -> None:
    standard, batch = (terms(name, "openai/gpt-4o-mini", "", book) for name in ("token-api", "token-api-batch"))
    assert 0 < batch.usd_per_unit["input tokens"] < standard.usd_per_unit["input tokens"]


@pytest.mark.parametrize("name", ["gpt-4o-mini", "openai/no-such-model", "nobody/gpt-4o-mini"])
def test_an_api_that_is_not_in_the_list_is_refused(book: PriceBook, name: str) -> None:
    assert isinstance(find_offer("token-api").terms(name, "", book), Refusal)


def test_machines_of_ones_own_cost_capital_and_overhead_always_and_power_when_they_run(book: PriceBook) -> None:
    """Three of them are 3 × 1.1 USD an hour; 2 run in the first 200 hours, 3 in the next 300, none in the rest."""
    found = terms("owned", "rack", "basel", book)
    assert found.usd_per_hour == pytest.approx(1.1)
    assert (found.scope, found.step_usd_per_hour) == ("basel/rack", found.usd_per_hour)
    held = [Committed("owned", "owned", "basel/rack", 3 * found.usd_per_hour)]
    used = usage("rack", "basel", "owned", [2.0, 3.0, 0.0])
    sums = {line.driver: line.usd for line in charge_fleet(used, book, held)}
    assert sums == pytest.approx({"compute": 1300 * 1.1, "power": 1300 * 0.3, "commitment unused": (200 + 690) * 1.1})
    assert used_shares(used, book, held) == pytest.approx((1300 / 2190,))


def test_more_machines_than_there_are_can_not_be_paid(book: PriceBook) -> None:
    held = [Committed("owned", "owned", "basel/rack", 2 * 1.1)]
    with pytest.raises(InputError, match="cannot be billed"):
        charge_fleet(usage("rack", "basel", "owned", [3.0, 0.0, 0.0]), book, held)


def test_a_machine_that_nobody_declared_is_refused(book: PriceBook) -> None:
    assert isinstance(find_offer("owned").terms("rack", "zurich", book), Refusal)


def test_other_offers_leave_units_alone(book: PriceBook, make_rates: Callable[..., object]) -> None:
    del make_rates
    lines = tuple(
        UsageLine(name, "aws", "us-east-1", machine, offer)
        for name, machine, offer in (("a", "g4dn.xlarge", "on-demand"), ("b", "lambda-512mb", "serverless"))
    )
    both = Usage(lines, np.array([[1.0] * 3, [0.1] * 3]), HOURS, {"requests": np.array([[0.0] * 3, [100.0] * 3])})
    _, rest = find_offer("on-demand").charge(both, book, ())
    assert [line.pool for line in rest.lines] == ["b"]
    assert rest.units["requests"].tolist() == [[100.0] * 3]
