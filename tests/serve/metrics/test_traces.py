"""Spans of requests as an exporter gets them: whose they are, how long, and what they say."""

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tightrope.base.errors import MissingExtraError
from tightrope.serve.metrics import traces as of
from tightrope.serve.metrics.traces import PATH, Traces, _otlp
from tightrope.serve.records import Call, Caller, Reply

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(kept: InMemorySpanExporter) -> Iterator[Traces]:
    made = Traces("", "shop", share=1.0, exporter=kept)
    yield made
    made.close()


def call(traceparent: str = "", ago_s: float = 0.5) -> Call:
    return Call(
        "r-1",
        Caller("acme"),
        "embed",
        "m",
        ("a prompt",),
        time.monotonic() - ago_s,
        "search",
        body=b"a prompt",
        traceparent=traceparent,
    )


def traced(
    traces: Traces, kept: InMemorySpanExporter, asked: Call, reply: Reply | None, outcome: str = "ok", **more: Any
) -> dict[str, ReadableSpan]:
    span = traces.begin(asked)
    assert span is not None
    traces.end(span, asked, reply, outcome, asked.arrived_s + 0.5, **more)
    assert traces._provider.force_flush(30_000)
    return {item.name: item for item in kept.get_finished_spans()}


def seconds(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_a_request_is_a_server_span_with_queue_and_engine(traces: Traces, kept: InMemorySpanExporter) -> None:
    reply = Reply("small", "m/int8", batch=4, wait_s=0.25, service_s=0.125, input_tokens=9, compute_nusd=2_000_000)
    spans = traced(traces, kept, call(), reply)
    assert set(spans) == {"embed", "queue", "engine"}
    server, queue, engine = spans["embed"], spans["queue"], spans["engine"]
    assert server.kind == SpanKind.SERVER
    assert server.parent is None
    assert queue.parent == engine.parent == server.context
    assert seconds(server) == pytest.approx(0.5, abs=0.05)  # by two readings of both clocks
    assert (seconds(queue), seconds(engine)) == (pytest.approx(0.25, abs=1e-6), pytest.approx(0.125, abs=1e-6))
    assert queue.end_time == engine.start_time
    assert engine.end_time == server.end_time
    assert server.attributes is not None
    assert dict(server.attributes) == {
        "tightrope.request": "r-1",
        "tightrope.tenant": "acme",
        "tightrope.model": "m",
        "tightrope.rows": 1,
        "tightrope.class": "search",
        "tightrope.outcome": "ok",
        "tightrope.pool": "small",
        "tightrope.variant": "m/int8",
        "tightrope.replica": "",
        "tightrope.cache": "miss",
        "tightrope.escalated": False,
        "tightrope.input_tokens": 9,
        "tightrope.output_tokens": 0,
        "tightrope.cost_usd": 0.002,
    }
    assert "prompt" not in server.to_json() + engine.to_json()
    assert server.resource.attributes["tightrope.workload"] == "shop"


def test_a_trace_that_is_sampled_goes_on_here_and_beyond(traces: Traces, kept: InMemorySpanExporter) -> None:
    asked = call(SAMPLED)
    server = traced(traces, kept, asked, None)["embed"]
    assert server.context is not None
    assert server.parent is not None
    assert f"{server.context.trace_id:032x}" == TRACE
    assert f"{server.parent.span_id:016x}" == PARENT
    assert server.parent.is_remote
    assert asked.traceparent == f"00-{TRACE}-{server.context.span_id:016x}-01"


def test_one_that_is_not_sampled_is_passed_on_as_it_came(traces: Traces) -> None:
    asked = call(UNSAMPLED)
    assert traces.begin(asked) is None
    assert asked.traceparent == UNSAMPLED


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\r\nx: y",
    ],
)
def test_what_is_no_trace_is_not_passed_on(traces: Traces, kept: InMemorySpanExporter, header: str) -> None:
    asked = call(header)
    server = traced(traces, kept, asked, None)["embed"]
    assert server.parent is None
    assert server.context is not None
    assert f"{server.context.trace_id:032x}" != TRACE
    assert TRACE not in asked.traceparent


def test_a_later_version_with_more_fields_is_read(traces: Traces, kept: InMemorySpanExporter) -> None:
    assert traced(traces, kept, call(f"01-{TRACE}-{PARENT}-01-more"), None)["embed"].parent is not None


