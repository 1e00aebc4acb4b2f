"""What can go wrong, as a tree; the exit code of each branch is the command line's.

TightropeError                      never raised itself
├── InputError            exit 2    a file or option the user gave is wrong
│   ├── UnknownNameError            a name that does not exist, with near names
│   └── TraceError                  a trace that can not be trusted
├── SourceError           exit 2    what a vendor's own price list sent can not be trusted
│   └── UnreachableError            it can not be had now; what has come is kept
├── InfeasibleError       exit 3    no plan keeps the promises; names the constraint and the smallest fix
├── NotProvenError        exit 4    a plan exists, the replay did not prove it
└── MissingExtraError     exit 2    an optional part is not installed

A message is: what happened · which record and where · what was got and expected · ``Resolve:`` the exact field or command.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a user's file; ``line`` counts from 1, None where a format has no lines."""

    path: Path | str
    line: int | None = None

    def __str__(self) -> str:
        """Return ``path:line`` as editors understand it."""
        return f"{self.path}" if self.line is None else f"{self.path}:{self.line}"


class TightropeError(Exception):
    """The root of every error that a user may see; the message is complete on its own."""

    exit_code = 1

    def __init__(self, what: str, *, resolve: str, where: Where | None = None) -> None:
        """State ``what`` happened (got and expected included), ``where``, and how to ``resolve`` it."""
        self.what, self.resolve, self.where = what, resolve, where
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{what}\nResolve: {resolve}")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive a trip between processes: keyword arguments are rebuilt."""
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
    """A trace that can not be trusted: a gap, time going backwards, a column missing."""


class SourceError(TightropeError):
    """What a vendor's own price list sent can not be had, or not be trusted: empty, shrunken, re-shaped."""

    exit_code = 2


class UnreachableError(SourceError):
    """A vendor's server does not answer, or not yet; what has come so far is kept and continued."""


class InfeasibleError(TightropeError):
    """No plan keeps the promises; ``what`` names the constraint family, ``resolve`` the smallest change that fixes it."""

    exit_code = 3


class NotProvenError(TightropeError):
    """A plan exists, but the replay did not prove it."""

    exit_code = 4


class MissingExtraError(TightropeError):
    """An optional part is needed and is not installed."""

    exit_code = 2


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` known names nearest to ``name``, best first.

    >>> near_names("g4dn.large", ["g4dn.xlarge", "g4dn.2xlarge", "c6i.large", "p5.48xlarge"])[0]
    'g4dn.xlarge'
    """
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def unknown_name(name: str, *, kind: str, known: Iterable[str], where: Where | None = None) -> UnknownNameError:
    """Return the error for a ``name`` that no known ``kind`` has, with the nearest names in its remedy."""
    known = sorted(known)
    near = near_names(name, known)
    resolve = f"use {' or '.join(near)}" if near else f"use one of: {', '.join(known[:12])}" + (" …" if len(known) > 12 else "")
    return UnknownNameError(f"unknown {kind} {name!r}", resolve=resolve, where=where)
