"""A progress bar with requests per second, on a terminal only."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn


@dataclass(slots=True)
class Counter:
    """Counts the requests of replays that run side by side."""

    bar: Progress
    task: TaskID
    live: bool
    counts: dict[int, int] = field(default_factory=dict)
    """Replay → requests arrived by now."""
    began_s: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, requests: int) -> None:
        """Set how many requests of all replays there are to do."""
        self.began_s = time.monotonic()
        self.bar.update(self.task, total=requests)

    def arrived(self, what: str, replay: int, requests: int) -> None:
        """Note how many requests of a replay have arrived."""
        with self.lock:
            self.counts[replay] = requests
            self.bar.update(self.task, completed=self.requests, description=f"{what}  {self.per_s:,.0f} requests/s")

    @property
    def requests(self) -> int:
        """Requests replayed by now."""
        return sum(self.counts.values())

    @property
    def per_s(self) -> float:
        """Requests replayed per second since the first replay began."""
        return self.requests / max(time.monotonic() - self.began_s, 1e-9)


@contextmanager
def counting(console: Console) -> Iterator[Counter]:
    """Show a bar while requests are counted; nothing where the console is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield Counter(bar, bar.add_task("read the trace", total=None), live=console.is_terminal)
