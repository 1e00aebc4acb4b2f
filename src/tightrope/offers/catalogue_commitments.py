"""Every commitment in a cloud's catalogue (``commitments.csv``); its rule and rates come from the price book.

- **AWS Reserved Instances**, standard and convertible, regional, Linux and shared tenancy: whole machines. Most families are
  size-flexible: a commitment covers any size, the smallest first. Most families with accelerators are not. AWS applies standard and
  convertible ones alike. Source: Amazon EC2 user guide, "How Reserved Instances are applied" (2026).
- **AWS EC2 Instance Savings Plans** cover every size of one family in one region. They apply after Reserved Instances.
- **AWS Compute Savings Plans** cover every machine in every region. They apply last, together, for every term and payment option.
  Source of both: AWS Savings Plans user guide, "Understanding how Savings Plans apply to your usage" (2026).
- **Azure Reserved VM Instances** are size-flexible within their group. Source: Microsoft documentation, "How the Azure reservation
  discount is applied to virtual machines" (2026).
- **Azure savings plans for compute** cover every machine in every region. They apply after reservations, the greatest discount first.
  Their rates are those of the day of use, not of purchase: a bill of a later day needs that day's price book. Source: Microsoft
  documentation, "How an Azure savings plan discount is applied" (2026).
- **Google Cloud resource-based commitments** cover vCPUs, memory and GPUs of one machine series in one region. Google covers each
  resource apart; here a commitment is the spend that covers machines of the series. Both agree where all machines of the series have
  the same proportion of resources, as those with GPUs do. Where proportions differ (``n2-highcpu`` and ``n2-standard``), this model
  covers more freely than Google. Source: Google Cloud documentation, "Resource-based committed use discounts" (2026).
- **Google Cloud compute flexible commitments** cover vCPUs and memory of eligible series in every region, not GPUs. They apply after
  resource-based ones. Google states the amount at on-demand prices; here, as for every commitment, it is the amount paid. Source:
  Google Cloud documentation, "Compute flexible committed use discounts" (2026).

Sellers of reservations count units of size. Here a size's own rate is its weight: in size-flexible families rates are proportional
to units, up to the rounding of the list.
"""

from tightrope.base import registry
from tightrope.offers.commitment import CommitmentOffer

_RULES = (rule for cloud in registry.load_clouds().values() for rule in cloud.catalogue().commitments)

OFFERS = tuple(CommitmentOffer(name) for name in sorted({rule.offer for rule in _RULES}))
