"""``tightrope prices refresh`` on the terminal: bars while lists come, and what they brought."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tightrope.clouds.catalogue_join import PriceChange
from tightrope.clouds.refresh import RefreshResult
from tightrope.render import formats
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, indent_table, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text

MOST_CHANGES = 10
MOST_BARS = 6


@dataclass(slots=True)
class Bars:
    """One bar a list that is being fetched, of the latest few; satisfies ``clouds.downloads.FetchProgress``."""

    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    """Label → its bar, the one heard of last at the end."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """Show how far one list has come; of more than ``MOST_BARS`` the one not heard of for longest is hidden."""
        with self.lock:
            if not done and total is None:
                self.progress.console.print(plain_text(label, "dim"))
                return
            task = self.tasks.pop(label, None)
            if task is None:
                task = self.progress.add_task(formats.strip_controls(label), total=total, said="")
            self.tasks[label] = task
            self.progress.update(task, completed=done, total=total, said=f"{done:,}", visible=True)
            if len(self.tasks) > MOST_BARS:
                self.progress.update([*self.tasks.values()][-1 - MOST_BARS], visible=False)


@contextmanager
def fetching(console: Console) -> Iterator[Bars]:
    """Show bars while lists are fetched, and what is waited for; only that where the console is no terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}", justify="right"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bars(progress)


def print_refreshed(refreshed: RefreshResult, console: Console) -> None:
    """Print how many prices came and what became of those that were known."""
    about = f"{formats.count(refreshed.regions, 'region')}, {formats.count(refreshed.rows, 'price')} in {refreshed.seconds:.1f} s"
    print_title(console, refreshed.cloud, about)
    counts = (("unchanged", refreshed.unchanged), ("changed", refreshed.changed), ("new", refreshed.added))
    said = [f"{number:,} {name}" for name, number in (*counts, ("no longer listed", refreshed.withdrawn))]
    console.print()
    console.print(indent_table(plain_text(" · ".join(said))))
    left_out: list[str] = []
    if refreshed.biggest_changes:
        console.print()
        console.print(plain_text("largest changes", "bold"))
        left_out = print_table(console, _columns(refreshed.biggest_changes[:MOST_CHANGES]))
    print_notes(console, [*refreshed.notes, f"kept in {refreshed.path}; `tightrope prices diff` shows all changes"], left_out)


def _columns(changes: tuple[PriceChange, ...]) -> list[TableColumn]:
    """Return the table of changes."""
    return [
        TableColumn("machine or item", [plain_text(change.what) for change in changes]),
        TableColumn("region", [plain_text(change.region) for change in changes]),
        TableColumn("offer or unit", [plain_text(change.offer) for change in changes], 1),
        TableColumn("zone or tier", [plain_text(change.part) for change in changes], 2),
        TableColumn("was", [_usd(change.old_usd) for change in changes], right=True),
        TableColumn("is", [_usd(change.new_usd) for change in changes], right=True),
        TableColumn("change", [price_formats.rise(change.old_usd, change.new_usd) for change in changes], right=True),
    ]


def _usd(value: Decimal | None) -> Text:
    """Return a price; nothing where there is none."""
    return Text(price_formats.usd(value)) if value is not None else Text("")
