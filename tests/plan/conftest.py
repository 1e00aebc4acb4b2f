"""Commitments and usage made by hand."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tightrope.base.records import FloatArray
from tightrope.plan.commit.outlook import Outlook
from tightrope.plan.problem.arrays import CommitmentOption
from tightrope.plan.problem.commitment_coverage import ApplicationOrder, order_applications

INF = float("inf")


@pytest.fixture(scope="session")
def cover() -> Callable[..., CommitmentOption]:
    """Return a function from rates (inf where an option is not covered) to a commitment."""

    def make(rates: Sequence[float], order: int = 1, step: float = 0.0, existing: float = 0.0, term: int = 1) -> CommitmentOption:
        return CommitmentOption("aws", f"offer-{order}", "", order, term, np.array(rates, dtype=np.float64), step, existing)

    return make


@pytest.fixture(scope="session")
def outlook() -> Callable[..., Outlook]:
    """Return a function from hours [S, P, T] and on-demand rates to an outlook, each scenario and hour counting the same."""

    def make(hours: FloatArray, on_demand: Sequence[float], weight: Sequence[float] | None = None) -> Outlook:
        scenarios, _, count = hours.shape
        likely = np.full(scenarios, 1.0 / scenarios) if weight is None else np.array(weight, dtype=np.float64)
        return Outlook(hours.astype(np.float64), likely, np.full(count, 730.0 / count), np.array(on_demand, dtype=np.float64))

    return make


@pytest.fixture(scope="session")
def slow_bill() -> Callable[..., float]:
    """Return the bill in plain Python, hour by hour, written from the sellers' rules: USD for hours that each weigh 1."""

    def bill(hours: FloatArray, on_demand: FloatArray, covers: Sequence[CommitmentOption], amounts: FloatArray) -> float:
        total = 0.0
        for n in range(hours.shape[1]):
            left = [float(value) for value in hours[:, n]]
            rest = [float(value) for value in amounts]
            for order in sorted({one.order for one in covers}):
                pairs = [
                    (
                        on_demand[p] if one.step_usd_per_hour else 0.0,
                        one.usd_per_hour[p] / on_demand[p],
                        one.usd_per_hour[p],
                        p,
                        k,
                    )
                    for k, one in enumerate(covers)
                    for p in range(len(on_demand))
                    if one.order == order and one.usd_per_hour[p] < on_demand[p]
                ]
                for _, _, rate, p, k in sorted(pairs):
                    hour = min(left[p], rest[k] / rate)
                    left[p] -= hour
                    rest[k] -= hour * rate
            total += sum(float(value) for value in amounts) + sum(x * float(y) for x, y in zip(left, on_demand, strict=True))
        return total

    return bill


@pytest.fixture(scope="session")
def order_of() -> Callable[..., ApplicationOrder]:
    """Return the application order of commitments over on-demand rates."""

    def make(on_demand: Sequence[float], *covers: CommitmentOption) -> ApplicationOrder:
        return order_applications(np.array(on_demand, dtype=np.float64), covers)

    return make
