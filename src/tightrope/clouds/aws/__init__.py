"""Amazon EC2: on-demand, spot and 1-year Compute Savings Plan rates (Linux, shared tenancy) of the types that serve inference.

The facts are the CSV files beside this module; each row names its public source (``sources.csv``) and date, and says whether
the figure stands in a list or was derived. Rules of derivation, always the dearer where sources differ:

- **spot** is on-demand × (1 − the Spot Instance Advisor's savings), or the mean over zones of a published spot price where that
  is dearer: a plan must not rest on a price that one lucky zone had. For p4d and p5 the on-demand price before AWS's cut of
  June 2025 is the base, since the advisor's month may still refer to it.
- **interruptions_per_month** is the upper edge of the advisor's band: < 5 % → 0.05, 5–10 % → 0.10, 10–15 % → 0.15,
  15–20 % → 0.20; > 20 % has no upper edge and counts as 0.30.
- **compute-savings-plan-1y-no-upfront** is on-demand less the smallest discount that public figures give for the family, rounded
  down to a whole per cent; no row where there is none (p5).
- **zones** is the number of zones seen selling the type; the fewest of its family where only another size was seen; else what
  is certain (three for general types, one for p4d and p5).

To add a machine type: one row in ``machines.csv`` and its rows in ``prices.csv``.
"""

from pathlib import Path

from tightrope.clouds.rows import CsvCloud

CLOUD = CsvCloud("aws", Path(__file__).parent, frozenset({"machines", "prices", "spot", "commitments", "unit_prices"}))
