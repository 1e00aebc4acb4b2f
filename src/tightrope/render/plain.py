"""Records as plain JSON: keys in the record's order, numbers to 1e-9 unless a field says exact, equal records give equal bytes."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np

from tightrope.base.errors import InputError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"
DECIMALS = 9
"""Digits kept after the point: a billionth of a dollar, a share or a millisecond."""


def plain(value: object, at: str = "", *, exact: bool = False) -> Json:
    """Return a record (or a part of one) as plain JSON values; ``at`` is its path, for the error.

    A field that is None is left out. Floats are rounded to 9 decimals, but in fields marked ``EXACT`` they stay as they are.
    """
    if is_dataclass(value):
        return _record(value, at, exact=exact)
    if isinstance(value, Mapping):
        return {str(key): plain(value[key], f"{at}.{key}", exact=exact) for key in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [plain(item, f"{at}[{index}]", exact=exact) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return _number(value, at, exact=exact)
    if value is None or isinstance(value, str | int):
        return value
    msg = f"{at} is a {type(value).__name__}, which JSON does not know"
    raise TypeError(msg)


def _record(value: object, at: str, *, exact: bool) -> dict[str, Json]:
    """Return one record, its version first."""
    found: dict[str, Json] = {}
    for field in sorted(fields(value), key=lambda field: field.name != "schema_version"):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if part is not None:
            name = f"{at}.{field.name}" if at else field.name
            found[field.name] = plain(part, name, exact=exact or bool(field.metadata.get("exact")))
    return found


def _number(value: float, at: str, *, exact: bool) -> float:
    """Return the number rounded, minus zero as zero; JSON has no NaN and no infinity, and unknown is never zero."""
    if not isfinite(value):
        msg = f"{at} is {value}, expected a number"
        raise InputError(msg, resolve="plan again; if it stays, report it with the workload")
    return value if exact else round(value, DECIMALS) + 0.0


def as_text(value: Json, indent: int = 0) -> str:
    """Return JSON with one key a line and each list of bare values on one line, so that a schedule is a line of a diff."""
    inner, outer = "  " * (indent + 1), "  " * indent
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_atom(key)}: {as_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list, str)) for item in value):
        return "[\n" + ",\n".join(inner + as_text(item, indent + 1) for item in value) + f"\n{outer}]"
    return _atom(value)


def _atom(value: Json) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
