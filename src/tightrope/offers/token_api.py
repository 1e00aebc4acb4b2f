"""Token APIs: pay a provider for input and output tokens; the machine is ``provider/model``, the region is empty.

If a prompt is longer than a tier's length, all tokens of the request are paid at that tier's prices. Some lists charge less for
cache hits; their number is unknown, so no discount is taken. ``token-api-batch`` is the rate for deferrable requests, where the
list has one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from tightrope.base.catalogue import PriceRow, TokenPrice
from tightrope.base.contracts import Prices
from tightrope.base.errors import UnknownNameError
from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import FloatArray, IntArray
from tightrope.base.units import today
from tightrope.offers.metered import MeteredOffer

STANDARD, BATCH = "token-api", "token-api-batch"
TOKENS_PER_PRICE = 1_000_000
INPUT, OUTPUT = "input tokens", "output tokens"


def token_units(terms: OfferTerms, input_tokens: IntArray, output_tokens: IntArray) -> dict[str, FloatArray]:
    """Return each request's usage of every priced unit, float64[requests] each.

    The units of longer prompts carry their length: ``input tokens above 200000``.
    """
    lengths = sorted({int(name.rpartition(" ")[2]) for name in terms.usd_per_unit if " above " in name})
    tier = np.searchsorted(np.array(lengths), input_tokens, side="left")
    units: dict[str, FloatArray] = {}
    for place, suffix in enumerate(["", *(f" above {length}" for length in lengths)]):
        in_tier = tier == place
        for name, tokens in ((INPUT, input_tokens), (OUTPUT, output_tokens)):
            units[f"{name}{suffix}"] = np.where(in_tier, tokens, 0).astype(np.float64)
    return units


@dataclass(frozen=True, slots=True)
class TokenApi(MeteredOffer):
    """A provider's model, paid by the token."""

    def terms(self, machine: str, region: str, prices: Prices) -> OfferTerms | Refusal:
        """Return the prices of an input and an output token, or a refusal if the list lacks one."""
        what = f"{machine} {self.name}"
        provider, _, model = machine.partition("/")
        if not model:
            return Refusal(what, "expected provider/model")
        try:
            price = prices.token_price(provider, model)
        except UnknownNameError as error:
            return Refusal(what, error.what)
        rates = dict(self._unit_rates(price))
        if any(rate is None for rate in rates.values()):
            return Refusal(what, f"the list has no {'batch ' if self.name == BATCH else ''}price of its tokens")
        usd_per_unit = {name: float(rate) / TOKENS_PER_PRICE for name, rate in rates.items() if rate is not None}
        seen = price.seen or price.since or today()
        source = f"{price.source}{f'; {price.note}' if price.note else ''}"
        row = PriceRow(provider, region, machine, self.name, Decimal(0), 0, None, "list", source, seen)
        return OfferTerms(self.name, machine, region, 0.0, 0.0, 0, row, usd_per_unit=usd_per_unit)

    def _unit_rates(self, price: TokenPrice) -> Iterator[tuple[str, Decimal | None]]:
        """Yield each unit with its price per million; None where the list lacks it."""
        if self.name == BATCH:
            yield INPUT, price.batch_input_usd_per_million
            yield OUTPUT, price.batch_output_usd_per_million
            return
        yield INPUT, price.input_usd_per_million
        yield OUTPUT, price.output_usd_per_million
        for tier in price.tiers:
            yield f"{INPUT} above {tier.above_prompt_tokens}", tier.input_usd_per_million
            yield f"{OUTPUT} above {tier.above_prompt_tokens}", tier.output_usd_per_million


OFFERS = (TokenApi(STANDARD), TokenApi(BATCH))
