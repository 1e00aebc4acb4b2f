"""Quantities as people write them in a ``workload.yaml``, as types that pydantic checks and editors understand.

A number that could be read two ways needs its unit; the message says which units would do.
"""

import re
from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from tightrope.base.errors import find_near_names
from tightrope.base.records import Slo
from tightrope.base.units import BYTES, SECONDS, parse_bytes, parse_quantity, parse_seconds

DURATIONS = SECONDS | {"hour": 3600.0, "hours": 3600.0, "day": 86400.0, "days": 86400.0}
SHORTEST_SYNC_S = 1.0
"""The autoscaler looks no more often: a replay takes one step for each look."""
LONGEST_WINDOW_S = 86_400.0
"""The autoscaler looks no further back, a day: a replay keeps what it saw at each look."""
METRICS = ("latency", "ttft", "tpot")
_SLO = re.compile(r"\s*(\w+)\s+p(\d+(?:\.\d+)?)\s*(?:<=|≤|<)\s*(.+?)\s*")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")


def parse_slo(text: object) -> Slo:
    """Return the promise written as ``metric pNN <= limit``; raise ``ValueError`` saying what would do.

    >>> parse_slo("ttft p95 <= 250 ms")
    Slo(metric='ttft', percentile=0.95, limit_s=0.25)
    """
    match = _SLO.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        msg = f"got {text!r}, expected a promise such as 'ttft p95 <= 3 s' or 'latency p99 <= 100 ms'"
        raise ValueError(msg)
    percentile, limit_s = float(match[2]) / 100, parse_seconds(match[3])
    if not 0 < percentile < 1 or limit_s <= 0:
        msg = f"got {text!r}, expected a percentile between p0 and p100 and a limit above 0"
        raise ValueError(msg)
    match match[1].lower():
        case "latency" | "ttft" | "tpot" as metric:
            return Slo(metric, percentile, limit_s)
        case other:
            near = find_near_names(other, METRICS)
            msg = f"got the metric {other!r}, expected {' or '.join(near) if near else ', '.join(METRICS)}"
            raise ValueError(msg)


def parse_clock(text: object) -> float:
    """Return a time of day in hours, from ``"22:00"``.

    >>> parse_clock("22:30")
    22.5
    """
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) > 24 or int(match[2]) > 59 or (int(match[1]) == 24 and int(match[2])):
        msg = f"got {text!r}, expected a time of day such as '22:00'"
        raise ValueError(msg)
    return int(match[1]) + int(match[2]) / 60


def _quantity(parse: Callable[[str], float], units: dict[str, float], example: str) -> Callable[[object], float]:
    """Return a validator that wants text with a unit and says which units would do."""

    def validate(value: object) -> float:
        if isinstance(value, str):
            return parse(value)
        msg = f"got {value!r} without a unit, expected a quantity such as '{example}' (units: {', '.join(units)})"
        raise ValueError(msg)

    return validate


def _fraction(value: object) -> float:
    """Return a fraction from ``"25 %"`` or 0.25."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        return parse_quantity(str(value), {"%": 1.0, "": 100.0}) / 100
    except ValueError as error:
        msg = f"got {value!r}, expected a fraction such as '25 %' or 0.25"
        raise ValueError(msg) from error


def _whole_tokens(value: object) -> int:
    """Return a number of tokens from ``"16 tokens"``; raise ``ValueError`` where it is none, or no whole one."""
    units = {"tokens": 1.0, "token": 1.0}
    tokens = _quantity(lambda text: parse_quantity(text, units), units, "16 tokens")(value)
    if not tokens.is_integer():
        msg = f"got {value!r}, expected a whole number of tokens"
        raise ValueError(msg)
    return int(tokens)


def _with_unit(example: str) -> WithJsonSchema:
    """Return the editor's view of a quantity: text with a unit."""
    return WithJsonSchema({"type": "string", "examples": [example]})


def _as_fraction(example: str) -> WithJsonSchema:
    """Return the editor's view of a fraction: text with ``%``, or a number."""
    return WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": "^\\s*[-+]?[0-9.]+\\s*%\\s*$"}, {"type": "number"}], "examples": [example]}
    )


Seconds: TypeAlias = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_quantity(lambda text: parse_quantity(text, DURATIONS), DURATIONS, "15 s")),
    _with_unit("15 s"),
]
Wait: TypeAlias = Annotated[
    float,
    Field(ge=0, allow_inf_nan=False),
    BeforeValidator(_quantity(lambda text: parse_quantity(text, DURATIONS), DURATIONS, "0 s")),
    _with_unit("0 s"),
]
"""Seconds that may be none."""
Bytes: TypeAlias = Annotated[
    float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_quantity(parse_bytes, BYTES, "23 MB")), _with_unit("23 MB")
]
Clock: TypeAlias = Annotated[float, BeforeValidator(parse_clock), WithJsonSchema({"type": "string", "examples": ["22:00"]})]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_fraction), _as_fraction("50 %")]
Change: TypeAlias = Annotated[float, Field(gt=-1, le=100, allow_inf_nan=False), BeforeValidator(_fraction), _as_fraction("25 %")]
Surge: TypeAlias = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), BeforeValidator(_fraction), _as_fraction("25 %")]
Positive: TypeAlias = Annotated[float, Field(gt=0, lt=1e18, allow_inf_nan=False)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, lt=1e18, allow_inf_nan=False)]
Tokens: TypeAlias = Annotated[int, Field(ge=1, le=100_000_000)]
BlockTokens: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_whole_tokens), _with_unit("16 tokens")]
"""Tokens of one block of a prefix cache."""
Promise: TypeAlias = Annotated[
    Slo, BeforeValidator(parse_slo), WithJsonSchema({"type": "string", "examples": ["ttft p95 <= 3 s", "latency p99 <= 100 ms"]})
]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


def _heldout(value: object) -> float | str:
    """Return a share of the trace, or a duration as text for later."""
    if isinstance(value, str) and not value.strip().endswith("%") and re.search("[a-z]", value):
        parse_quantity(value, DURATIONS)
        return value
    return _fraction(value)


def _check_heldout(value: float | str) -> float | str:
    """Refuse a share that leaves nothing to size on or nothing to prove on."""
    if isinstance(value, float) and not 0 < value < 1:
        msg = f"got {value:g}, expected a share between 0 and 1, or a duration such as '5 days'"
        raise ValueError(msg)
    return value


Heldout: TypeAlias = Annotated[
    float | str,
    BeforeValidator(_heldout),
    AfterValidator(_check_heldout),
    WithJsonSchema({"type": ["string", "number"], "examples": ["5 days", "30 %"]}),
]
