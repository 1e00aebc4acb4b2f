"""Lambda Cloud (``lambda``): the on-demand list prices of its GPU machines, with tables beside this module.

Rules of derivation:

- **on-demand** is the list price of one GPU times the GPUs of the machine. The list knows no regions; a row stands for each region
  that Lambda's API names. It says what a machine costs there, not that one is free today: only the API knows that.
- **There is no spot**, and the price of a reservation is not published: neither has rows.
- **accelerator** ``h100-pcie`` is a chip of its own: nothing takes it for an H100 SXM, whose memory is faster (3.35 against 2 TB/s,
  NVIDIA data sheet); likewise ``a10`` is no ``a10g``. What is not in ``perf/data/accelerators.csv`` needs a measured profile.
- **zones** is 0, unknown: Lambda documents none. ``network_gbps`` is not published.
- **Free**, and so 0, are egress, traffic within a region, and the disk that a machine comes with.
- **object-storage** is the persistent filesystem, the only storage that outlives a machine.

Not here: types without a GPU, and prices that Lambda changed after the table was read.
"""

from pathlib import Path

from tightrope.clouds.catalogue_tables import CsvCloud

CLOUD = CsvCloud("lambda", Path(__file__).parent, frozenset({"machines", "prices", "unit_prices"}))
