"""What one option of a service is: who sells it, under which offer, and what one request of each class takes of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from tightrope.base.catalogue import OWNED
from tightrope.base.plan import Refusal
from tightrope.base.records import Workload
from tightrope.clouds.service_sizes import CONTAINER, SERVERLESS
from tightrope.offers.token_api import BATCH, STANDARD
from tightrope.plan.problem.arrays import PoolOption, Problem
from tightrope.plan.problem.deployments import Deployment

METERED = frozenset({SERVERLESS, STANDARD, BATCH})
"""Offers that are paid by the request: no machines are counted."""
OF_SERVICES = METERED | {CONTAINER, OWNED}
"""Offers of which the options are made here. They bring what they run from: no root volume is billed beside them."""
HOURS = "hours"
"""Unit of billed machine-hours, as ``requests`` and ``input tokens`` are units."""

Taken = Mapping[str, Mapping[str, float]]
"""Traffic class → unit → how much of it one request takes, on average."""


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Options found for some kind of service, and why others were not."""

    options: tuple[tuple[Deployment, PoolOption], ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __add__(self, other: "ServiceOptions") -> "ServiceOptions":
        """Return both together."""
        return ServiceOptions(self.options + other.options, self.refusals + other.refusals)


def allowed(workload: Workload, offer: str) -> bool:
    """Return whether the workload may pay so."""
    return offer in workload.purchase.offers


def left_out(workload: Workload, problem: Problem) -> list[str]:
    """Say which service that is allowed no option is left of, and why."""
    used = {option.terms.offer for option in problem.options}
    said: list[str] = []
    for name in sorted(OF_SERVICES & set(workload.purchase.offers) - used):
        reasons = [f"{item.what}: {item.reason}" for item in problem.refusals if name in item.what.replace(",", " ").split()]
        said += [f"{name} is not planned with: {'; '.join(reasons[:3])}"] if reasons else []
    return said
