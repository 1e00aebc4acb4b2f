"""The reference pages of plan.json and replay.json, drawn from the records: types, units and meanings are read, never repeated."""

import ast
import inspect
import re
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin, get_type_hints

from tightrope.base.plan import Plan
from tightrope.base.replay_report import ReplayReport

UNITS = {
    "_usd_per_hour": "US dollars an hour",
    "usd_per_hour": "US dollars an hour",
    "_usd": "US dollars a month",
    "usd": "US dollars a month",
    "_fraction": "fraction of 1",
    "_ms": "milliseconds",
    "_years": "years",
    "_s": "seconds",
    "_h": "hours",
    "stretch_cost_usd": "US dollars",
    "upfront_usd": "US dollars",
    "break_even": "fraction of 1",
    "weight": "fraction of 1",
    "_per_s": "per second",
    "_per_hour": "per hour",
    "_tokens": "tokens",
    "percentile": "fraction of 1",
    "egress_bytes_per_request": "bytes",
    "share": "fraction of 1",
    "share_by_block": "fraction of 1",
    "utilisation": "fraction of 1",
    "attainment": "fraction of 1",
    "attainment_low": "fraction of 1, low end of its confidence interval",
    "attainment_high": "fraction of 1, high end of its confidence interval",
    "target": "fraction of 1",
    "error_band": "fraction of 1, half-width",
    "schedule": "machines in each block",
    "min_replicas": "machines",
    "max_replicas": "machines",
}
"""End of a field's name → its unit; the longest end that fits is used."""
PLAN = """# plan.json

`tightrope plan` writes it, [`tightrope replay`](../how-to/replay-a-plan.md) reads it: the file is all that a replay needs. Keys
come in this order; figures are exact to a billionth, and what the replay computes with (`serving`, `classes`, `variant_shares`,
`scaling`, `cache`) to the last bit; two equal plans have equal bytes. There is no `null` and no `NaN`: an unknown figure is an error, never
a zero. A month has 730 hours. A week has 168 blocks of an hour; block 0 begins at 00:00 of the first day of the traffic that was
planned for. The version rises when a field changes its meaning or goes; a reader refuses a version it does not know.
"""


REPLAYED = """# replay.json

[`tightrope replay`](../how-to/replay-a-plan.md) writes it. Keys come in this order; figures are exact to a billionth; two equal
replays have equal bytes. A field that says nothing is left out; in a series, `null` is a time about which nothing is known. There is
no `NaN`. The bill (`cost_lines`) is that of the stretch, `monthly_cost_usd` that of a month of 730 hours.
"""


def plan_reference() -> str:
    """Return the page as Markdown: one table per record that a plan is made of."""
    return PLAN + "".join(f"\n{_section(record)}" for record in _records(Plan))


def replayed_reference() -> str:
    """Return the page of a replay's report."""
    return REPLAYED + "".join(f"\n{_section(record)}" for record in _records(ReplayReport))


def _records(record: type) -> list[type]:
    """Return the record and those inside it, each once, in order of appearance."""
    found = [record]
    for hint in get_type_hints(record).values():
        found += [inner for part in _parts(hint) for inner in _records(part) if inner not in found]
    return found


def _parts(hint: object) -> list[type]:
    """Return the records that a type is made of."""
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [part for argument in get_args(hint) for part in _parts(argument)]


def _section(record: type) -> str:
    """Return the heading and table of one record."""
    hints, notes = get_type_hints(record), _notes(record)
    rows = [
        f"| `{field.name}` | {_type(hints[field.name])} | {unit(field.name)} | {_note(field, notes)} |\n"
        for field in sorted(fields(record), key=lambda field: field.name != "schema_version")
    ]
    about = " ".join(inspect.cleandoc(record.__doc__ or "").split())
    return f"## {record.__name__}\n\n{_code(about)}\n\n| field | type | unit | note |\n|---|---|---|---|\n" + "".join(rows)


def _note(field: Field[object], notes: dict[str, str]) -> str:
    """Return what is to be known of a field, and whether a file may leave it out; the version is always there."""
    given = field.name == "schema_version" or (field.default is MISSING and field.default_factory is MISSING)
    return " ".join(part for part in (notes.get(field.name, ""), "" if given else "May be left out.") if part)


def unit(name: str) -> str:
    """Return the unit that a field's name carries, empty where it has none.

    >>> unit("lower_bound_monthly_usd"), unit("attainment_low"), unit("machine")
    ('US dollars a month', 'fraction of 1, low end of its confidence interval', '')
    """
    ends = [end for end in UNITS if name == end or (end.startswith("_") and name.endswith(end))]
    return UNITS[max(ends, key=len)] if ends else ""


def _type(hint: object) -> str:
    """Return a type in a reader's words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{word}`" for word in args)
    if origin in {tuple, list}:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"object of {_type(args[1])}"
    if origin is UnionType:
        return " or ".join(_type(arg) for arg in args if arg is not NoneType)
    if isinstance(hint, type) and is_dataclass(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}[hint]  # type: ignore[index]


def _notes(record: type) -> dict[str, str]:
    """Return field → the sentence that stands under it in the record's source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(record))).body[0]
    notes = {}
    for field, note in zip(body.body, body.body[1:], strict=False) if isinstance(body, ast.ClassDef) else ():
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(note, ast.Expr):
            notes[field.target.id] = _code(" ".join(ast.literal_eval(note.value).split()))
    return notes


def _code(text: str) -> str:
    """Return a docstring's sentence as Markdown inside a table."""
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")
