"""Lines that programs read, without keys, and few where the same goes wrong again and again."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tightrope.serve.metrics import logs
from tightrope.serve.metrics.logs import SAME, SAME_S, JsonLines, Repeats, begin_logs, encoded, log_failure
from tightrope.serve.metrics.redaction import GONE, redacted
from tightrope.serve.records import Call, Caller

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
NAMED = (
    "tr_acme-1_{}",
    "Authorization: Bearer {}",
    "authorization='Basic {}'",
    "api-key: {}",
    '{{"api_key": "{}"}}',
    "password={}&user=me",
    "postgresql://me:{}@db.internal/jobs",
    "sk-{}",
    "sk-proj-{}",
    "hf_{}",
    "ghp_{}",
    "AKIAIOSFODNN7EXAMPLE",
    "AIza{}",
    "eyJhbGciOiJIUzI1NiJ9.{}.{}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
)


def record(message: str, *arguments: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("tightrope.serve.x", level, __file__, 1, message, arguments, None)
    vars(made).update(extra)
    return made


def written(*records: logging.LogRecord) -> list[dict[str, Any]]:
    stream = io.StringIO()
    handler = JsonLines(stream)
    for item in records:
        handler.handle(item)
    handler.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# ------------------------------------------------------------------------------------------------------------------- keys


@given(st.sampled_from(NAMED), st.text(LETTERS, min_size=32, max_size=64), st.text(" ,;\n", max_size=5))
def test_what_looks_like_a_key_is_gone(form: str, secret: str, around: str) -> None:
    text = f"{around}{form.replace('{}', secret).replace('{{', '{').replace('}}', '}')}{around}"
    assert secret not in redacted(text)
    assert GONE in redacted(text)
    assert secret not in redacted(text, identities=True)


@given(
    st.lists(
        st.sampled_from(("+sk-", "-hf_", "+AKIAIOSFODNN7EXAMPLE", "-AIza", "+eyJ", "-tr_a_")) | st.text(f"{LETTERS}+_-"),
        min_size=1,
    )
)
@example(["+AKIAIOSFODNN7EXAMPLE+", "x" * 32])
@example(["-hf_12345678+", "x" * 32])
def test_a_long_mix_of_signs_is_a_key_whatever_prefix_it_holds(parts: list[str]) -> None:
    secret = "".join(parts).ljust(32, "x")
    assert redacted(f"got aZ9{secret} instead") == f"got {GONE} instead"


@pytest.mark.parametrize("key", ["sk-12345678+tail", "AKIAIOSFODNN7EXAMPLE+tail", "hf_12345678+tail", f"AIza{'x' * 30}+tail"])
def test_a_key_goes_with_its_tail(key: str) -> None:
    assert redacted(f"got {key} instead", identities=True) == f"got {GONE} instead"


@pytest.mark.parametrize(
    "text",
    [
        "pool int8-container-instances-1vcpu-2gb-container: http://10.0.0.4:8000 is left out: TimeoutError",
        "/usr/lib/python3.13/site-packages/starlette/routing.py, line 715, in __call__",
        "the class chat.us-east-1 missed latency p95 <= 250 ms: 20 tokens, 3 requests",
        "took back 7 items of a gateway that is gone: 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo-128K",
    ],
)
def test_what_does_not_is_left(text: str) -> None:
    assert redacted(text) == text


def test_a_name_of_a_request_may_be_long_and_is_no_key() -> None:
    name = "0af7651916cd43dd8448eb211c80319c"
    (line,) = written(record("x", request=name, other=name))
    assert (line["request"], line["other"]) == (name, GONE)


def test_redacting_takes_time_in_proportion() -> None:
    """Long text that nearly matches is walked once: a million letters are no attack."""
    for text in (
        "a" * 200_000,
        "aB1" * 100_000,
        "-----BEGIN PRIVATE KEY-----" * 2000,
        "://" * 50_000,
        "eyJ" * 50_000,
        "token" * 50_000,
    ):
        assert redacted(text) is not None


# ------------------------------------------------------------------------------------------------------------------- lines


def test_a_line_says_when_what_and_about_which_request() -> None:
    try:
        int("key tr_a_secret-of-somebody")
    except ValueError as error:
        item = record("%d of %s\nfailed", 3, "nine", request="r-1", pool="small", count=2)
        item.exc_info = (ValueError, error, error.__traceback__)
    (line,) = written(item)
    assert line.pop("time").endswith("+00:00")
    exception = line.pop("exception")
    assert line == {
        "level": "info",
        "logger": "tightrope.serve.x",
        "message": "3 of nine\nfailed",
        "request": "r-1",
        "pool": "small",
        "count": 2,
    }
    assert exception.endswith(f"base 10: 'key tr_a_{GONE}'\n")
    assert encoded(item).count("\n") == 1, "nothing in a line begins another"


def test_repeats_are_counted_and_other_lines_are_not_held_back() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    assert [repeats.pass_on(record("down: %s", number)) for number in range(8)] == [0] * SAME + [None] * (8 - SAME)
    assert repeats.pass_on(record("up")) == 0
    assert repeats.pass_on(record("down: %s", 9, level=logging.ERROR)) == 0
    now = SAME_S
    assert [repeats.pass_on(record("down: %s", number)) for number in range(2)] == [8 - SAME, 0]


def test_lines_that_are_not_even_made_are_counted_too() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)
    made = record("down")
    kind = made.name, made.levelno, "down", None
    for _ in range(SAME):
        assert not repeats.leaves_out(kind)
        assert repeats.pass_on(made) == 0
    assert [repeats.leaves_out(kind) for _ in range(3)] == [True] * 3
    assert repeats.pass_on(made) is None
    assert not repeats.leaves_out((*kind[:3], "other"))
    now = SAME_S
    assert not repeats.leaves_out(kind)
    assert repeats.pass_on(made) == 4


def test_kinds_of_lines_are_forgotten_before_they_become_too_many() -> None:
    repeats = Repeats(lambda: 0.0)
    for number in range(3 * logs.MOST_KINDS):
        assert repeats.pass_on(record(f"kind {number}")) == 0
    assert len(repeats._seen) <= logs.MOST_KINDS


class Stuck(io.StringIO):
    """A pipe that nobody reads until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.begun = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        """Wait."""
        self.begun.set()
        assert self.read.wait(20.0)
        return super().write(text)


