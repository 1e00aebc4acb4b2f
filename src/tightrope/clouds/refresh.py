"""Refreshes the price book from a vendor's own public lists: ``tightrope prices refresh``.

An importer (``clouds/<name>/refresh.py``, named by its cloud) takes an ``RefreshQuery`` and a ``Fetcher`` and returns a ``Catalogue``; it
writes nothing. What it returns is compared with what is known, refused where it looks wrong, joined to what was refreshed before
(append-only, see ``archive.py``) and swapped in as one file.
"""

import fnmatch
import gzip
import importlib
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from tightrope.base import registry
from tightrope.base.catalogue import Catalogue, MachineType, PriceRow
from tightrope.base.contracts import Cloud
from tightrope.base.errors import InputError, SourceError, UnreachableError, Where, build_unknown_name_error
from tightrope.clouds.archive import archive_of, load_archive, save_archive
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.clouds.catalogue_join import PriceChange, compare, doubted, doubts, joined
from tightrope.clouds.downloads import KEPT_S, Fetcher, FetchProgress, reshaped, silent
from tightrope.clouds.validity import ZoneKey, price_key

BEGUN, REFUSED = "begun", "refused"
"""Files of a work folder: when it was begun, and that its lists looked wrong."""
REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class RefreshQuery:
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

        >>> RefreshQuery(("us-east-1",), {}, date(2026, 11, 25), "http://127.0.0.1:8000/").at("https://prices.example/list?page=2")
        'http://127.0.0.1:8000/list?page=2'
        """
        parts = urlsplit(url)
        rest = parts._replace(scheme="", netloc="").geturl()
        return self.endpoint.rstrip("/") + rest if self.endpoint else url


Importer: TypeAlias = Callable[[RefreshQuery, Fetcher], Catalogue]


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh brought."""

    cloud: str
    regions: tuple[str, ...]
    rows: int
    """Prices that the lists hold of the machines in question."""
    added: int
    changed: int
    withdrawn: int
    unchanged: int
    biggest_changes: tuple[PriceChange, ...]
    """Prices that are others now, the largest relative change first; at most twenty."""
    notes: tuple[str, ...]
    path: Path
    seconds: float


def refresh(
    cloud: str,
    regions: Sequence[str] = (),
    *,
    endpoint: str = "",
    accept: bool = False,
    withdraw: bool = False,
    progress: FetchProgress = silent,
) -> RefreshResult:
    """Fetch a vendor's price lists and put them into the user's price book; the old ones stay until the new are whole.

    Parameters
    ----------
    cloud
        Name of a cloud that has an importer.
    regions
        Names or patterns (``us-*``); every region that the book has where left out.
    endpoint
        A mirror that stands for the vendor's hosts.
    accept
        Take lists that look wrong (those just refused, without fetching them again). Of an offer that has shrunk, what is missing
        stays as it was.
    withdraw
        Where lists are accepted: what is missing is no longer sold.
    progress
        Hears how far each list has come.

    Raises
    ------
    InputError
        An unknown cloud or region, or another refresh that is under way.
    MissingExtraError
        The vendor's own library, which its importer needs, is not installed.
    SourceError
        A list is empty, shrunken, re-shaped or cannot be had; nothing has changed then, and what came is continued.

    """
    began_s = time.monotonic()
    seller = _seller(cloud)
    _check_endpoint(endpoint)
    book = load_price_book()
    machines = {name: machine for name, machine in book.machine_types.items() if machine.cloud == cloud}
    path = archive_of(cloud)
    with _alone(path.with_suffix(".work"), wants_refused=accept) as (work, today):
        ask = RefreshQuery(resolve_regions(book, cloud, regions), machines, today, endpoint)
        fetcher = Fetcher(work, progress)
        listed = _listed(seller.importer, ask, fetcher)
        now, *past = load_archive(path, machines, earlier=True) if path.exists() else (Catalogue(),)
        found = compare(book, listed, cloud, today)
        wrong = list(doubts(book, now, found, ask.regions, cloud))
        if wrong and not accept:
            (work / REFUSED).touch()
            raise doubted(wrong, cloud)
        shrunken = set() if withdraw else {doubt.place for doubt in wrong}
        found = replace(found, withdrawn=tuple(item for item in found.withdrawn if (item.region, item.offer) not in shrunken))
        standing, earlier = joined(now, past[0] if past else Catalogue(), listed, found, today, machines.values())
        save_archive(path, standing, earlier, machines)
        shutil.rmtree(work)
    changed = found.moved
    return RefreshResult(
        cloud,
        ask.regions,
        len(found.prices),
        len(found.added),
        len(changed),
        len(found.withdrawn),
        found.unchanged,
        changed[:20],
        tuple(fetcher.notes),
        path,
        time.monotonic() - began_s,
    )


