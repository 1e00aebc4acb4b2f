"""The live view: figures read back from expositions, its tables at three widths, and a gateway that is none."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from math import ceil, inf
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from watched import POOLS, Clock, Standing, call, make

from tightrope.base.errors import InputError
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.metrics import top as of
from tightrope.serve.metrics.live_figures import figures_of
from tightrope.serve.metrics.live_view import view
from tightrope.serve.metrics.prometheus_text import Family, Histogram, families, text
from tightrope.serve.metrics.readings import MetricsReading, ReadingWindow
from tightrope.serve.metrics.top import MetricsSource, top
from tightrope.serve.records import Reply

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
LATENCY = "tightrope_latency_seconds"


def recorded() -> tuple[str, str]:
    """Return two expositions a minute apart of a gateway that is busy: 20 requests a second, every fiftieth turned away."""
    clock = Clock()
    metrics = make(clock=clock)
    loads = (PoolLoad(3, replicas_starting=1, in_flight=41, waiting={"chat": 4}), PoolLoad(2, replicas_down=1, in_flight=2))
    metrics.watch([Standing(pool, load) for pool, load in zip(POOLS, loads, strict=True)])
    metrics.usd_per_1000_requests("chat", 0.0123)
    metrics.month_to_date("small", 1234.5)
    metrics.deferred("index", 1200, 3600.0)
    metrics.spot_notice("large")
    shown = []
    for requests in (400, 1200):
        for number in range(requests):
            clock.now_s += 0.05
            cls, pool = ("chat", "search", "search")[number % 3], ("small", "large")[number % 2]
            took_s = 0.02 * (1 + number % 7)
            metrics.arrived(cls, pool)
            metrics.waited(cls, pool, took_s / 2)
            metrics.batch(pool, 1 + number % 8, took_s / 2)
            if number % 50 == 49:
                metrics.shed(cls, "wait")
                metrics.ended(call(cls), None, "shed", 100.0 + took_s)
                continue
            metrics.cache(cls, hit=number % 4 == 0)
            first_s = 100.0 + took_s / 2
            metrics.ended(call(cls), Reply(pool, "v", first_token_s=first_s, output_tokens=10), "ok", 100.0 + took_s)
        shown.append(metrics.exposition().decode())
    return shown[0], shown[1]


BEFORE, AFTER = (MetricsReading.of(shown, 60.0 * minute) for minute, shown in enumerate(recorded()))


def rendered(window: ReadingWindow, width: int) -> str:
    stream = StringIO()
    Console(file=stream, width=width).print(view(figures_of(window), "http://127.0.0.1:8000", width, NOW))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("width", [60, 100, 160])
def test_golden(width: int) -> None:
    shown = rendered(ReadingWindow(BEFORE, AFTER), width)
    path = GOLDEN / f"top-{width}.txt"
    if os.environ.get("TIGHTROPE_UPDATE_GOLDEN") == "1":
        path.write_text(shown, encoding="utf-8", newline="\n")
    assert shown == path.read_text(encoding="utf-8"), "TIGHTROPE_UPDATE_GOLDEN=1 renews it"
    assert max(map(len, shown.splitlines())) <= width


def test_a_gateway_that_has_just_begun_is_shown_with_nothing_made_up() -> None:
    reading = MetricsReading.of(make().exposition().decode(), 1.0)
    shown = rendered(ReadingWindow(reading, reading, whole=True), 160)
    assert "since its start" in shown
    assert "small" in shown
    assert "%" not in shown
    assert "$0" not in shown
    assert " ms" not in shown.replace("400 ms", "").replace("120 ms", "").replace("70 ms", "")


# ------------------------------------------------------------------------------------------------------------------ figures


def window_of(before: str, after: str, **more: Any) -> ReadingWindow:
    return ReadingWindow(MetricsReading.of(before, 0.0), MetricsReading.of(after, 10.0), **more)


def test_what_grew_is_what_came_between_and_all_of_it_after_a_new_start() -> None:
    before = 'a_total{x="1"} 7\na_total{x="2"} 5\n'
    window = window_of(before, 'a_total{x="1"} 9\na_total{x="2"} 3\na_total{x="3"} 4\n')
    assert window.grew("a_total") == 2 + 3 + 4
    assert window.grew("a_total", x="2") == 3
    assert window.per_s("a_total", x="1") == 0.2
    assert window.share("a_total", {"x": "1"}) == pytest.approx(2 / 9)
    assert window.share("a_total", {"x": "1"}, x="9") is None
    assert window_of(before, before, whole=True).grew("a_total") == 12
    assert window_of(before, before, whole=True).per_s("a_total") == 0.0
    assert window.now("b") is None


def exposed(values: list[float], borders: list[float]) -> str:
    """Return a histogram's exposition."""
    family: Family = families("shop")[LATENCY]
    histogram: Histogram = family.histogram("c", "p", borders=tuple(borders))
    for value in values:
        histogram.observe(value)
    return text([family]).decode()


