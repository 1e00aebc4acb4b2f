"""Days that options name."""

from datetime import date

from tightrope.base.errors import InputError
from tightrope.base.units import today


def parse_day(text: str, option: str) -> date | None:
    """Return the day that an option names, None where it was left out.

    Raises ``InputError`` for what is no date of the calendar, and for a day that is yet to come: what prices it has, nobody knows.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        msg = f"{option}: got {text[:40]!r}, expected a day such as 2026-07-20"
        raise InputError(msg, resolve="write the day as YYYY-MM-DD") from None
    if day > today():
        msg = f"{option}: {day} is yet to come, today is {today()} (UTC)"
        raise InputError(msg, resolve=f"name a day up to {today()}, or leave {option} out for the newest prices")
    return day


def parse_days(since: str, until: str) -> tuple[date, date]:
    """Return two days, the earlier first; raise ``InputError`` where either is none, or they are the other way round."""
    first, last = parse_day(since, "--since"), parse_day(until, "--until")
    if first is None or last is None or first > last:
        msg = f"--since {since or 'nothing'} --until {until or 'nothing'}: expected two days, the earlier first"
        raise InputError(msg, resolve="write --since 2026-06-30 --until 2026-09-30")
    return first, last
