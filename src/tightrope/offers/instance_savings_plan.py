"""AWS EC2 Instance Savings Plans: lower rates on every size of one family in one region, for so many US dollars an hour.

They are applied after Reserved Instances and before Compute Savings Plans (see ``cover.py``). Source: AWS Savings Plans user guide,
"Understanding how Savings Plans apply to your usage" (2026).
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = tuple(
    CommitmentOffer(f"instance-savings-plan-{term}-{payment}-upfront")
    for term in ("1y", "3y")
    for payment in ("no", "partial", "all")
)
