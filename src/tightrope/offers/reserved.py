"""Reserved machines: whole machines at a lower rate for a term, used or not.

- AWS Reserved Instances, standard and convertible, regional, Linux and shared tenancy. Most families are size-flexible (a commitment
  covers any size, the smallest first); most families with accelerators are not. AWS applies standard and convertible ones alike.
  Source: Amazon EC2 user guide, "How Reserved Instances are applied" (2026).
- Azure Reserved VM Instances, size-flexible within their group. Source: Microsoft documentation, "How the Azure reservation discount
  is applied to virtual machines" (2026).

A size is weighed by its own rate where the sellers count units: in the families that are size-flexible the rates are proportional
to the units, up to the rounding of the list.
"""

from tightrope.offers.commitment import CommitmentOffer

OFFERS = (
    *(
        CommitmentOffer(f"{kind}-{term}-{payment}-upfront")
        for kind in ("reserved", "convertible")
        for term in ("1y", "3y")
        for payment in ("no", "partial", "all")
    ),
    CommitmentOffer("reserved-1y"),
    CommitmentOffer("reserved-3y"),
)
