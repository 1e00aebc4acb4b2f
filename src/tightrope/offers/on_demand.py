"""On-demand: pay for each machine-hour, stop at any time, never interrupted."""

from tightrope.offers.pay_as_you_go import PayAsYouGo

OFFER = PayAsYouGo("on-demand", interruptible=False)
