"""Amazon EC2 inference machines (Linux, shared tenancy): on-demand, spot, reserved, savings plans; storage and network prices.

The facts are the CSV files beside this module. Each row names its public source (``sources.csv``) and date, and whether the figure
is from a list or derived. Rules of derivation (where sources differ, the more expensive counts):

- **on-demand** is AWS's own list for us-east-1, and for other regions where that list was seen; else us-east-1 times the region's
  ratio of 2024, or the ratio of the family's other sizes where all known ratios agree. A type is left out of a region if neither
  the Spot Instance Advisor nor a list of 2026 has it there.
- **spot** of a region is on-demand × (1 − the Spot Instance Advisor's savings), or the mean over zones of a published spot price
  where that is more expensive: a plan must not rest on the price of one lucky zone.
- **spot of p4d, p4de and p5** (AWS cut their price in June 2025) is the mean over zones of the quotes of 2026, rounded up; a zone
  that quoted the on-demand price counts with it. The older rows hold for earlier days: they take the advisor's savings off the
  on-demand price before the cut, since the advisor's month may still refer to it.
- **spot of a zone** (``zone`` is AWS's zone id, such as ``use1-az1``) is the zone's quote at one moment of 2026; there is no row
  where the quote was the on-demand price.
- **interruptions_per_month** is the upper edge of the advisor's band: < 5 % → 0.05, 5–10 % → 0.10, 10–15 % → 0.15,
  15–20 % → 0.20; > 20 % has no upper edge and counts as 0.30. Empty where the advisor has no band: it is unknown.
- **discounts.csv** holds each commitment's discount on a family's on-demand price: the published figure for us-east-1, and for
  other regions (``*``) the same rounded down to a whole per cent. EC2 Instance Savings Plans are assumed equal to Standard, Compute
  Savings Plans to Convertible Reserved Instances. There is no row without a public figure (p5, p5en, p6, g6f, g7e), or if AWS
  cut the price after the discount was seen (p4d and p4de, paid up front).
- **commitments.csv** holds the scope of each and the order in which AWS applies them.
- **zones** is the number of zones seen selling the type; the fewest of its family where only another size was seen; else the
  certain minimum (three for general types, one for accelerated ones).
- **network_gbps** is given from the size 8xlarge on (and for p5.4xlarge): below, AWS publishes a baseline that machines may exceed.
- **accelerator_memory_gib** is the maker's figure; EC2's own list differs (22.4 for an L4, which has 24).
- A part of a GPU has its own name (``l4-eighth``, ``l4-quarter``, ``l4-half``), so that no figure of the whole GPU is used for it.

To add a machine type: one row in ``machines.csv`` and its rows in ``prices.csv``.
"""

from pathlib import Path

from tightrope.clouds.catalogue_tables import CsvCloud

CLOUD = CsvCloud(
    "aws",
    Path(__file__).parent,
    frozenset({"machines", "prices", "spot", "commitments", "unit_prices", "refresh"}),
    importer="tightrope.clouds.aws.refresh.fetch",
)
