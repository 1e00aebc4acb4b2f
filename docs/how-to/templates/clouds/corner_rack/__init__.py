"""A cloud of one machine: a server in the corner of the office, priced by what it cost and what it draws.

Copy the folder to ``src/tightrope/clouds/`` and change its rows; nothing else has to know. What a seller's own web service
answers becomes rows as well: a plan never asks a network.
"""

from pathlib import Path

from tightrope.clouds.rows import CsvCloud

CLOUD = CsvCloud(name="corner-rack", directory=Path(__file__).parent, faces=frozenset({"machines", "prices"}))
