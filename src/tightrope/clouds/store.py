"""Keeps what was refreshed: one zip file of tables a cloud, in the user's cache, replaced whole or not at all.

Its tables are those of ``rows.py``. They are append-only, as the tables that ship are: a price that changed gets a dated successor,
one that did not keeps its first sighting and its latest, and one that its seller no longer lists gets a row in ``withdrawn.csv``.
"""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tightrope.base.catalogue import Catalogue, MachineType
from tightrope.base.errors import InputError, Where
from tightrope.clouds.rows import MAX_FILE_BYTES, load_catalogue


def prices_folder() -> Path:
    """Return the folder of refreshed prices: ``$TIGHTROPE_PRICES``, or ``tightrope/prices`` in the user's cache folder."""
    stated = os.environ.get("TIGHTROPE_PRICES")
    return Path(stated) if stated else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tightrope" / "prices"


def load_refreshed(machines: Mapping[str, MachineType]) -> tuple[Catalogue, ...]:
    """Return the refreshed tables of every cloud, by its name; ``machines`` are those that ship (name → machine)."""
    return tuple(load_archive(path, machines) for path in sorted(prices_folder().glob("*.zip")))


def load_archive(path: Path, machines: Mapping[str, MachineType]) -> Catalogue:
    """Return the tables of one zip file; raise ``InputError`` where it is not one that a refresh wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_FILE_BYTES:
                msg = f"the refreshed prices are more than {MAX_FILE_BYTES} bytes"
                raise InputError(msg, where=Where(path), resolve="remove the file and refresh fewer regions")
            return load_catalogue(zipfile.Path(archive), machines)
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"the refreshed prices can not be read: {error}"
        raise InputError(msg, where=Where(path), resolve="remove the file and run `tightrope prices refresh` again") from error
