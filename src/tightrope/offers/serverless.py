"""Functions: pay for each request, and for the time in which it is answered, by the size of the function.

The machine-hours of its usage are billed hours: the time of every request, rounded up as the vendor does (``clouds/service_sizes.py``), and
of every start. Sources: AWS Lambda pricing, Google Cloud Run pricing (request-based billing), Azure Functions pricing (all 2026).
"""

from dataclasses import dataclass

from tightrope.base.contracts import Prices
from tightrope.base.errors import UnknownNameError
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.offers.metered import REQUESTS, MeteredOffer

ITEM = "serverless-requests"
REQUESTS_PER_PRICE = 1_000_000
"""Unit prices of requests are for a million."""


@dataclass(frozen=True, slots=True)
class Serverless(MeteredOffer):
    """A size of a function by its billed hours and its requests; free grants and tiers for volume are left out."""

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return what a billed hour and a request cost; a refusal where one of them is not known."""
        row = prices.find(machine, region, self.name)
        if row is None:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue has no such price")
        try:
            request = prices.unit_price(row.cloud, region, ITEM)
        except UnknownNameError:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue does not say what a request costs")
        usd_per_unit = {REQUESTS: float(request.usd) / REQUESTS_PER_PRICE}
        return OfferTerms(self.name, machine, region, float(row.usd_per_hour), 0.0, row.zones, row, usd_per_unit=usd_per_unit)


OFFER = Serverless("serverless")
