"""Plan → plan.json: keys in the record's order, numbers to 1e-9, the same plan gives the same bytes."""

import json
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"
DECIMALS = 9
"""Digits kept after the point: a billionth of a dollar, a share or a millisecond."""


class PlanJson:
    """Writes ``plan.json``."""

    name = "plan-json"

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return the one file; raise ``InputError`` naming the field where a figure is not a number."""
        return {Path("plan.json"): _text(plan_as_dict(plan)) + "\n"}


RENDERER = PlanJson()


def plan_as_dict(plan: Plan) -> dict[str, Json]:
    """Return the plan as plain JSON values, ``schema_version`` first, floats rounded to 9 decimals."""
    return {"schema_version": plan.schema_version} | {
        field.name: _plain(getattr(plan, field.name), field.name) for field in fields(plan) if field.name != "schema_version"
    }


def _plain(value: object, at: str) -> Json:
    """Return one value of the plan as JSON; ``at`` is its path, for the error."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), f"{at}.{field.name}") for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(value[key], f"{at}.{key}") for key in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item, f"{at}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return _number(value, at)
    if value is None or isinstance(value, str | int):
        return value
    msg = f"{at} of the plan is a {type(value).__name__}, which JSON does not know"
    raise TypeError(msg)


def _number(value: float, at: str) -> float:
    """Return the number rounded, minus zero as zero; JSON has no NaN and no infinity, and unknown is never zero."""
    if not isfinite(value):
        msg = f"the plan's {at} is {value}, expected a number"
        raise InputError(msg, resolve="plan again; if it stays, report it with the workload")
    return round(value, DECIMALS) + 0.0


def _text(value: Json, indent: int = 0) -> str:
    """Return JSON with one key a line and each list of bare values on one line, so that a schedule is a line of a diff."""
    inner, outer = "  " * (indent + 1), "  " * indent
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_atom(key)}: {_text(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list, str)) for item in value):
        return "[\n" + ",\n".join(inner + _text(item, indent + 1) for item in value) + f"\n{outer}]"
    return _atom(value)


def _atom(value: Json) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
