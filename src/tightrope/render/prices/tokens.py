"""``tightrope prices tokens`` on the terminal."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.text import Text

from tightrope.clouds.token_prices import UNDATED, TokenPrice
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, crop_names, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text

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
        f"{TIERED} more expensive or cheaper for long prompts: --json has the tiers"
        if any(price.tiers for price in shown)
        else "",
        f"{undated:,} of these are {UNKNOWN_SINCE}: {UNDATED}" if undated else "",
        *(said if len(said) <= MOST_NOTES else [f"the list has notes on {len(said)} of them: see --json"]),
        f"source: {shown[0].source.partition(',')[0]}; it does not say when each provider's page was read",
    ]
    print_notes(console, notes, left_out)


def _columns(shown: Sequence[TokenPrice], width: int) -> list[TableColumn]:
    """Return the table; a narrow console loses context, cache writes and batches first."""
    return [
        *_named(shown, width - BESIDE),
        TableColumn("input", [_usd(price.input_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        TableColumn("output", [_usd(price.output_usd_per_million, tiered=bool(price.tiers)) for price in shown], right=True),
        TableColumn("cached input", [_usd(price.cached_input_usd_per_million) for price in shown], 1, right=True),
        TableColumn("cache write", [_usd(price.cache_write_usd_per_million) for price in shown], 5, right=True),
        TableColumn("batch in", [_usd(price.batch_input_usd_per_million) for price in shown], 2, right=True),
        TableColumn("batch out", [_usd(price.batch_output_usd_per_million) for price in shown], 2, right=True),
        TableColumn("context", [price_formats.number(price.context_tokens) for price in shown], 4, right=True),
        TableColumn("since", [plain_text(_since(price)) for price in shown], 3),
    ]


def _named(shown: Sequence[TokenPrice], room: int) -> list[TableColumn]:
    """Return who sells which model; on a narrow console the seller stands below the model, so that its name has the room."""
    providers = [plain_text(price.provider) for price in shown]
    beside = room - max(provider.cell_len for provider in providers)
    names = [plain_text(name) for name in crop_names([price.model for price in shown], beside if beside >= LEAST_NAME else room)]
    if beside >= LEAST_NAME:
        return [TableColumn("provider", providers), TableColumn("model", names)]
    below = [plain_text(price.provider, "dim") for price in shown]
    return [TableColumn("model", [Text("\n").join(pair) for pair in zip(names, below, strict=True)])]


def _since(price: TokenPrice) -> str:
    """Return the first day of a price; nothing where the list has none, but in the answer of a past day that it is unknown."""
    return price.since.isoformat() if price.since else "unknown" if price.note.endswith(UNDATED) else ""


def _usd(amount: Decimal | None, *, tiered: bool = False) -> Text:
    """Return US dollars a million tokens; a dash where the list does not say."""
    if amount is None:
        return Text(f"{price_formats.UNKNOWN} ", "dim")
    return Text(price_formats.usd(amount, 3) + (TIERED if tiered else " "))
