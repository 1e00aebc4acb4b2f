"""How the replay's functions are compiled: by numba, once per version of their source.

Numba notices a change of the file a function stands in, not of the functions it calls; so machine code is kept in a folder named
after the text of everything that is compiled, under the user's cache folder.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import numba
from numba.core.registry import CPUDispatcher

import tightrope.replay.by_reference  # noqa: F401 - tells numba how to pass a ReplayState

Params = ParamSpec("Params")
Result = TypeVar("Result")

COMPILED_FOLDERS = ("policy", "replay")


@cache
def cache_folder() -> Path:
    """Return the folder for machine code of this version of the source; one for this process alone where none can be kept."""
    package = Path(__file__).parents[1]
    files = sorted(path for folder in COMPILED_FOLDERS for path in (package / folder).glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tightrope" / f"compiled-{digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return passing_folder()
    return folder if os.access(folder, os.W_OK) else passing_folder()


def passing_folder() -> Path:
    """Return a folder that is gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="tightrope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Inner(CPUDispatcher):
    """A compiled function that only compiled ones can call."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is no way in from Python, and to try would end the process."""
        msg = (
            f"{self.py_func.__name__} was called from Python, expected a compiled function: call {self.py_func.__name__}.py_func"
        )
        raise TypeError(msg)


def jit(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Return the function compiled where another compiled one calls it.

    Nothing here allocates, so numba's reference counting is off: counting every array of a ``ReplayState`` at every call took three
    quarters of a replay's time. Ways in from Python and C are left out: they took two thirds of the time to compile.
    """
    compile_with: Any = numba.njit
    compiled = compile_with(error_model="numpy", nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    if isinstance(compiled, CPUDispatcher):  # and not where numba is switched off
        compiled.__class__ = Inner
    return compiled


def entry(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Return a function that Python calls, compiled on first call, with all it calls, or loaded from the cache folder.

    Numba's own settings are left as they were.
    """
    settings: Any = numba.config
    compile_with: Any = numba.njit
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder())
    try:
        return compile_with(cache=True, error_model="numpy", nogil=True, _nrt=False, no_cfunc_wrapper=True)(function)
    finally:
        settings.CACHE_DIR = before
