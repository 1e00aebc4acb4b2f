"""Keeps refreshed catalogues: one zip file a cloud in the user's cache, replaced whole or not at all.

Its tables are those of ``catalogue_tables.py``: the rows in force, and in the folder ``earlier`` the rows that newer ones replaced. The
earlier rows are read only for an earlier day. So last month's plan can be made again, and today's price book loads as fast as before.
"""

import csv
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from io import StringIO
from pathlib import Path

from tightrope.base.catalogue import Catalogue, MachineType
from tightrope.base.errors import InputError, Where
from tightrope.clouds.catalogue_tables import TABLES, load_catalogue

MAX_ARCHIVE_BYTES = 512 * 1024**2
EARLIER = "earlier"


def prices_folder() -> Path:
    """Return the folder of refreshed prices: ``$TIGHTROPE_PRICES``, or ``tightrope/prices`` in the user's cache folder."""
    stated = os.environ.get("TIGHTROPE_PRICES")
    return (
        Path(stated).expanduser()
        if stated
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tightrope" / "prices"
    )


def archive_of(cloud: str) -> Path:
    """Return the file of a cloud's refreshed prices, whether it is there or not."""
    return prices_folder() / f"{cloud}.zip"


def archives(machines: Mapping[str, MachineType]) -> tuple[Path, ...]:
    """Return the files of refreshed prices of the clouds that sell these machines, by name."""
    clouds = {machine.cloud for machine in machines.values()}
    return tuple(path for path in sorted(prices_folder().glob("*.zip")) if path.stem in clouds)


def load_archive(path: Path, machines: Mapping[str, MachineType], *, earlier: bool = False) -> tuple[Catalogue, ...]:
    """Return the tables of one file, what stands now first; raise ``InputError`` where it is not one that a refresh wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_ARCHIVE_BYTES:
                msg = f"the refreshed prices are more than {MAX_ARCHIVE_BYTES} bytes"
                raise InputError(msg, where=Where(path), resolve="remove the file and refresh fewer regions")
            _check_names(archive, path)
            now = load_catalogue(zipfile.Path(archive), machines)
            known = {**machines, **{machine.name: machine for machine in now.machines}}
            has_earlier = any(item.filename.startswith(f"{EARLIER}/") for item in archive.infolist())
            past = (load_catalogue(zipfile.Path(archive, f"{EARLIER}/"), known),) if earlier and has_earlier else ()
            return now, *past
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        msg = f"the refreshed prices cannot be read: {error}"
        raise InputError(msg, where=Where(path), resolve=_remedy(path)) from error


def _check_names(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise ``InputError`` for an archive with other files than a refresh writes, or without prices."""
    names = {item.filename for item in archive.infolist()}
    if "prices.csv" not in names or names - {f"{folder}{table}.csv" for folder in ("", f"{EARLIER}/") for table in TABLES}:
        msg = f"the refreshed prices cannot be read: the files {', '.join(sorted(map(ascii, names)))[:200]} are no tables of a refresh"
        raise InputError(msg, where=Where(path), resolve=_remedy(path))


def _remedy(path: Path) -> str:
    """Return what to do about an archive that cannot be read."""
    return f"put {kept_before(path).name} in its place, if it is there, or remove it and run `tightrope prices refresh` again"


def kept_before(path: Path) -> Path:
    """Return the file that a refresh leaves as it was before it."""
    return path.with_suffix(".before")


def save_archive(path: Path, now: Catalogue, earlier: Catalogue, machines: Mapping[str, MachineType]) -> None:
    """Write a cloud's refreshed tables, read them back, and only then put them in the old ones' place, which are kept beside.

    Raises
    ------
    InputError
        Where a row would not be read again as it is: the old file then stays.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for folder, catalogue in (("", now), (f"{EARLIER}/", earlier)):
                for table in TABLES:
                    rows = getattr(catalogue, table)
                    if rows:
                        archive.writestr(zipfile.ZipInfo(f"{folder}{table}.csv"), _table(rows), zipfile.ZIP_DEFLATED)
        again = load_archive(fresh, machines, earlier=True)
        if again != ((now, earlier) if earlier != Catalogue() else (now,)):
            msg = "the tables read back are not those that were written"
            raise InputError(
                msg, where=Where(fresh), resolve="report it with the vendor's name; the prices you have stay as they are"
            )
        if path.exists():
            shutil.copyfile(path, kept_before(path))
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        msg = f"the refreshed prices cannot be written: {error.strerror}"
        raise InputError(msg, where=Where(path), resolve="make room, or name another folder in TIGHTROPE_PRICES") from error
    finally:
        fresh.unlink(missing_ok=True)


def _table(rows: Sequence[object]) -> str:
    """Return records as CSV, None as an empty cell."""
    names = [field.name for field in fields(rows[0])]  # type: ignore[arg-type]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()
