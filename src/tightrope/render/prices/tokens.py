"""``tightrope prices tokens`` on the terminal."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.tokens import UNDATED, TokenPrice
from tightrope.render.prices import figures
from tightrope.render.table import Column, cropped, print_notes, print_table, print_title
from tightrope.render.terminal import say

TIERED = "+"
MOST_NOTES = 2
LEAST_NAME = 24
"""Columns of the console that a model's name has beside its provider's at least."""
UNKNOWN_SINCE = "of unknown date"
BESIDE = 26
"""Columns of the console that a table needs beside the provider's and the model's name."""


def print_tokens(found: Sequence[TokenPrice], asked: str, limit: int, console: Console) -> None:
    """Print the first ``limit`` models, and of how many."""
    print_title(console, asked, f"{len(found):,} matched")
    shown = found[:limit]
    left_out = print_table(console, _columns(shown, console.width))
    notes_of = ((price, price.note.removesuffix(UNDATED).removesuffix("; ")) for price in shown)
    said = list(dict.fromkeys(f"{price.provider} {price.model}: {note}" for price, note in notes_of if note))
    undated = sum(price.note.endswith(UNDATED) for price in shown)
    notes = [
        f"{limit:,} of {len(found):,} shown; --limit N shows more" if len(found) > limit else "",
        "US dollars a million tokens",
        f"{TIERED} dearer or cheaper for long prompts: --json has the tiers" if any(price.tiers for price in shown) else "",
        f"{undated:,} of these are {UNKNOWN_SINCE}: {UNDATED}" if undated else "",
        *(said if len(said) <= MOST_NOTES else [f"the list has notes on {len(said)} of them: see --json"]),
        f"source: {shown[0].source.partition(',')[0]}; it does not say when each provider's page was read",
    ]
    print_notes(console, notes, left_out)


def _columns(shown: Sequence[TokenPrice], width: int) -> list[Column]:
    """Return the table; a narrow console loses context, cache writes and batches first."""
    return [
        *_named(shown, width - BESIDE),
        Column("input", [_usd(price.input_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        Column("output", [_usd(price.output_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        Column("cached input", [_usd(price.cached_input_usd_per_million) for price in shown], 1, right=True),
        Column("cache write", [_usd(price.cache_write_usd_per_million) for price in shown], 5, right=True),
        Column("batch in", [_usd(price.batch_input_usd_per_million) for price in shown], 2, right=True),
        Column("batch out", [_usd(price.batch_output_usd_per_million) for price in shown], 2, right=True),
        Column("context", [figures.number(price.context_tokens) for price in shown], 4, right=True),
        Column("since", [say(_since(price)) for price in shown], 3),
    ]


def _named(shown: Sequence[TokenPrice], room: int) -> list[Column]:
    """Return who sells which model; on a narrow console the seller stands below the model, so that its name has the room."""
    providers = [say(price.provider) for price in shown]
    beside = room - max(provider.cell_len for provider in providers)
    names = [say(name) for name in cropped([price.model for price in shown], beside if beside >= LEAST_NAME else room)]
    if beside >= LEAST_NAME:
        return [Column("provider", providers), Column("model", names)]
    below = [say(price.provider, "dim") for price in shown]
    return [Column("model", [Text("\n").join(pair) for pair in zip(names, below, strict=True)])]


def _since(price: TokenPrice) -> str:
    """Return the first day of a price; nothing where the list has none, but in the answer of a past day that it is unknown."""
    return price.since.isoformat() if price.since else "unknown" if price.note.endswith(UNDATED) else ""


def _usd(amount: Decimal | None, *, tiered: bool = False) -> Text:
    """Return US dollars a million tokens; a dash where the list does not say."""
    if amount is None:
        return Text(f"{figures.UNKNOWN} ", "dim")
    return Text(figures.usd(amount, 3) + (TIERED if tiered else " "))