def test_only_a_share_is_traced(kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of, "MOST_PER_S", 1000)
    none, some = Traces("", "shop", share=0.0, exporter=kept), Traces("", "shop", share=0.5, exporter=kept)
    assert not any(none.begin(call()) for _ in range(200))
    assert none.begin(call(SAMPLED)) is not None
    assert 20 < sum(some.begin(call()) is not None for _ in range(200)) < 180
    assert all(some.begin(call(SAMPLED)) for _ in range(20))
    assert not any(some.begin(call(UNSAMPLED)) for _ in range(20)), "what comes with a trace goes by its flag alone"
    none.close()
    some.close()


def test_clients_can_not_have_all_their_requests_traced(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of.time, "monotonic", lambda: 100.0)
    begun = [traces.begin(asked) for asked in [call(SAMPLED) for _ in range(of.MOST_PER_S + 5)]]
    assert sum(span is not None for span in begun) == of.MOST_PER_S
    last = call(SAMPLED)
    assert traces.begin(last) is None
    assert last.traceparent == SAMPLED, "upstream servers may trace it"
    monkeypatch.setattr(of.time, "monotonic", lambda: 101.0)
    assert traces.begin(call(SAMPLED)) is not None


def test_a_failure_says_why_without_keys(traces: Traces, kept: InMemorySpanExporter) -> None:
    server = traced(traces, kept, call(), None, "error", error="no answer, key tr_acme_abc")["embed"]
    assert server.status.status_code == StatusCode.ERROR
    assert server.status.description == "no answer, key tr_acme_[redacted]"


def test_a_cascade_has_both_engines_one_after_the_other(traces: Traces, kept: InMemorySpanExporter) -> None:
    small = Reply("small", "m/int8", wait_s=0.0625, service_s=0.125, compute_nusd=None)
    traced(traces, kept, call(), Reply("large", "m/fp32", wait_s=0.03125, service_s=0.25, escalated_from=small))
    spans = {(item.name, (item.attributes or {}).get("tightrope.pool")): item for item in kept.get_finished_spans()}
    first, second = spans["engine", "small"], spans["queue", "large"]
    assert first.end_time == second.start_time
    server = spans["embed", "large"]
    assert server.attributes is not None
    assert server.attributes["tightrope.escalated"] is True
    assert "tightrope.cost_usd" not in server.attributes, "what a part of it cost is not known"


def test_an_answer_from_the_cache_was_on_no_engine(traces: Traces, kept: InMemorySpanExporter) -> None:
    assert set(traced(traces, kept, call(), Reply("small", "m/int8", service_s=1.0, cached="hit"))) == {"embed"}


def test_a_stream_says_when_its_first_token_came(traces: Traces, kept: InMemorySpanExporter) -> None:
    asked = call()
    server = traced(traces, kept, asked, Reply("large", "m", first_token_s=asked.arrived_s + 0.25))["embed"]
    (event,) = server.events
    assert event.name == "first token"
    assert server.start_time is not None
    assert (event.timestamp - server.start_time) / 1e9 == pytest.approx(0.25, abs=0.05)


class Stuck(InMemorySpanExporter):
    """Where nobody takes spans, until it is shut down."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def export(self, spans: Any) -> Any:
        """Wait."""
        assert self.told.wait(20.0)
        return super().export(spans)

    def shutdown(self) -> None:
        """Wait no longer."""
        self.told.set()


def test_where_nobody_takes_spans_the_end_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(of, "CLOSE_S", 0.05)
    exporter = Stuck()
    traces, asked = Traces("", "shop", share=1.0, exporter=exporter), call()
    span = traces.begin(asked)
    assert span is not None
    traces.end(span, asked, None, "ok", time.monotonic())
    traces.close()
    assert "not taken" in caplog.text
    assert exporter.told.is_set()


def test_spans_go_to_the_endpoints_path_for_them() -> None:
    for endpoint, url in (
        ("http://127.0.0.1:4318", f"http://127.0.0.1:4318{PATH}"),
        ("http://127.0.0.1:4318/", f"http://127.0.0.1:4318{PATH}"),
        ("https://otel.example.com/otlp/v1/traces", "https://otel.example.com/otlp/v1/traces"),
    ):
        exporter: Any = _otlp(endpoint)
        assert exporter._endpoint == url
        exporter.shutdown()


def test_without_opentelemetry_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtraError, match=r"OpenTelemetry is not installed") as caught:
        Traces("http://127.0.0.1:4318", "shop", share=0.01)
    assert "tightrope[trace]" in str(caught.value)
