"""Microsoft Azure: virtual machines that serve inference (Linux, pay as you go), spot, reservations, and what goes with them.

The facts are the CSV files beside this module; each row names its public source (``sources.csv``) and date, and says whether
the figure stands in a list or was derived. Rules of derivation, always the more expensive where sources differ:

- **on-demand** is the list's price. Where that list holds the price of Windows by mistake (0.046 USD per vCPU and hour above what
  the other sizes of the family cost per vCPU in that region), so much is taken off.
- **spot** is on-demand × the largest share that spot had for any size of the family, in 2024 or in May 2026 (the latter measured
  on a list without a licence, of which nothing is copied): Azure's spot prices of 2024 were about an eighth of on-demand, those of
  2026 up to seven tenths. Only what was seen sold as spot in that region has a row. ``interruptions_per_month`` is unknown: Azure
  tells it to its customers only.
- **reserved-1y, reserved-3y** are on-demand less the smallest discount seen for the family (``discounts.csv``), or for its nearest
  kin; no rate where neither was seen (accelerated families other than A100). Azure lets a reservation be paid monthly at no extra
  cost, so nothing counts as paid upfront. A reservation's other sizes are covered by price ratios, our records by vCPUs: families
  in which these differ count as inflexible.
- **savings-plan-1y, savings-plan-3y** have rules, and no rate until prices are refreshed: Azure publishes rates in its price list only.
- **zones** is three for general families, the zones of these regions; unknown (0) for accelerated ones.
- a part of a GPU has its own name and memory (``a10-sixth``, ``a10-third``, ``a10-half``, likewise of ``v710``), so that no figure of
  the whole is taken for it; ``h100-nvl`` (94 GiB) is a board of its own. A whole GPU's memory is the maker's, except that of the
  V710: 28 GiB in AMD's specifications, of which Azure gives 24.

``serverless-duration`` and ``serverless-requests`` are Azure Functions, ``serverless-cpu`` and ``serverless-memory`` Container Apps,
``container-cpu`` and ``container-memory`` Container Instances. To add a machine type: one row in ``machines.csv`` and its rows in
``prices.csv``, or a refresh.
"""

from pathlib import Path

from tightrope.clouds.catalogue_tables import CsvCloud

CLOUD = CsvCloud(
    "azure",
    Path(__file__).parent,
    frozenset({"machines", "prices", "spot", "commitments", "unit_prices", "refresh"}),
    "tightrope.clouds.azure.refresh.fetch",
)
