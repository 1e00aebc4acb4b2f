"""Ways of paying: one file per purchase option, each with its terms for the optimiser and its exact bill.

Comes in: prices and usage. Goes out: ``OfferTerms`` and bill lines. To extend: add a module with an ``OFFER`` or several ``OFFERS``.
"""
