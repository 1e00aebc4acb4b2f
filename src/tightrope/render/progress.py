"""A progress bar with requests per second, on a terminal only."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@dataclass(slots=True)
class Counter:
    """Counts replays and their requests; called from several threads."""

    bar: Progress
    task: TaskID
    requests: int = 0
    began_s: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, what: str, requests: int) -> None:
        """Note that a replay of so many requests is done; of none: that one of that name begins."""
        with self.lock:
            self.requests += requests
            said = f"{what}  {self.per_s:,.0f} requests/s" if self.requests else what
            self.bar.update(self.task, advance=int(requests > 0), description=said)

    @property
    def per_s(self) -> float:
        """Requests replayed per second since the count began."""
        return self.requests / max(time.monotonic() - self.began_s, 1e-9)


@contextmanager
def counting(replays: int, console: Console) -> Iterator[Counter]:
    """Show a bar while replays are counted; nothing where the console is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Counter(bar, bar.add_task("read the trace", total=replays))
