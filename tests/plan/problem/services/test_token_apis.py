"""Token APIs as options: which classes they serve, what a request costs, and how a replay sees them."""

from collections.abc import Callable

import numpy as np
import pytest

from tightrope.base.errors import InfeasibleError, InputError
from tightrope.base.plan import UsageLine
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.bill.plan_bill import plan_lines
from tightrope.plan.fleet.plan_fleet import build_fleet, find_heldout_stretch, open_pools
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.problem.services.metered_usage import measure_ran_hours, metered_pools
from tightrope.plan.prove.proof import replay_seeds
from tightrope.plan.solve.decomposition import solve

Load = Callable[..., Workload]


@pytest.fixture(scope="module")
def problem(apis: Load, own_book: PriceBook, table: CapacityTable) -> Problem:
    return build_problem(apis(), own_book, table, {}, whole=True)


def offers(problem: Problem) -> list[str]:
    return [option.terms.offer for option in problem.options]


def prices(book: PriceBook) -> tuple[float, float, float, float]:
    """Return US dollars a token: read, written, and both in batches."""
    price = book.token_price("openai", "gpt-4o-mini")
    stated = (
        price.input_usd_per_million,
        price.output_usd_per_million,
        price.batch_input_usd_per_million,
        price.batch_output_usd_per_million,
    )
    found = [float(amount) / 1e6 for amount in stated if amount is not None]
    return found[0], found[1], found[2], found[3]


def test_a_request_costs_its_tokens(problem: Problem, own_book: PriceBook) -> None:
    read, written, batch_read, batch_written = prices(own_book)
    standard, batch = (offers(problem).index(name) for name in ("token-api", "token-api-batch"))
    assert problem.metered.all()
    assert problem.usd_per_request[0, standard] == pytest.approx(1000 * read + 101 * written)
    assert problem.usd_per_work[0, standard] == pytest.approx(500 * read + 50 * written)
    assert problem.usd_per_work[0, batch] == pytest.approx(500 * batch_read + 50 * batch_written)


def test_batches_do_only_what_waits_long_enough(problem: Problem, apis: Load, own_book: PriceBook, table: CapacityTable) -> None:
    batch = offers(problem).index("token-api-batch")
    assert not problem.mu[0, batch].any()
    assert problem.work_per_s[0, batch] > 0.0
    hurried = build_problem(apis(('deadline: "24:00"', 'deadline: "06:00"')), own_book, table, {})
    assert "token-api-batch" not in offers(hurried)
    assert any("batches take up to 86400 s" in item.reason for item in hurried.refusals)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (", ttft: 600 ms", "", "rests on the API's ttft, which is not stated"),
        (", tpot: 20 ms", "", "rests on the API's tpot, which is not stated"),
        ("ttft: 600 ms", "ttft: 2 s", "ttft p95 ≤ 1 s comes to 2 s with the latencies stated"),
        ("latency p95 <= 4 s", "latency p95 <= 2 s", "latency p95 ≤ 2 s comes to 2.6 s"),
        ("input_tokens: 1000", "input_tokens: 200000", "the model reads and writes 128000"),
        ("[token-api, token-api-batch]", "[on-demand]", "purchase.offers does not allow token-api"),
    ],
    ids=["no ttft", "no tpot", "slow", "slow in all", "too long", "not allowed"],
)
def test_what_an_api_can_not_do_is_refused(
    apis: Load, own_book: PriceBook, table: CapacityTable, old: str, new: str, reason: str
) -> None:
    with pytest.raises(InfeasibleError, match=reason):
        build_problem(apis((old, new)), own_book, table, {})


@pytest.mark.parametrize(
    ("limit", "fits"),
    [("requests_per_minute: 50", False), ("requests_per_minute: 500", True), ("tokens_per_minute: 50000", False)],
)
def test_no_block_is_planned_beyond_the_rate_limit(
    apis: Load, own_book: PriceBook, table: CapacityTable, limit: str, fits: bool
) -> None:
    """Up to 0.9 requests a second and more with the rise before capacity: 54 a minute, of 1,101 tokens each."""
    limited = apis(("tpot: 20 ms", f"tpot: 20 ms, {limit}"))
    if fits:
        assert build_problem(limited, own_book, table, {}).mu[0].all(axis=1).any()
    else:
        found = build_problem(limited, own_book, table, {}, whole=True)
        assert not found.mu[0].all(axis=1).any()


def test_a_model_that_the_list_does_not_have_is_an_error_with_near_names(apis: Load) -> None:
    with pytest.raises(InputError, match="gpt-4o-mimi") as caught:
        apis(("gpt-4o-mini", "gpt-4o-mimi"))
    assert "gpt-4o-mini" in caught.value.resolve


def test_a_replay_gives_the_stated_latencies_and_bills_what_was_answered(
    apis: Load, problem: Problem, own_book: PriceBook, table: CapacityTable
) -> None:
    workload, solution = apis(), solve(problem)
    pools, fleet = open_pools(solution), build_fleet(workload, solution, table)
    stretch = find_heldout_stretch(workload)
    (outcome,) = replay_seeds(fleet, workload, stretch)
    chat = outcome.traffic.traffic_class == 0
    assert outcome.ttft_s[chat] == pytest.approx(0.6)
    assert outcome.latency_s[chat] == pytest.approx(0.6 + 100 * 0.02)
    assert np.isfinite(outcome.finish_s).all()
    bill = plan_lines(solution, pools, own_book)
    assert total_usd(bill) == pytest.approx(solution.usd_per_month, rel=1e-9)
    lines = [
        UsageLine(pool.name, pool.option.machine.cloud, pool.option.region, pool.option.machine.name, pool.option.terms.offer)
        for pool in pools
    ]
    _, units = measure_ran_hours(metered_pools(lines, fleet.pools), [outcome], own_book)
    assert sum(units["input tokens"].sum(axis=1)) == outcome.traffic.input_tokens.sum()
    assert sum(units["output tokens"].sum(axis=1)) == outcome.traffic.output_tokens.sum()
