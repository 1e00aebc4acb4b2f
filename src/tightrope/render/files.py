"""Writes what renderers return, all or nothing: a reader never finds half an output.

``write_files`` replaces what is there. ``update_files`` is for a folder that people work in: it keeps lists of what it wrote
(``LISTS``), takes away what is no longer rendered, and never loses what somebody changed.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tightrope.base.errors import InputError, Where

LISTS = Path(".tightrope")
"""In an updated folder: for each target a list of its files, path → SHA-256 as it was rendered."""
STARTS = LISTS / "starts"
"""Below it, by their paths: what the user's files would begin with now, to compare them with."""
YOURS = ("settings", "overlay")
"""A file below a folder of such a name, or whose name begins so, is the user's: it is written once, as a start."""


def write_files(out: Path, files: Mapping[Path, str | bytes], option: str = "--out") -> None:
    """Write relative path → text, or bytes, under the folder ``out``; other files of ``out`` are left as they are.

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
        what = f"cannot write to {error.filename or out}: {error.strerror or error}"
        raise InputError(
            what, resolve=f"give {option} a folder you may write to, on a disk with room", where=Where(out)
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_paths(out: Path, files: Iterable[Path], option: str) -> None:
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


def _fill(folder: Path, files: Mapping[Path, str | bytes]) -> None:
    """Write every file below ``folder``, which is new."""
    folder.mkdir()
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())


def _move(draft: Path, out: Path, files: Iterable[Path]) -> None:
    """Replace the files of ``out`` one by one; each is old or new, never half."""
    for path in files:
        place = out / path
        place.parent.mkdir(parents=True, exist_ok=True)
        (draft / path).replace(place)


# ------------------------------------------------------------------------------------------------------------------ updating


@dataclass(frozen=True, slots=True)
class FolderUpdate:
    """What became of each path."""

    written: tuple[Path, ...]
    """New or changed."""
    same: tuple[Path, ...]
    removed: tuple[Path, ...]
    """Rendered before, not any more."""
    yours: tuple[Path, ...]
    """Of the user, and left as they are."""
    outdated: tuple[Path, ...] = ()
    """Of those: what they would begin with (``STARTS``) is not what it was at the last render, so that they may lack something."""
    unused: tuple[Path, ...] = ()
    """Of the user, there, and no longer rendered: they say whether they go."""


def is_yours(path: Path) -> bool:
    """Return whether a rendered file belongs to the user once it is there.

    >>> is_yours(Path("aws/settings.auto.tfvars")), is_yours(Path("aws/overlay/kustomization.yaml")), is_yours(Path("aws/main.tf"))
    (True, True, False)
    """
    return any(part.split(".")[0] in YOURS for part in path.parts)


def update_files(out: Path, files: dict[Path, str], target: str, *, force: bool = False) -> FolderUpdate:
    """Bring the folder ``out`` to what was rendered: what differs is written, what ``target`` no longer renders is removed.

    Raises ``InputError``, before anything is written, where a file that would be replaced or removed is not as it was rendered (somebody
    changed it, or it was never ours), unless ``force``; and where ``write_files`` does. Files of the user are left as they are.
    """
    lists = _lists(out)
    before, own = lists.get(target, {}), LISTS / f"{target}.json"
    there = {path: _read(out / path) for path in (*before, *files)}
    gone = [path for path in before if path not in files and there[path] is not None and not is_yours(path)]
    yours = [path for path in files if is_yours(path) and there[path] is not None]
    written = [path for path, text in files.items() if there[path] != text and path not in yours]
    known = {(path, digest) for listed in lists.values() for path, digest in listed.items()}
    changed = [path for path in (*written, *gone) if there[path] is not None and (path, _digest(there[path])) not in known]
    if changed and not force:
        named = ", ".join(str(path) for path in changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        msg = f"not as rendered, and would be lost: {named}"
        resolve = "move your changes to the settings or the overlay, give another --out, or say --force to lose them"
        raise InputError(msg, resolve=resolve, where=Where(out))
    listed = {str(path): _digest(text) for path, text in sorted(files.items())}
    starts = {STARTS / path: text for path, text in files.items() if is_yours(path)}
    new = {path: files[path] for path in written}
    write_files(out, new | starts | {own: json.dumps(listed, indent=1, ensure_ascii=False) + "\n"})
    unused = [path for path in before if path not in files and is_yours(path)]
    for path in (*gone, *(STARTS / path for path in unused)):
        _remove(out, path)
    return FolderUpdate(
        written=tuple(written),
        same=tuple(path for path in files if path not in written and path not in yours),
        removed=tuple(gone),
        yours=tuple(yours),
        outdated=tuple(path for path in yours if before.get(path, "") != listed[str(path)] != _digest(there[path])),
        unused=tuple(path for path in unused if there[path] is not None),
    )


def _lists(out: Path) -> dict[str, dict[Path, str]]:
    """Return target → what was rendered here before; raise ``InputError`` where a list cannot be read."""
    return {place.stem: _listed(place) for place in sorted((out / LISTS).glob("*.json"))}


def _listed(place: Path) -> dict[Path, str]:
    """Return the paths and digests of one list, which stay inside the folder."""
    try:
        found = json.loads(_read(place) or "")
        paths = {Path(path): str(digest) for path, digest in found.items()}
    except (ValueError, AttributeError):
        paths = {Path("/"): ""}
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        msg = "this is not a list of rendered files"
        raise InputError(msg, resolve="remove it, and say --force where the files are yours to lose", where=Where(place))
    return paths


def _read(path: Path) -> str | None:
    """Return a file's text; None where there is none; what is no text is told from every text."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else None
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise InputError(msg, resolve="give --out a folder you may read", where=Where(path)) from error


def _digest(text: str | None) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256((text or "").encode("utf-8", "surrogateescape")).hexdigest()


def _remove(out: Path, path: Path) -> None:
    """Remove a file, and the folders that have become empty."""
    try:
        (out / path).unlink(missing_ok=True)
        _prune(out, path.parent)
    except OSError as error:
        msg = f"it is no longer rendered, and cannot be removed: {error.strerror}"
        raise InputError(msg, resolve="remove it by hand", where=Where(out / path)) from error


def _prune(out: Path, folder: Path) -> None:
    """Remove folders that have become empty."""
    while folder.parts and (out / folder).is_dir() and not any((out / folder).iterdir()):
        (out / folder).rmdir()
        folder = folder.parent
