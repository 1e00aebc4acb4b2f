"""``tightrope serve --top``: what a gateway does, read from its ``/metrics`` each second."""

import json
import time
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import urlsplit

import urllib3
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tightrope.base.errors import InputError
from tightrope.serve.metrics.live_figures import figures_of
from tightrope.serve.metrics.live_view import view
from tightrope.serve.metrics.readings import MetricsReading, ReadingWindow

EVERY_S = 1.0
WINDOW_S = 60.0
"""Over which rates, quantiles and shares are shown."""
MOST_BYTES = 64 * 2**20
ANSWER_S = 5.0


class MetricsSource:
    """A gateway's ``/metrics``."""

    def __init__(self, url: str, key: str = "") -> None:
        """Connect to nothing yet; raise ``InputError`` where ``url`` is none of HTTP."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = f"{url!r} is no URL of a gateway, expected one such as http://127.0.0.1:8000"
            raise InputError(msg, resolve="give the gateway's URL")
        self.url = url if parts.path.endswith("/metrics") else f"{url.rstrip('/')}/metrics"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=ANSWER_S))

    def read(self) -> MetricsReading:
        """Return what it says now; raise ``InputError``."""
        again = f"see that a gateway listens there: `curl {self.url}`"
        try:
            answer = self._pool.request("GET", self.url, headers=self._headers, redirect=False, preload_content=False)
            with answer:
                text = answer.read(MOST_BYTES).decode("utf-8", "replace")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            msg = f"{self.url} does not answer: {type(error).__name__}"
            raise InputError(msg, resolve=again) from error
        if answer.status != 200:
            msg = f"{self.url} answers with status {answer.status}"
            raise InputError(
                msg, resolve="put a key that may read it into TIGHTROPE_KEY" if answer.status in {401, 403} else again
            )
        try:
            reading = MetricsReading.of(text, time.monotonic())
        except ValueError as error:
            msg = f"{self.url} says nothing that Prometheus could read"
            raise InputError(msg, resolve=again) from error
        if "tightrope_requests_in_flight" not in reading.series:
            msg = f"{self.url} is not of a gateway of Tightrope: it shows no tightrope_requests_in_flight"
            raise InputError(msg, resolve="give the gateway's URL")
        return reading

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()


def top(url: str, key: str = "", *, once: bool = False, as_json: bool = False, console: Console | None = None) -> None:
    """Show what the gateway at ``url`` does until it is interrupted; ``once``, or where it is no terminal, print it one time.

    Printed one time, also ``as_json``, shares and quantiles are those since the gateway's start. Raises ``InputError`` where it does not
    answer at first.
    """
    shown, gateway = console or Console(), MetricsSource(url, key)
    try:
        if not (once or as_json) and shown.is_terminal:
            _follow(gateway, url, shown)
            return
        first = gateway.read()
        time.sleep(EVERY_S)
        figures = figures_of(ReadingWindow(first, gateway.read(), whole=True))
        if as_json:
            shown.file.write(f"{json.dumps(asdict(figures), indent=2, ensure_ascii=False)}\n")
        else:
            shown.print(view(figures, url, shown.width, datetime.now(UTC)))
    finally:
        gateway.close()


def _follow(gateway: MetricsSource, url: str, console: Console) -> None:
    """Show each second what the last ``WINDOW_S`` were like, until it is interrupted."""
    readings = deque([gateway.read()])
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                trouble = ""
                try:
                    readings.append(gateway.read())
                except InputError as error:
                    trouble = error.what
                while readings[-1].at_s - readings[0].at_s > WINDOW_S and len(readings) > 2:
                    readings.popleft()
                window = ReadingWindow(readings[0], readings[-1])
                shown = Text(trouble, "red") if trouble else view(figures_of(window), url, console.width, datetime.now(UTC))
                live.update(shown, refresh=True)
                time.sleep(EVERY_S)
        except KeyboardInterrupt:
            return
