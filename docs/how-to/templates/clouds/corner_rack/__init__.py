"""A cloud of two machines: an example of a seller, with every kind of table and an importer of its price list.

Copy the folder to ``src/tightrope/clouds/`` and change its rows; nothing else has to know. Rules of derivation:

- **on-demand** stands in the shop's list; a price that changed has a row for each day on which it was first seen.
- **reserved-1y** is on-demand less the discount of ``discounts.csv``, worked out by the book; half of the year is paid at its start.
- traffic to the internet is free up to 1,000 GB a month: its lowest tier begins there.
"""

from pathlib import Path

from tightrope.clouds.catalogue_tables import CsvCloud

CLOUD = CsvCloud(
    name="corner-rack",
    directory=Path(__file__).parent,
    faces=frozenset({"machines", "prices", "commitments", "unit_prices", "refresh"}),
    importer="tightrope.clouds.corner_rack.refresh.fetch",
)
