"""Refreshes the price book from a vendor's own public lists: ``tightrope prices refresh``.

An importer (``clouds/<name>/refresh.py``, named by its cloud) takes an ``Ask`` and a ``Fetcher`` and returns a ``Catalogue``; it
writes nothing. What it returns is compared with what is known, refused where it looks wrong, joined to what was refreshed before
(append-only, see ``store.py``) and swapped in as one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from tightrope.base.catalogue import MachineType


@dataclass(frozen=True, slots=True)
class Ask:
    """What an importer is to fetch."""

    regions: tuple[str, ...]
    """Regions by name, sorted."""
    machines: Mapping[str, MachineType]
    """Name → machine type that the book knows of this cloud."""
    today: date
    """The date of every row."""
    endpoint: str = ""
    """A mirror (or a test's server) that stands for every host of the vendor; empty for the vendor's own."""

    def at(self, url: str) -> str:
        """Return a vendor's URL, at the endpoint where one is given.

        >>> Ask(("us-east-1",), {}, date(2026, 11, 25), "http://127.0.0.1:8000/").at("https://prices.example/list?page=2")
        'http://127.0.0.1:8000/list?page=2'
        """
        parts = urlsplit(url)
        rest = parts._replace(scheme="", netloc="").geturl()
        return self.endpoint.rstrip("/") + rest if self.endpoint else url
