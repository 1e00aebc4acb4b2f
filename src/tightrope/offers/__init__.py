"""Purchase options: each offer has its terms for the optimiser and its exact bill.

Comes in: prices and usage. Goes out: ``OfferTerms`` and bill lines. To extend: add a module with an ``OFFER`` or several ``OFFERS``;
a commitment that applies as the others do is a row in a cloud's ``commitments.csv``.
"""
