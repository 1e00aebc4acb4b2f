"""Amazon EC2 (Linux, shared tenancy) of the types that serve inference: on-demand, spot, reserved, savings plans; and what goes with it.

The facts are the CSV files beside this module; each row names its public source (``sources.csv``) and date, and says whether
the figure stands in a list or was derived. Rules of derivation, always the more expensive where sources differ:

- **on-demand** is AWS's own list for us-east-1, and for other regions where that list was seen; else us-east-1 times the region's
  ratio of 2024, or the ratio of other sizes of the family where it is the same for all that were seen. A type is left out of a
  region for which neither the Spot Instance Advisor nor a list of 2026 knows it.
- **spot** of a region is on-demand × (1 − the Spot Instance Advisor's savings), or the mean over zones of a published spot price
  where that is more expensive: a plan must not rest on a price that one lucky zone had.
- **spot of p4d, p4de and p5**, whose price AWS cut in June 2025, is the mean over zones of what was quoted in 2026, rounded up; a zone
  that quoted the on-demand price counts with that. The older rows hold for days before: they take the advisor's savings off the
  on-demand price before the cut, since the advisor's month may still refer to it.
- **spot of a zone** (``zone`` is AWS's zone id, such as ``use1-az1``) is what was quoted there at one moment of 2026; no row where
  that was the on-demand price.
- **interruptions_per_month** is the upper edge of the advisor's band: < 5 % → 0.05, 5–10 % → 0.10, 10–15 % → 0.15,
  15–20 % → 0.20; > 20 % has no upper edge and counts as 0.30. Empty where the advisor has no band: it is unknown.
- **discounts.csv** holds what a commitment takes off a family's on-demand price: the figure of us-east-1 as published, and for
  other regions (``*``) the same rounded down to a whole per cent. EC2 Instance Savings Plans are taken to be like Standard, Compute
  Savings Plans like Convertible Reserved Instances. No row where nothing is public (p5, p5en, p6, g6f, g7e), nor where the price
  was cut after the discount was seen (p4d and p4de, paid up front).
- **commitments.csv** says what each covers and in which order AWS applies them.
- **zones** is the number of zones seen selling the type; the fewest of its family where only another size was seen; else what
  is certain (three for general types, one for accelerated ones).
- **network_gbps** is given from the size 8xlarge on (and for p5.4xlarge): below, AWS publishes a baseline that machines may exceed.
- **accelerator_memory_gib** is the maker's figure, not that of EC2's own list (22.4 for an L4, which has 24).
- A part of a GPU has its own name (``l4-eighth``, ``l4-quarter``, ``l4-half``), so that no figure of the whole is taken for it.

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
