"""Machines of one's own: options that run only as far as they are there, and the commitment that having them is.

Those that are there already are paid for whatever is decided; else the plan decides how many to buy, up to the quantity of
``owned.csv``. Their power is paid by the hour that they run: no commitment covers it, as it covers no disk elsewhere.
"""

from dataclasses import dataclass

import numpy as np

from tightrope.base.catalogue import OWNED
from tightrope.base.contracts import Prices
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import FloatArray, Workload
from tightrope.base.registry import find_offer
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption, Quota
from tightrope.plan.problem.deployments import Deployment
from tightrope.plan.problem.services.service_options import ServiceOptions, allowed


def find_own(workload: Workload, book: PriceBook, deployments: list[Deployment]) -> ServiceOptions:
    """Return an option for each deployment on a machine of one's own at a site that is allowed."""
    sites = workload.where.regions.get(OWNED, ())
    if sites and not allowed(workload, OWNED):
        return ServiceOptions(
            (), (Refusal(f"machines of your own at {', '.join(sites)}", f"purchase.offers does not allow {OWNED}"),)
        )
    options: list[tuple[Deployment, PoolOption]] = []
    refusals: list[Refusal] = []
    for made in deployments:
        for site in sites if made.machine.cloud == OWNED else ():
            terms = find_offer(OWNED).terms(made.machine.name, site, book)
            if isinstance(terms, OfferTerms):
                options.append((made, PoolOption(made.variant, made.machine, site, made.profile, terms)))
            else:
                refusals.append(terms)
    return ServiceOptions(tuple(options), tuple(refusals))


def running_usd_per_hour(book: Prices, machine: str, site: str) -> float:
    """Return what a machine of one's own costs only while it runs, US dollars an hour: its power."""
    stock = book.stock(machine, site)
    return float(stock.running_usd_per_hour) if stock is not None else 0.0


@dataclass(frozen=True, slots=True)
class OwnedCapacity:
    """The commitments and quotas that machines of one's own bring."""

    covers: tuple[CommitmentOption, ...]
    quotas: tuple[Quota, ...]


def hold_own(workload: Workload, book: PriceBook, options: tuple[PoolOption, ...]) -> OwnedCapacity:
    """Return what having machines costs, and how many there are, for each kind at each site.

    What is bought is paid for even where no option of these regions runs on it.
    """
    scopes = dict.fromkeys(option.terms.scope for option in options if option.terms.offer == OWNED)
    covers: list[CommitmentOption] = []
    quotas: list[Quota] = []
    for scope in scopes:
        mine = np.array([option.terms.offer == OWNED and option.terms.scope == scope for option in options])
        terms = options[int(mine.argmax())].terms
        stock = book.stock(terms.machine, terms.region)
        quantity = stock.quantity if stock is not None else 0
        rate: FloatArray = np.where(mine, terms.usd_per_hour, np.inf)
        existing = quantity * terms.usd_per_hour if workload.services.owned_is_bought else 0.0
        grows = not workload.services.owned_is_bought
        covers.append(
            CommitmentOption(OWNED, OWNED, scope, terms.order, terms.term_years, rate, terms.step_usd_per_hour, existing, grows)
        )
        quotas.append(Quota(f"{terms.machine} at {terms.region}", mine, quantity))
    idle = (
        find_offer(OWNED).terms(machine, site, book)
        for machine, site in sorted(book.stocks)
        if workload.services.owned_is_bought and site in workload.services.own_sites and f"{site}/{machine}" not in scopes
    )
    nowhere = np.full(len(options), np.inf)
    for terms in idle:
        if isinstance(terms, OfferTerms):
            step = terms.step_usd_per_hour
            usd = book.stocks[terms.machine, terms.region].quantity * step
            covers.append(
                CommitmentOption(OWNED, OWNED, terms.scope, terms.order, terms.term_years, nowhere, step, usd, may_grow=False)
            )
    return OwnedCapacity(tuple(covers), tuple(quotas))
