"""Spot: spare machines at a changing, lower rate, taken back with two minutes' notice."""

from tightrope.offers.pay_as_you_go import PayAsYouGo

OFFER = PayAsYouGo("spot", interruptible=True)
