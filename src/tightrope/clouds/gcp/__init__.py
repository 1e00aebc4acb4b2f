"""Google Compute Engine and Cloud TPU: on-demand, spot and commitment rates (Linux) of the types that serve inference.

The facts are the CSV files beside this module; each row names its public source (``sources.csv``) and date, and says whether
the figure stands in a list or was derived. Rules:

- a **machine's price** is the sum of its parts as Google lists them: vCPUs, GiB of memory, GPUs, and the local SSD that comes with
  ``a2-ultragpu`` and ``a3``. A TPU machine is priced by its chips alone.
- Google lists prices of types in regions that do not offer them. A type has rows in a region only where a list of zones has it
  too; a whole family that no such list covers is left out (C4A, G4).
- **older rows** are there for g2, a2 and a3: the on-demand price at each change, the spot price at each change since 2026. Steps
  that came from a correction of the source, not from Google, are left out (``a2-ultragpu`` and ``a3-highgpu-8g`` before 2024-05-21,
  ``a3-highgpu-1g`` before 2024-10-24: parts were missing or counted twice).
- **resource commitments** cover one machine series of a region; **flexible commitments** take a share off vCPUs and memory of the
  general-purpose families, so they are in ``discounts.csv``; GPU and TPU families have none.
- **interruptions_per_month** is empty: Google publishes no such figure, so spot is not planned with until the user says one.
- **zones** is the number of zones seen selling the type; three where the type was seen in that many or more of a region; 0 where
  unknown.
- **sustained-use discounts** (up to 20 % a month on n2 and n2d, none on the other families here) are not in the prices.
- egress is Premium Tier to the Americas, by the GiB as Google bills it.

To add a machine type: one row in ``machines.csv`` and its rows in ``prices.csv``; for refreshing, its series in ``series.csv``.
"""

from pathlib import Path

from tightrope.clouds.catalogue_tables import CsvCloud

CLOUD = CsvCloud(
    "gcp",
    Path(__file__).parent,
    frozenset({"machines", "prices", "spot", "commitments", "unit_prices", "refresh"}),
    importer="tightrope.clouds.gcp.refresh.fetch",
)
