"""plan.json → Plan: the record's own types are the schema; what does not fit is an error that names the field."""

import json
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

from tightrope.base.errors import InputError, Where, find_near_names
from tightrope.base.plan import Plan

Some = TypeVar("Some")

VERSION = 3
"""The ``schema_version`` this release reads and writes."""
OLDER = (1, 2)
MOST_BYTES = 64 * 2**20
"""Largest file that is read: a plan is far below a megabyte."""
GIVE = "give the plan.json that `tightrope plan` wrote"
REDO = "write it again with `tightrope plan`"
AGAIN = "plan again: `tightrope plan workload.yaml`"


def load_plan(path: Path) -> Plan:
    """Return the plan of a ``plan.json``; raise ``InputError`` when it is not one, naming the field."""
    try:
        document = _parse(path)
        _check_version(document)
        return cast("Plan", _read(Plan, document, "plan"))
    except _WrongError as wrong:
        raise InputError(str(wrong), resolve=wrong.resolve, where=Where(path, wrong.line)) from None


class _WrongError(Exception):
    """Something in the file is not as the schema says; ``load_plan`` adds the place."""

    def __init__(self, what: str, *, resolve: str, line: int | None) -> None:
        super().__init__(what)
        self.resolve, self.line = resolve, line


def _refuse(what: str, *, resolve: str = REDO, line: int | None = None) -> NoReturn:
    """Raise: the file is not a plan."""
    raise _WrongError(what, resolve=resolve, line=line) from None


def _wrong(at: str, got: object, expected: str) -> NoReturn:
    """Raise: ``at`` holds something else than expected."""
    text = repr(got)
    _refuse(f"{at} is {text if len(text) <= 60 else text[:57] + '…'}, expected {expected}")


def _parse(path: Path) -> object:
    """Return the file's JSON; NaN, infinities and keys given twice are refused, and no more than ``MOST_BYTES`` are read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            _refuse(f"the file is larger than {MOST_BYTES >> 20} MiB: this is not a plan", resolve=GIVE)
        return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except OSError as error:
        _refuse(f"cannot read the plan: {error.strerror}", resolve=GIVE)
    except json.JSONDecodeError as error:
        _refuse(f"this is not JSON: {error.msg}, column {error.colno}", line=error.lineno)
    except UnicodeDecodeError as error:
        _refuse(f"this is not text in UTF-8 (byte {error.start})", resolve=GIVE)
    except RecursionError:
        _refuse("the JSON is nested too deeply: this is not a plan", resolve=GIVE)
    except ValueError as error:
        _refuse(f"this is not JSON: {error}", resolve=GIVE)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinities, which are not JSON."""
    _refuse(f"a figure is {name}, expected a number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return the object; raise where a key is given twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        _refuse(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice", resolve="remove one of them")
    return found


def _check_version(document: object) -> None:
    """Refuse what is no plan, or a plan of another version."""
    if not isinstance(document, dict) or "schema_version" not in document:
        _refuse("the file has no schema_version: this is not a plan", resolve=GIVE)
    version = document["schema_version"]
    if version in OLDER and not isinstance(version, bool | float):
        _refuse(
            f"schema_version is {version}: an older release wrote this plan, and it holds too little to replay", resolve=AGAIN
        )
    if version != VERSION or isinstance(version, bool | float):
        _wrong("schema_version", version, f"{VERSION}, the version this release reads")


def _read(kind: object, value: object, at: str) -> object:
    """Return ``value`` as the type ``kind``; ``at`` is its path."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value if value in args else _wrong(at, value, " or ".join(map(repr, args)))
    if origin in {tuple, list}:
        items = [_read(args[0], item, f"{at}[{index}]") for index, item in enumerate(_expect(list, value, at, "a list"))]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        return {key: _read(args[1], item, f"{at}.{key}") for key, item in _expect(dict, value, at, "an object").items()}
    if origin is UnionType:
        return _either([part for part in args if part is not NoneType], value, at)
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind, value, at)
    return _bare(kind, value, at)


def _bare(kind: object, value: object, at: str) -> object:
    """Return ``value`` as text, truth or a number."""
    if kind is str:
        return _expect(str, value, at, "text")
    return _expect(bool, value, at, "true or false") if kind is bool else _number(value, at, whole=kind is int)


def _either(kinds: list[type], value: object, at: str) -> object:
    """Return ``value`` as the one of several records that it shares most fields with; a field that is not known is left out."""
    if len(kinds) == 1:
        return _read(kinds[0], value, at)
    given = _expect(dict, value, at, "an object")
    return _record(max(kinds, key=lambda kind: len(given.keys() & {field.name for field in fields(kind)})), given, at)


def _record(kind: type, value: object, at: str) -> object:
    """Return one record; every field is there, none is unknown."""
    given = _expect(dict, value, at, "an object")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    for name in given.keys() - known.keys():
        near = find_near_names(name, known)
        _refuse(f"{at} has an unknown field {name!r}", resolve=f"use {near[0]}" if near else "remove it")
    for name, field in known.items():
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            _refuse(f"{at} has no field {name!r}")
    return kind(**{name: _read(hints[name], given[name], f"{at}.{name}") for name in known if name in given})


def _expect(kind: type[Some], value: object, at: str, words: str) -> Some:
    """Return ``value`` if it is a ``kind``."""
    return value if isinstance(value, kind) else _wrong(at, value, words)


def _number(value: object, at: str, *, whole: bool) -> float:
    """Return a finite number, whole where the record counts."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        _wrong(at, value, "a whole number" if whole else "a number")
    try:
        number = value if whole else float(value)
    except OverflowError:
        number = float("inf")
    return number if isfinite(number) else _wrong(at, value, "a finite number")
