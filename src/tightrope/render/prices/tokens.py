"""``tightrope prices tokens`` on the terminal."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.tokens import TokenPrice
from tightrope.render.prices import figures
from tightrope.render.prices.table import Column, print_notes, print_table, print_title
from tightrope.render.terminal import say

TIERED = "+"
MOST_NOTES = 2
BESIDE = 26
"""Columns of the console that a table needs beside the provider's and the model's name."""


def print_tokens(found: Sequence[TokenPrice], asked: str, limit: int, console: Console) -> None:
    """Print the first ``limit`` models, and of how many."""
    print_title(console, asked, f"{len(found):,} matched")
    shown = found[:limit]
    left_out = print_table(console, _columns(shown, max(8, console.width - BESIDE - max(len(price.provider) for price in shown))))
    said = list(dict.fromkeys(f"{price.provider} {price.model}: {price.note}" for price in shown if price.note))
    notes = [
        f"{limit:,} of {len(found):,} shown; --limit N shows more" if len(found) > limit else "",
        "US dollars a million tokens",
        f"{TIERED} dearer or cheaper for long prompts: --json has the tiers" if any(price.tiers for price in shown) else "",
        *(said if len(said) <= MOST_NOTES else [f"the list has notes on {len(said)} of them: see --json"]),
        f"source: {shown[0].source.partition(',')[0]}, looked after up to {shown[0].seen or 'a day that it does not say'}",
    ]
    print_notes(console, notes, left_out)


def _columns(shown: Sequence[TokenPrice], room: int) -> list[Column]:
    """Return the table; a narrow console loses context, cache writes and batches first."""
    return [
        Column("provider", [say(price.provider) for price in shown]),
        Column("model", [say(_short(price.model, room)) for price in shown]),
        Column("input", [_usd(price.input_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        Column("output", [_usd(price.output_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        Column("cached input", [_usd(price.cached_input_usd_per_million) for price in shown], 1, right=True),
        Column("cache write", [_usd(price.cache_write_usd_per_million) for price in shown], 5, right=True),
        Column("batch in", [_usd(price.batch_input_usd_per_million) for price in shown], 2, right=True),
        Column("batch out", [_usd(price.batch_output_usd_per_million) for price in shown], 2, right=True),
        Column("context", [figures.number(price.context_tokens) for price in shown], 4, right=True),
        Column("since", [say(price.since.isoformat() if price.since else "") for price in shown], 3),
    ]


def _short(name: str, room: int) -> str:
    """Return a name that fits, its middle left out where it is too long.

    >>> _short("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 20)
    'meta-llama…uct-Turbo'
    """
    return name if len(name) <= room else f"{name[: room // 2]}…{name[len(name) - (room - 1) // 2 :]}"


def _usd(amount: Decimal | None, *, tiered: bool = False) -> Text:
    """Return US dollars a million tokens; a dash where the list does not say."""
    if amount is None:
        return Text(f"{figures.UNKNOWN} ", "dim")
    return Text(figures.usd(amount, 3) + (TIERED if tiered else " "))
