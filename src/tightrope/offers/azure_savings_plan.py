"""Azure savings plan for compute: lower rates on every machine of every region, for so many US dollars an hour.

It is applied after reservations, the greatest discount first (see ``cover.py``). Its rates are those of the day, not of the day of
purchase: a bill of a later day is made with that day's price book. Source: Microsoft documentation, "How an Azure savings plan
discount is applied" (2026).
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = (CommitmentOffer("savings-plan-1y"), CommitmentOffer("savings-plan-3y"))
