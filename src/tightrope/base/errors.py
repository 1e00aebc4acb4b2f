"""The tree of errors, with the command line's exit code for each branch.

TightropeError                      never raised directly
├── InputError            exit 2    a file or option the user gave is wrong
│   ├── UnknownNameError            a name that does not exist, with near names
│   └── TraceError                  a trace that cannot be trusted
├── SourceError           exit 2    a vendor's price list is missing or cannot be trusted
│   └── UnreachableError            the server does not answer; the partial download is kept
├── InfeasibleError       exit 3    no plan meets the SLOs; names the constraint and the smallest fix
├── NotProvenError        exit 4    a plan exists, but the replay did not prove it
└── MissingExtraError     exit 2    an optional part is not installed

A message states: what happened · which record and where · got and expected · ``Resolve:`` the exact field or command.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a user's file; ``line`` counts from 1 and is None where the format has no lines."""

    path: Path | str
    line: int | None = None

    def __str__(self) -> str:
        """Return ``path:line``, which editors can open."""
        return f"{self.path}" if self.line is None else f"{self.path}:{self.line}"


class TightropeError(Exception):
    """Root of every error that a user may see; the message is self-contained."""

    exit_code = 1

    def __init__(self, what: str, *, resolve: str, where: Where | None = None) -> None:
        """State ``what`` happened (got and expected included), ``where``, and how to ``resolve`` it."""
        self.what, self.resolve, self.where = what, resolve, where
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{what}\nResolve: {resolve}")

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling between processes: keyword arguments are restored."""
        return _rebuild, (type(self), self.what, self.resolve, self.where)


def _rebuild(kind: type[TightropeError], what: str, resolve: str, where: Where | None) -> TightropeError:
    """Undo ``TightropeError.__reduce__``."""
    return kind(what, resolve=resolve, where=where)


class InputError(TightropeError):
    """A file or option the user gave is wrong."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that does not exist; the message lists near names."""


class TraceError(InputError):
    """A trace that cannot be trusted: a gap, time going backwards, a missing column."""


class SourceError(TightropeError):
    """A vendor's price list is unavailable or cannot be trusted: empty, shrunken, a changed format."""

    exit_code = 2


class UnreachableError(SourceError):
    """A vendor's server does not answer, or not yet; a partial download is kept and resumed."""


class InfeasibleError(TightropeError):
    """No plan meets the SLOs; ``what`` names the constraint family, ``resolve`` the smallest change that fixes it."""

    exit_code = 3


class NotProvenError(TightropeError):
    """A plan exists, but the replay did not prove it."""

    exit_code = 4


class MissingExtraError(TightropeError):
    """A required optional part is not installed."""

    exit_code = 2


def find_near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` known names nearest to ``name``, best first.

    >>> find_near_names("g4dn.large", ["g4dn.xlarge", "g4dn.2xlarge", "c6i.large", "p5.48xlarge"])[0]
    'g4dn.xlarge'
    """
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def build_unknown_name_error(name: str, *, kind: str, known: Iterable[str], where: Where | None = None) -> UnknownNameError:
    """Return the error for an unknown ``name`` of this ``kind``; its remedy lists the nearest known names."""
    known = sorted(known)
    near = find_near_names(name, known)
    resolve = f"use {' or '.join(near)}" if near else f"use one of: {', '.join(known[:12])}" + (" …" if len(known) > 12 else "")
    return UnknownNameError(f"unknown {kind} {name!r}", resolve=resolve, where=where)
