"""Days in command-line options."""

from datetime import date

from tightrope.base.errors import InputError
from tightrope.base.units import today


def parse_day(text: str, option: str) -> date | None:
    """Return the day that an option names, or None without the option.

    Raises ``InputError`` for an invalid date and for a day in the future, which has no prices.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        msg = f"{option}: got {text[:40]!r}, expected a day such as 2026-07-20"
        raise InputError(msg, resolve="write the day as YYYY-MM-DD") from None
    if day > today():
        msg = f"{option}: {day} is in the future, today is {today()} (UTC)"
        raise InputError(msg, resolve=f"name a day up to {today()}, or leave {option} out for the newest prices")
    return day


def parse_days(since: str, until: str) -> tuple[date, date]:
    """Return two days, the earlier first; raise ``InputError`` if either is invalid or their order is wrong."""
    first, last = parse_day(since, "--since"), parse_day(until, "--until")
    if first is None or last is None or first > last:
        msg = f"--since {since or 'nothing'} --until {until or 'nothing'}: expected two days, the earlier first"
        raise InputError(msg, resolve="write --since 2026-06-30 --until 2026-09-30")
    return first, last
