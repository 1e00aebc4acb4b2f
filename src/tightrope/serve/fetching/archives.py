"""Archives, unpacked with care: plain files alone, none outside the folder, no more than is allowed."""

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from tightrope.base.errors import InputError

Opened: TypeAlias = Iterator[tuple[str, int, IO[bytes]]]
"""Name, size in bytes, and content of each file."""
MOST_FILES = 10_000
ENDS = (".zip", ".tar.gz", ".tgz", ".tar")


def is_archive(name: str) -> bool:
    """Return whether a file is unpacked, by its name."""
    return name.lower().endswith(ENDS)


def unpack(archive: Path, folder: Path, most_bytes: int) -> None:
    """Write an archive's files into a folder; raise ``InputError`` for one that is broken, too large, or not to be trusted."""
    left, count = most_bytes, 0
    try:
        with _opened(archive) as files:
            for name, size, content in files:
                left, count = left - size, count + 1
                if left < 0 or count > MOST_FILES:
                    msg = f"the archive has more than {most_bytes} bytes or {MOST_FILES} files"
                    raise InputError(msg, resolve="leave out of it what the model does not need")
                target = folder / inside(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(content, file, 2**20)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        msg = f"the archive cannot be unpacked: {error}"
        raise InputError(msg, resolve="make it anew, as .zip or .tar.gz, without a password") from error


def inside(name: str) -> PurePosixPath:
    r"""Return the path of a file below the folder that it belongs to; raise ``InputError`` where it leads out of there.

    >>> inside("./onnx/model.onnx")
    PurePosixPath('onnx/model.onnx')
    """
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or any(letter in name for letter in "\\\0"):
        msg = f"a file is called {name[:80]!r}, which leads out of its folder"
        raise InputError(msg, resolve="give it a name below the folder")
    return path


@contextmanager
def _opened(archive: Path) -> Iterator[Opened]:
    """Lend the files of an archive, by what it is."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield _of_zip(zipped)
    else:
        with tarfile.open(archive) as tarred:
            yield _of_tar(tarred)


def _of_zip(archive: zipfile.ZipFile) -> Opened:
    """Yield the files of a zip; what is read is never more than it says, and is checked."""
    for item in archive.infolist():
        if not item.is_dir():
            with archive.open(item) as content:
                yield item.filename, item.file_size, content


def _of_tar(archive: tarfile.TarFile) -> Opened:
    """Yield the files of a tar; raise ``InputError`` for what is neither a file nor a folder, such as a link."""
    for item in archive:
        if item.isdir():
            continue
        content = archive.extractfile(item) if item.isreg() else None
        if content is None:
            msg = f"{item.name[:80]!r} in the archive is no plain file"
            raise InputError(msg, resolve="make the archive of files and folders alone (tar --dereference)")
        with content:
            yield item.name, item.size, content
