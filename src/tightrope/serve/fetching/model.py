"""``fetched_model``: an address → a path, kept by the address so that it is fetched once; whole or not at all."""

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
from tightrope.serve.fetching.archives import MOST_FILES, inside, is_archive, unpack
from tightrope.serve.fetching.sources import Source, find_source
from tightrope.serve.metrics.logs import begin_logs

MOST_BYTES = 64 * 2**30
"""Of a model, and of what its archive holds."""
SAY_S = 5.0
"""Between lines that say how far it is."""
TOLD_TO_GO = 128 + signal.SIGTERM
"""Exit status, as of a process that the signal ends."""
DIGEST = re.compile(r"sha256=([0-9a-f]{64})")
log = logging.getLogger(__name__)


def fetched_model(address: str, cache: Path | None = None, *, most_bytes: int = MOST_BYTES) -> Path:
    """Return where a model lies: the path that is given, or where in ``cache`` it is once it is fetched.

    What is there already under this address is not asked for again: another version is to have another address. ``#sha256=`` and the
    digest behind the address of one file is checked. Raises ``InputError``, ``SourceError``, ``MissingExtraError``.
    """
    if "://" not in address:
        return Path(address)
    root = _folder(cache)
    name = hashlib.sha256(address.encode()).hexdigest()[:32]
    kept, draft = root / name, root / f"{name}.part"
    end_logs = begin_logs()
    try:
        with _ending_when_told(), FileLock(root / f"{name}.lock"):
            if not kept.is_dir():
                _fetch(address, draft, most_bytes).replace(kept)
                shutil.rmtree(draft, ignore_errors=True)
            return _model_in(kept, address)
    except OSError as error:
        msg = f"the model cannot be kept in {str(root)!r}: {error.strerror or error}"
        raise InputError(msg, resolve="name a folder with room by --models or TIGHTROPE_MODELS") from error
    finally:
        end_logs()


def _fetch(address: str, draft: Path, most_bytes: int) -> Path:
    """Return the folder, in ``draft``, with all files of an address; what an earlier try left there is gone on with."""
    files = draft / "files"
    files.mkdir(parents=True, exist_ok=True)
    told = _Told(most_bytes)
    source = find_source(address, Fetcher(draft / "work", told))
    _download(source, files, address, told)
    there = [path for path in files.iterdir() if is_archive(path.name)]
    if len(there) == 1 and len(list(files.iterdir())) == 1:
        unpacked = draft / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)  # of a try that was ended
        unpacked.mkdir()
        unpack(there[0], unpacked, most_bytes)
        files = unpacked
    _model_in(files, address)
    return files


def _download(source: Source, files: Path, address: str, told: "_Told") -> None:
    """Download what is not there yet."""
    items, digest = source.items(), _digest(address)
    whole = sum(item.size or 0 for item in items)
    if not items or (digest and len(items) > 1):
        msg = f"{shown(address)}: there are {len(items)} files, expected {'one, which the digest is of' if digest else 'some'}"
        raise InputError(msg, resolve="correct --model")
    if whole > told.most_bytes or len(items) > MOST_FILES:
        raise _too_large(told.most_bytes)
    log.info("fetching %s: %d files, %s", shown(address), len(items), f"{whole / 2**20:.0f} MiB" if whole else "of unknown size")
    for item in items:
        target = files / inside(item.name)
        if target.is_file() and target.stat().st_size == item.size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source.download(item, target)
        if digest and (found := _sha256(target)) != digest:
            target.unlink()
            msg = f"{shown(address)}: got a file with the digest {found}, expected {digest}"
            raise InputError(msg, resolve="correct #sha256=, or ask who keeps the file why it changed")
    log.info("fetched %s", shown(address))


class _Told:
    """Says in the log how far a download is, and ends one that is too large."""

    def __init__(self, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most_bytes, self._clock, self._said_s = most_bytes, clock, clock()

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Hear of a file; see ``clouds.downloads.FetchProgress``."""
        if max(done, total or 0) > self.most_bytes:
            raise _too_large(self.most_bytes)
        now_s = self._clock()
        if not done and total is None:  # a wait, and why
            log.warning("fetching %s", label)
        elif now_s - self._said_s >= SAY_S:
            self._said_s = now_s
            log.info("fetching %s: %d MiB of %s", label, done >> 20, "?" if total is None else f"{total >> 20} MiB")


def _too_large(most_bytes: int) -> InputError:
    """Return the error for a model that is too large."""
    msg = f"the model has more than {most_bytes} bytes or {MOST_FILES} files"
    return InputError(msg, resolve="name the folder or file of the model alone")


def _digest(address: str) -> str:
    """Return the digest that an address states, empty where it states none; raise ``InputError`` where it is none."""
    fragment = urlsplit(address).fragment
    found = DIGEST.fullmatch(fragment.lower())
    if fragment and not found:
        msg = f"got #{fragment[:80]}, expected #sha256= and 64 hexadecimal digits"
        raise InputError(msg, resolve="correct --model")
    return found[1] if found else ""


def _sha256(path: Path) -> str:
    """Return a file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_in(folder: Path, address: str) -> Path:
    """Return the folder with ``model.onnx``, or the one ONNX file; raise ``InputError`` where there is neither."""
    inner = folder
    while not (inner / "model.onnx").is_file():
        there = list(inner.iterdir())
        if len(there) != 1:
            msg = f"{shown(address)} has no model.onnx, and not one file alone: {', '.join(sorted(path.name for path in there)[:5])}"
            raise InputError(msg, resolve="name the folder, the archive or the file of an ONNX model")
        (inner,) = there
        if inner.is_file():
            break
    return inner


def _folder(cache: Path | None) -> Path:
    """Return the folder that keeps models, made if need be; raise ``InputError`` where another user could have put one there."""
    root = cache or Path(tempfile.gettempdir()) / f"tightrope-models-{os.getuid()}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = root.stat().st_uid
    except OSError as error:
        msg = f"models cannot be kept in {str(root)!r}: {error.strerror or error}"
        raise InputError(msg, resolve="name another folder by --models or TIGHTROPE_MODELS") from error
    if cache is None and owner != os.getuid():
        msg = f"{str(root)!r} is another user's, who may have put any model there"
        raise InputError(msg, resolve="name a folder of your own by --models or TIGHTROPE_MODELS")
    return root


@contextmanager
def _ending_when_told() -> Iterator[None]:
    """End on SIGTERM, which the first process of a container does not unless it says so."""

    def told(number: int, frame: object) -> None:  # noqa: ARG001 - as signals call it
        raise SystemExit(TOLD_TO_GO)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
