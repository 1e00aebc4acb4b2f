"""Unpacks untrusted archives: plain files only, none outside the folder, within limits of bytes and files."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from tightrope.base.errors import InputError

ArchiveFiles: TypeAlias = Iterator[tuple[str, int, IO[bytes]]]
"""Name, size in bytes, and content of each file."""
MOST_FILES = 10_000
SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")


def is_archive(name: str) -> bool:
    """Return whether a file's name is that of an archive."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, most_bytes: int) -> None:
    """Write an archive's files into a folder; raise ``InputError`` if it is broken, too large or unsafe."""
    left, count = most_bytes, 0
    try:
        with _open_archive(archive) as files:
            for name, size, content in files:
                left, count = left - size, count + 1
                if left < 0 or count > MOST_FILES:
                    msg = f"the archive has more than {most_bytes} bytes or {MOST_FILES} files"
                    raise InputError(msg, resolve="remove the files that the model does not need")
                target = folder / safe_path(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(content, file, 2**20)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        msg = f"cannot unpack the archive: {error}"
        raise InputError(msg, resolve="create it again as .zip or .tar.gz, without a password") from error


def safe_path(name: str) -> PurePosixPath:
    r"""Return a file's relative path; raise ``InputError`` if it leads out of its folder.

    >>> safe_path("./onnx/model.onnx")
    PurePosixPath('onnx/model.onnx')
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or any(letter in name for letter in "\\\0"):
        msg = f"the file name {name[:80]!r} leads out of its folder"
        raise InputError(msg, resolve="use a relative name without `..`")
    return path


@contextmanager
def _open_archive(archive: Path) -> Iterator[ArchiveFiles]:
    """Open a zip or tar archive and give its files."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield _read_zip(zipped)
    else:
        with tarfile.open(archive) as tarred:
            yield _read_tar(tarred)


def _read_zip(archive: zipfile.ZipFile) -> ArchiveFiles:
    """Yield the files of a zip; zipfile reads at most the stated size and checks the CRC."""
    for item in archive.infolist():
        if not item.is_dir():
            with archive.open(item) as content:
                yield item.filename, item.file_size, content


def _read_tar(archive: tarfile.TarFile) -> ArchiveFiles:
    """Yield the files of a tar; raise ``InputError`` for links and devices."""
    for item in archive:
        if item.isdir():
            continue
        content = archive.extractfile(item) if item.isreg() else None
        if content is None:
            msg = f"{item.name[:80]!r} in the archive is not a plain file"
            raise InputError(msg, resolve="pack files and folders only (tar --dereference)")
        with content:
            yield item.name, item.size, content
