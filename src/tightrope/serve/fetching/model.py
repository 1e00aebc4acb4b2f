"""Fetches a model once per address into a cache, completely or not at all."""

import hashlib
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from tightrope.base.errors import InputError
from tightrope.clouds.downloads import Fetcher, shown
from tightrope.serve.fetching.archives import MOST_FILES, is_archive, safe_path, unpack
from tightrope.serve.fetching.sources import Source, find_source
from tightrope.serve.metrics.logs import begin_logs

MOST_BYTES = 64 * 2**30
"""Limit for a model, and for the content of its archive."""
LOG_EVERY_S = 5.0
"""Seconds between two log lines of progress."""
SIGTERM_EXIT_CODE = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM ends."""
DIGEST = re.compile(r"sha256=([0-9a-f]{64})")
log = logging.getLogger(__name__)


def fetch_model(address: str, cache: Path | None = None, *, most_bytes: int = MOST_BYTES) -> Path:
    """Return a model's path: a local path as it is, any other address from ``cache``, fetched if necessary.

    An address in the cache is not fetched again, so a new version needs a new address. A file's address may end in ``#sha256=`` and
    its digest, which is checked. Raises ``InputError``, ``SourceError``, ``MissingExtraError``.
    """
    if "://" not in address:
        return Path(address)
    root = _prepare_cache(cache)
    name = hashlib.sha256(address.encode()).hexdigest()[:32]
    cached, draft = root / name, root / f"{name}.part"
    end_logs = begin_logs()
    try:
        with _exit_on_sigterm(), FileLock(root / f"{name}.lock"):
            if not cached.is_dir():
                _fetch(address, draft, most_bytes).replace(cached)
                shutil.rmtree(draft, ignore_errors=True)
            return _find_model(cached, address)
    except OSError as error:
        msg = f"cannot write the model to {str(root)!r}: {error.strerror or error}"
        raise InputError(msg, resolve="name a folder with free space in --models or TIGHTROPE_MODELS") from error
    finally:
        end_logs()


def _fetch(address: str, draft: Path, most_bytes: int) -> Path:
    """Return a folder in ``draft`` with all files of an address; continue an interrupted download."""
    files = draft / "files"
    files.mkdir(parents=True, exist_ok=True)
    progress = _DownloadProgress(most_bytes)
    source = find_source(address, Fetcher(draft / "work", progress))
    _download(source, files, address, progress)
    found_files = [path for path in files.iterdir() if is_archive(path.name)]
    if len(found_files) == 1 and len(list(files.iterdir())) == 1:
        unpacked = draft / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)  # left by an interrupted run
        unpacked.mkdir()
        unpack(found_files[0], unpacked, most_bytes)
        files = unpacked
    _find_model(files, address)
    return files


def _download(source: Source, files: Path, address: str, progress: "_DownloadProgress") -> None:
    """Download the missing files."""
    items, digest = source.list_files(), _parse_digest(address)
    total_bytes = sum(item.size or 0 for item in items)
    if not items or (digest and len(items) > 1):
        msg = f"{shown(address)}: there are {len(items)} files, expected {'one for the digest' if digest else 'at least one'}"
        raise InputError(msg, resolve="correct --model")
    if total_bytes > progress.most_bytes or len(items) > MOST_FILES:
        raise _size_error(progress.most_bytes)
    log.info(
        "fetching %s: %d files, %s",
        shown(address),
        len(items),
        f"{total_bytes / 2**20:.0f} MiB" if total_bytes else "of unknown size",
    )
    for item in items:
        target = files / safe_path(item.name)
        if target.is_file() and target.stat().st_size == item.size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source.download(item, target)
        if digest and (found := _hash_file(target)) != digest:
            target.unlink()
            msg = f"{shown(address)}: got a file with the digest {found}, expected {digest}"
            raise InputError(msg, resolve="correct #sha256=, or ask the file's owner why it changed")
    log.info("fetched %s", shown(address))


class _DownloadProgress:
    """Logs the progress of a download and ends one that is too large."""

    def __init__(self, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes, self._clock, self._logged_s = most_bytes, clock, clock()

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Take the progress of one file; see ``clouds.downloads.FetchProgress``."""
        if max(done, total or 0) > self.most_bytes:
            raise _size_error(self.most_bytes)
        now_s = self._clock()
        if not done and total is None:  # a retry and its reason
            log.warning("fetching %s", label)
        elif now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            log.info("fetching %s: %d MiB of %s", label, done >> 20, "?" if total is None else f"{total >> 20} MiB")


def _size_error(most_bytes: int) -> InputError:
    """Return the error for a model that is too large."""
    msg = f"the model has more than {most_bytes} bytes or {MOST_FILES} files"
    return InputError(msg, resolve="name only the model's folder or file")


def _parse_digest(address: str) -> str:
    """Return the digest in an address, empty without one; raise ``InputError`` if it is invalid."""
    fragment = urlsplit(address).fragment
    found = DIGEST.fullmatch(fragment.lower())
    if fragment and not found:
        msg = f"got #{fragment[:80]}, expected #sha256= and 64 hexadecimal digits"
        raise InputError(msg, resolve="correct --model")
    return found[1] if found else ""


def _hash_file(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_model(folder: Path, address: str) -> Path:
    """Return the folder with ``model.onnx``, or the single file; raise ``InputError`` if there is neither."""
    inner = folder
    while not (inner / "model.onnx").is_file():
        found_files = list(inner.iterdir())
        if len(found_files) != 1:
            msg = f"{shown(address)} has no model.onnx and not a single file: {', '.join(sorted(path.name for path in found_files)[:5])}"
            raise InputError(msg, resolve="name the folder, archive or file of an ONNX model")
        (inner,) = found_files
        if inner.is_file():
            break
    return inner


def _prepare_cache(cache: Path | None) -> Path:
    """Create and return the cache folder; raise ``InputError`` if the default one belongs to another user."""
    root = cache or Path(tempfile.gettempdir()) / f"tightrope-models-{os.getuid()}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = root.stat().st_uid
    except OSError as error:
        msg = f"cannot write models to {str(root)!r}: {error.strerror or error}"
        raise InputError(msg, resolve="name another folder in --models or TIGHTROPE_MODELS") from error
    if cache is None and owner != os.getuid():
        msg = f"{str(root)!r} belongs to another user, who could have placed any model there"
        raise InputError(msg, resolve="name a folder of your own in --models or TIGHTROPE_MODELS")
    return root


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Exit on SIGTERM, which the first process of a container otherwise ignores."""

    def exit_now(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
        raise SystemExit(SIGTERM_EXIT_CODE)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, exit_now)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
