"""Functions: pay for each request and for its processing time, by the size of the function.

Machine-hours of the usage are billed hours: the time of every request, rounded up by the vendor's rule (``clouds/service_sizes.py``),
and of every start. Sources: AWS Lambda pricing, Google Cloud Run pricing (request-based billing), Azure Functions pricing (all 2026).
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
    """A function size by billed hours and requests; free grants and volume tiers are not modelled."""

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the prices of a billed hour and of a request, or a refusal if one is unknown."""
        row = prices.find(machine, region, self.name)
        if row is None:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue has no such price")
        try:
            request = prices.unit_price(row.cloud, region, ITEM)
        except UnknownNameError:
            return Refusal(f"{machine} {region} {self.name}", "the catalogue has no price of a request")
        usd_per_unit = {REQUESTS: float(request.usd) / REQUESTS_PER_PRICE}
        return OfferTerms(self.name, machine, region, float(row.usd_per_hour), 0.0, row.zones, row, usd_per_unit=usd_per_unit)


OFFER = Serverless("serverless")