def test_a_pipe_that_nobody_reads_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 2)
    stream = Stuck()
    handler = JsonLines(stream)
    handler.handle(record("0"))
    assert stream.begun.wait(20.0)
    for number in range(1, 6):
        handler.handle(record(str(number)))
    stream.read.set()
    while not handler._waiting.empty():
        threading.Event().wait(0.01)
    handler.handle(record("last"))
    handler.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["0", "1", "2", "last"]
    assert [line.get("dropped") for line in lines] == [None, None, None, 3]


def test_a_stream_that_is_closed_stops_nothing() -> None:
    stream = io.StringIO()
    handler = JsonLines(stream)
    stream.close()
    handler.handle(record("x"))
    handler.close()
    assert not handler._writer.is_alive()


# ---------------------------------------------------------------------------------------------------------- the whole process


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    made = io.StringIO()
    before = logging.getLogger().handlers[:]
    end = begin_logs("info", made)
    yield made
    end()
    assert logging.getLogger().handlers == before


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    logging.getLogger().handlers[0].close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(**more: Any) -> Call:
    return Call(
        "r-7",
        Caller("acme", key="ci"),
        "embed",
        "m",
        ("my secret prompt",),
        100.0,
        "search",
        body=b'{"input": "my secret prompt"}',
        **more,
    )


def test_a_failed_request_has_one_line_without_what_was_asked(stream: io.StringIO) -> None:
    log_failure(failing(), status=502, code="upstream_failed", message="no server answered", now_s=100.25, pool="small")
    log_failure(failing(), status=429, code="rate_limited", message="more than 5 requests a second", now_s=100.001)
    first, second = lines_of(stream)
    assert (first["level"], second["level"]) == ("warning", "info")
    assert {name: first[name] for name in ("request", "tenant", "class", "model", "pool", "status", "code", "reason", "ms")} == {
        "request": "r-7",
        "tenant": "acme",
        "class": "search",
        "model": "m",
        "pool": "small",
        "status": 502,
        "code": "upstream_failed",
        "reason": "no server answered",
        "ms": 250.0,
    }
    assert "prompt" not in stream.getvalue()


def test_a_flood_of_failures_is_a_few_lines(stream: io.StringIO) -> None:
    for _ in range(1000):
        log_failure(failing(), status=429, code="rate_limited", message="too many", now_s=100.0)
    log_failure(failing(), status=503, code="unavailable", message="going away", now_s=100.0)
    codes = [line["code"] for line in lines_of(stream)]
    assert codes == ["rate_limited"] * SAME + ["unavailable"]


def test_parts_of_others_are_heard_from_warnings_on(stream: io.StringIO) -> None:
    logging.getLogger("asyncio").info("hidden")
    logging.getLogger("asyncio").warning("shown")
    logging.getLogger("tightrope.serve.upstream").info("shown too")
    logging.getLogger("tightrope.serve.upstream").debug("hidden")
    assert [line["message"] for line in lines_of(stream)] == ["shown", "shown too"]
