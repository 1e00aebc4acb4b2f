"""Small catalogues on disk."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import PriceRow
from tightrope.clouds.book import PriceBook, load_price_book

MACHINES = """cloud,name,family,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,source,seen
here,box.small,box,2,4,amd64,,0,0,shop,2026-01-01
here,box.large,box,8,16,arm64,T4,1,16,@list,2026-01-01
"""
PRICES = """cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen
here,town,box.small,on-demand,0.10,3,,list,shop,2026-01-01
here,town,box.small,on-demand,0.12,3,,list,shop,2026-03-01
here,town,box.small,spot,0.05,3,0.20,derived,@list @bands,2026-02-01
here,town,box.large,on-demand,0.90,0,,list,shop,2026-01-01
"""
UNIT_PRICES = """cloud,region,item,unit,usd,basis,source,seen
here,town,internet-egress,GB,0.09,list,shop,2026-01-01
"""
SOURCES = """key,description,licence
list,the shop's list,public
bands,the shop's bands,public
"""


@pytest.fixture(scope="session")
def write_catalogue() -> Callable[..., Path]:
    """Return a function that writes the small catalogue into a folder, with whole tables exchanged or left out (``None``)."""

    def write(folder: Path, **tables: str | None) -> Path:
        default = {"machines": MACHINES, "prices": PRICES, "unit_prices": UNIT_PRICES, "sources": SOURCES}
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (default | tables).items():
            if text is not None:
                (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """Return the book as it ships."""
    return load_price_book()


def row_of(book: PriceBook, machine: str, offer: str, region: str) -> PriceRow:
    """Return a row that there must be."""
    row = book.find(machine, region, offer)
    assert row, (machine, region, offer)
    return row


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """Return a table as it is written."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """Return a price server on the loopback (see ``loopback.py``)."""
    with Loopback() as server:
        yield server
