"""Answers as JSON: the fields of their records, in order; what is unknown is null, money a number of as many digits as it has."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias, get_args

from tightrope.clouds.search.find import SearchResult
from tightrope.clouds.search.machine_comparison import ComparedMachine
from tightrope.clouds.search.machine_sheet import Sheet
from tightrope.clouds.search.origins import Origins
from tightrope.clouds.search.price_changes import Changes, How
from tightrope.clouds.token_prices import TokenPrice

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"


def plain(value: object) -> Json:
    """Return records, lists, money and days as JSON values.

    >>> plain({"usd": Decimal("0.20444"), "seen": (date(2026, 7, 20),)})
    {'usd': 0.20444, 'seen': ['2026-07-20']}
    """
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return _atom(value)


def _atom(value: object) -> Json:
    """Return a single value."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (date, Path)):
        return value.isoformat() if isinstance(value, date) else str(value)
    msg = f"a {type(value).__name__} has no JSON"
    raise TypeError(msg)


def _object(value: object) -> dict[str, Json]:
    """Return a record as a JSON object."""
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]


def search_json(found: SearchResult, limit: int | None) -> Json:
    """Return what was found: ``prices`` by offer, null where a machine is not sold so."""
    hits: list[Json] = [
        {"machine": plain(hit.machine), "region": hit.region, "prices": plain(dict(zip(found.offers, hit.prices, strict=True)))}
        for hit in found.hits[:limit]
    ]
    return {
        "matched": len(found.hits),
        "offers": list(found.offers),
        "near_offers": list(found.near_offers),
        "hits": hits,
    }


def sheet_json(sheet: Sheet) -> Json:
    """Return one machine; every quote with the years that it commits to, null for none."""
    quotes: list[Json] = [_object(quote) | {"term_years": sheet.terms.get(quote.row.offer)} for quote in sheet.quotes]
    return _object(sheet) | {"quotes": quotes}


def sides_json(kind: str, sides: tuple[ComparedMachine, ...]) -> Json:
    """Return a comparison, each side with what spot and the best commitments take off."""
    said: list[Json] = [
        _object(side)
        | {
            "spot_share_off": side.off(side.spot),
            "best_share_off": {str(years): side.off(row) for years, row in sorted(side.best.items())},
        }
        for side in sides
    ]
    return {"kind": kind, "sides": said}


def tokens_json(found: Sequence[TokenPrice], limit: int | None) -> Json:
    """Return prices of tokens, US dollars a million."""
    return {"matched": len(found), "prices": plain(tuple(found[:limit]))}


def changes_json(changes: Changes, limit: int | None) -> Json:
    """Return what changed, each change with its share, and how many figures of each kind were changed, withdrawn or are new."""
    said: list[Json] = [_object(change) | {"share": change.share} for change in changes.changes[:limit]]
    counts: dict[str, Json] = {
        how: plain(Counter(change.what for change in changes.changes if change.how == how)) for how in get_args(How)
    }
    return {"matched": len(changes.changes), "counts": counts} | _object(changes) | {"changes": said}


def origins_json(origins: Origins, today: date) -> Json:
    """Return every source with its age, and the catalogues with the number of their rows instead of the rows."""
    said: list[Json] = [_object(origin) | {"age_days": origin.age_days(today)} for origin in origins.origins]
    parts: list[Json] = [
        {"kind": part.kind, "name": part.name, "path": plain(part.path), "written": plain(part.written), "rows": part.rows}
        for part in origins.parts
    ]
    return {"ages": plain(origins.ages), "origins": said, "catalogues": parts}


def text(value: Json) -> str:
    """Return JSON on one line, in ASCII: it is the same whatever letters the terminal or the file has."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
