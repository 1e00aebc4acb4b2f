"""AWS Compute Savings Plans: lower rates on every machine of every region and family, for so many US dollars an hour.

They are applied after Reserved Instances and EC2 Instance Savings Plans, all of them together whatever their term and payment (see
``cover.py``). Source: AWS Savings Plans user guide, "Understanding how Savings Plans apply to your usage" (2026).
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = tuple(
    CommitmentOffer(f"compute-savings-plan-{term}-{payment}-upfront")
    for term in ("1y", "3y")
    for payment in ("no", "partial", "all")
)