@given(
    st.lists(st.floats(0.0, 9.0), min_size=1, max_size=30),
    st.lists(st.floats(0.0, 12.0), max_size=10),
    st.lists(st.floats(0.001, 8.0), min_size=1, max_size=6, unique=True).map(sorted),
    st.floats(0.01, 1.0),
)
def test_a_quantile_lies_in_the_bucket_of_the_value_that_has_it(
    values: list[float], earlier: list[float], borders: list[float], share: float
) -> None:
    window = window_of(exposed(earlier, borders), exposed([*earlier, *values], borders))
    true = sorted(values)[max(0, ceil(share * len(values) - 1e-9) - 1)]
    low = max((border for border in borders if border < true), default=0.0)
    high = min((border for border in borders if border >= true), default=inf)
    found = window.quantile(share, LATENCY)
    assert found is not None
    assert low - 1e-9 <= found <= (high if high < inf else low + 1e-9)


def test_of_nothing_there_is_no_quantile() -> None:
    same = exposed([0.1, 0.2], [1.0])
    assert window_of(same, same).quantile(0.95, LATENCY) is None
    assert window_of(same, same).quantile(0.95, "tightrope_wait_seconds") is None


# ------------------------------------------------------------------------------------------------------------- a gateway


class Said(BaseHTTPRequestHandler):
    """What a server on loopback says."""

    status: ClassVar[int] = 200
    body: ClassVar[str] = ""
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        """Say it."""
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.body.encode())))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing of it."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(of, "EVERY_S", 0.01)
    monkeypatch.setattr(Said, "asked", [])
    monkeypatch.setattr(Said, "body", recorded()[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), Said) as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def test_once_it_is_printed_with_what_was_since_the_start(server: str) -> None:
    stream = StringIO()
    top(f"{server}/", "tr_me_secret", once=True, console=Console(file=stream, width=100))
    assert "since its start" in stream.getvalue()
    assert "latency p99 <= 70 ms" in stream.getvalue()
    assert Said.asked == [("/metrics", "Bearer tr_me_secret")] * 2
    assert "secret" not in stream.getvalue()


def test_it_is_printed_as_json(server: str) -> None:
    stream = StringIO()
    top(server, as_json=True, console=Console(file=stream, width=40, force_terminal=True))
    found = json.loads(stream.getvalue())
    assert found["since_start"] is True
    assert [(pool["pool"], pool["ready"], pool["usd_per_hour"]) for pool in found["pools"]] == [
        ("small", 3.0, 1.0),
        ("large", 2.0, None),
    ]
    assert {item["slo"]: item["target"] for item in found["promises"]}["latency p99 <= 70 ms"] == 0.99


def test_where_there_is_no_terminal_it_is_printed_once(server: str) -> None:
    stream = StringIO()
    top(server, console=Console(file=stream, width=100, force_terminal=False))
    assert stream.getvalue().count("promise to") == 1


def test_it_goes_on_until_it_is_interrupted_also_while_the_gateway_is_away(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, slept = StringIO(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        monkeypatch.setattr(Said, "status", 503 if len(slept) == 2 else 200)
        if len(slept) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(of.time, "sleep", sleep)
    top(server, console=Console(file=stream, width=100, height=40, force_terminal=True))
    assert stream.getvalue().count("promise to") == 3
    assert stream.getvalue().count("answers with status 503") == 1


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, "", "put a key that may read it into TIGHTROPE_KEY"),
        (500, "", "status 500"),
        (302, "", "status 302"),
        (200, "<html>\n", "says nothing that Prometheus could read"),
        (200, "up 1\n", "not of a gateway of Tightrope"),
        (200, "", "not of a gateway of Tightrope"),
    ],
)
def test_what_is_no_gateway_is_said(server: str, monkeypatch: pytest.MonkeyPatch, status: int, body: str, said: str) -> None:
    monkeypatch.setattr(Said, "status", status)
    monkeypatch.setattr(Said, "body", body)
    with pytest.raises(InputError) as caught:
        top(server, "key", once=True)
    assert said in str(caught.value)
    assert [path for path, _ in Said.asked] == ["/metrics"], "a key is taken nowhere else"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///etc/passwd", "http://", "", "ftp://127.0.0.1"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(InputError, match="no URL of a gateway"):
        top(url)


def test_where_nothing_listens_is_said() -> None:
    with pytest.raises(InputError, match="does not answer"):
        MetricsSource("http://127.0.0.1:1").read()
