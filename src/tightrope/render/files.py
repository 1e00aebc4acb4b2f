"""Writes what renderers return, all or nothing: a reader never finds half an output."""

import secrets
import shutil
from pathlib import Path

from tightrope.base.errors import InputError, Where


def write_files(out: Path, files: dict[Path, str], option: str = "--out") -> None:
    """Write relative path → text under the folder ``out``; other files of ``out`` are left as they are.

    Everything is written to a temporary folder first and then renamed into place, so a failure leaves ``out`` as it was: a new
    ``out`` appears at once, an existing one has its files replaced one by one, each atomically. Raises ``InputError`` when
    ``out`` is a file, when a file's place is taken by a folder, or when the disk refuses;
    it names ``option``, which the place was given to.
    """
    _check_paths(out, files, option)
    fresh = not out.exists()
    # Inside an existing folder (it may be a mount point, its parent read-only); beside one that is to appear.
    draft = (out.parent if fresh else out) / f".{out.name}.{secrets.token_hex(4)}.part"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _fill(draft, files)
        if fresh:
            draft.rename(out)
        else:
            _move(draft, out, files)
    except OSError as error:
        what = f"can not write to {error.filename or out}: {error.strerror or error}"
        raise InputError(
            what, resolve=f"give {option} a folder you may write to, on a disk with room", where=Where(out)
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_paths(out: Path, files: dict[Path, str], option: str) -> None:
    """Refuse what could never be put in place, before anything is written."""
    if out.exists() and not out.is_dir():
        msg = "the output folder is a file"
        raise InputError(msg, resolve=f"give {option} a folder, or remove the file", where=Where(out))
    for path in files:
        if path.is_absolute() or ".." in path.parts or not path.parts:
            what = f"a renderer asked for the path {str(path)!r}, expected one inside the output folder"
            raise InputError(what, resolve="mend the renderer: it returns relative paths", where=Where(out))
        if (out / path).is_dir():
            msg = "a folder stands where a file must go"
            raise InputError(msg, resolve=f"remove it or give another {option}", where=Where(out / path))


def _fill(folder: Path, files: dict[Path, str]) -> None:
    """Write every file below ``folder``, which is new."""
    folder.mkdir()
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="\n")


def _move(draft: Path, out: Path, files: dict[Path, str]) -> None:
    """Replace the files of ``out`` one by one; each is old or new, never half."""
    for path in files:
        place = out / path
        place.parent.mkdir(parents=True, exist_ok=True)
        (draft / path).replace(place)
