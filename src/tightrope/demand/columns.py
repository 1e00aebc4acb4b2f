"""Which column of a trace holds what: by the names that published traces use, unless the user says so."""

import re
from collections.abc import Iterable, Mapping

from tightrope.base.errors import TraceError, find_near_names
from tightrope.demand.trace_tables import TraceTable, is_number

_NAMES = """
time timestamp timestamps ts t time times datetime date epoch unixtime arrival arrivals arrival_time arrival_ts arrival_timestamp
time arrived_at created_at start_time request_time request_timestamp
input_tokens ContextTokens input_tokens input_length input_len prompt_tokens prompt_length prompt_len prefill_tokens
input_tokens num_prefill_tokens request_tokens n_prompt_tokens tokens_in
output_tokens GeneratedTokens output_tokens output_length output_len completion_tokens completion_length decode_tokens
output_tokens num_decode_tokens response_tokens n_output_tokens tokens_out
rate rate_per_s rate_rps rps qps requests_per_second requests_per_s req_per_s
count count counts requests request_count num_requests n_requests hits invocations
class class traffic_class class_name request_class
model model model_name
key key cache_key prompt_hash prompt_key request_hash content_hash
blocks hash_ids block_hashes prefix_hashes block_ids
client client client_id user user_id tenant tenant_id
cv cv cv_gap interarrival_cv
law dist distribution law interarrival_law
shape shape p1
"""
DEMAND_ROLES = ("time", "input_tokens", "output_tokens", "rate", "count")
REQUEST_ROLES = ("time", "input_tokens", "output_tokens", "class", "key", "blocks")
CLIENT_ROLES = ("client", "time", "rate", "law", "shape", "cv")
UNITS: dict[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_SUFFIX: dict[str, str] = {"s": "s", "sec": "s", "secs": "s", "seconds": "s", "ms": "ms", "millis": "ms", "us": "us", "ns": "ns"}


def _plain(name: str) -> str:
    """Return a name's letters and digits in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


KNOWN: dict[str, frozenset[str]] = {
    role: frozenset(_plain(name) for line in _NAMES.split("\n") for name in line.split()[1:] if line.split()[0] == role)
    for role in {*DEMAND_ROLES, *REQUEST_ROLES, *CLIENT_ROLES, "model"}
}


def columns_table() -> str:
    """Return the names that are known, as a table of Markdown."""
    names: dict[str, list[str]] = {}
    for line in _NAMES.strip().split("\n"):
        role, *known = line.split()
        names.setdefault(role, []).extend(f"`{name}`" for name in known)
    rows = [f"| {role} | {', '.join(known)} |" for role, known in names.items()]
    return "\n".join(["| what | names |", "|---|---|", *rows, ""])


def find_column(table: TraceTable, role: str, chosen: Mapping[str, str]) -> str | None:
    """Return the column that plays ``role``, None where no name fits; two that fit, or a chosen one that is absent, raise.

    ``chosen`` is the user's own role → column and wins; an empty name there says that no column plays the role.
    """
    if role in chosen:
        return _chosen(table, role, chosen[role]) if chosen[role] else None
    fits = [name for name in table.columns if {_plain(name), _plain(_split_unit(name)[0])} & KNOWN[role]]
    if len(fits) > 1:
        what = f"{len(fits)} columns could be the {role}: {', '.join(fits)}"
        raise TraceError(what, resolve=_say(role, fits[0]), where=table.where())
    return fits[0] if fits else None


def require_column(table: TraceTable, roles: Iterable[str], chosen: Mapping[str, str]) -> tuple[str, str]:
    """Return the first of ``roles`` that a column plays, and the column; raise ``TraceError`` where none does."""
    roles = list(roles)
    for role in roles:
        if (column := find_column(table, role, chosen)) is not None:
            return role, column
    wanted = " or ".join(roles)
    near = find_near_names(roles[0], table.columns) or [table.columns[-1]]
    what = f"no {wanted} column, got the columns {', '.join(map(repr, table.columns[:12]))}"
    raise TraceError(what, resolve=_say(roles[-1], near[0]), where=table.where())


def time_factor(table: TraceTable, column: str, unit: str) -> float:
    """Return seconds per unit of a time column: the stated unit, the name's suffix (``_ms``), or the size of a Unix time."""
    if table.is_time(column):
        return 1.0
    if unit:
        return UNITS[unit]
    if stated := _split_unit(column)[1]:
        return UNITS[stated]
    return _by_magnitude(table, column)


def _split_unit(name: str) -> tuple[str, str]:
    """Return a name without its unit, and the unit: ``("arrival", "ms")`` for ``arrival_ms``; no unit is empty."""
    words = re.findall(r"[A-Za-z]+|\d+", name)
    unit = _SUFFIX.get(words[-1].lower(), "") if len(words) > 1 else ""
    return (" ".join(words[:-1]), unit) if unit else (name, "")


def _by_magnitude(table: TraceTable, column: str) -> float:
    """Return the factor of a Unix time (1973 or later) from its first value; a small number has no unit of its own."""
    text = table.first_row[column]
    first = float(text) if is_number(text) else 0.0
    for bound, unit in ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s")):
        if first >= bound:
            return UNITS[unit]
    what = f"time column {column!r} begins at {text!r}: seconds and milliseconds look alike"
    raise TraceError(
        what, resolve="say which: `time_unit: s`, or ms, us, ns (on the command line: --time-unit s)", where=table.where()
    )


def _chosen(table: TraceTable, role: str, column: str) -> str:
    """Return the user's own choice, which must exist."""
    if column not in table.columns:
        near = find_near_names(column, table.columns) or list(table.columns[:12])
        what = f"the {role} column {column!r} is not in the file"
        raise TraceError(what, resolve=f"use {' or '.join(map(repr, near))}", where=table.where())
    return column


def _say(role: str, column: str) -> str:
    """Return how to state a column, in the workload and on the command line."""
    return f"say which: `columns: {{{role}: {column}}}` (on the command line: --column {role}={column})"