def _seller(cloud: str) -> Cloud:
    """Return a cloud that has an importer; raise ``UnknownNameError`` otherwise."""
    known = {name: seller for name, seller in registry.load_clouds().items() if seller.importer}
    if cloud not in known:
        raise build_unknown_name_error(cloud, kind="cloud whose price lists can be refreshed", known=known)
    return known[cloud]


def _check_endpoint(endpoint: str) -> None:
    """Raise ``InputError`` for what is no address of a web server."""
    try:
        parts = urlsplit(endpoint)
        plain = not set(endpoint) & set("\\@?#") and endpoint.isprintable() and " " not in endpoint
        valid = not endpoint or (plain and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        valid = False
    if not valid:
        msg = f"endpoint: got {endpoint[:80]!r}, expected an address such as https://mirror.example"
        raise InputError(msg, resolve="give the mirror's address with http:// or https://, or leave the endpoint out")


def resolve_regions(book: PriceBook, cloud: str, asked: Sequence[str]) -> tuple[str, ...]:
    """Return regions by name, sorted; a name without ``*`` or ``?`` need not be known, a pattern must match."""
    known = book.regions(cloud)
    found: set[str] = set()
    for pattern in asked or ["*"]:
        matching = fnmatch.filter(known, pattern)
        if not matching and set(pattern) & set("*?["):
            raise build_unknown_name_error(pattern, kind=f"pattern of regions of {cloud}", known=known)
        if not matching and not REGION.fullmatch(pattern):
            raise build_unknown_name_error(pattern, kind=f"region of {cloud}", known=known)
        found.update(matching or [pattern])
    return tuple(sorted(found))


def _listed(importer: str, ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Return what an importer reads; what it cannot trust is not kept for the next try."""
    module, _, function = importer.rpartition(".")
    fetch: Importer = getattr(importlib.import_module(module), function)
    try:
        listed = fetch(ask, fetcher)
        _check_own(listed, ask)
    except UnreachableError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        shutil.rmtree(fetcher.work)
        msg = f"a list that was downloaded is damaged: {error}"
        raise SourceError(msg, resolve="run it again: it is downloaded anew") from error
    except SourceError:
        shutil.rmtree(fetcher.work)
        raise
    return listed


def _check_own(listed: Catalogue, ask: RefreshQuery) -> None:
    """Raise ``SourceError`` for what is no price, a price of a region nobody asked for, and two prices of one thing."""
    for row in (*listed.prices, *listed.unit_prices):
        usd = row.usd_per_hour if isinstance(row, PriceRow) else row.usd
        where = f"{row.region} {row.machine if isinstance(row, PriceRow) else row.item}"
        if row.region not in ask.regions:
            raise reshaped(where, row.region, f"prices of {', '.join(ask.regions)}")
        if not usd.is_finite() or usd <= 0:
            raise reshaped(where, usd, "a price above 0")
    seen: dict[ZoneKey, PriceRow] = {}
    for price in listed.prices:
        if seen.setdefault(price_key(price), price) is not price:
            raise reshaped(" ".join(price_key(price)), [seen[price_key(price)].usd_per_hour, price.usd_per_hour], "one price")


@contextmanager
def _alone(work: Path, *, wants_refused: bool) -> Iterator[tuple[Path, date]]:
    """Lend a work folder to one refresh at a time, and the day on which its lists were begun.

    What an earlier refresh left there is continued for six hours; lists that it refused only where they are wanted all the same.
    """
    lock = FileLock(work.with_suffix(".lock"))
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        msg = "another refresh of this cloud is under way"
        raise InputError(msg, where=Where(work), resolve="wait until it ends, or end it") from None
    except OSError as error:
        msg = f"refreshed prices cannot be kept here: {error.strerror}"
        raise InputError(msg, where=Where(work.parent), resolve="name a folder that you may write in TIGHTROPE_PRICES") from error
    try:
        begun = _begun(work)
        now = datetime.now(tz=UTC)
        if begun is None or (now - begun).total_seconds() > KEPT_S or ((work / REFUSED).exists() and not wants_refused):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            begun = now
            (work / BEGUN).write_text(begun.isoformat(), encoding="utf-8")
        yield work, begun.date()
    finally:
        lock.release()


def _begun(work: Path) -> datetime | None:
    """Return when a work folder was begun, None where there is none that says so."""
    try:
        return datetime.fromisoformat((work / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
