"""Traces: a span for a request, with spans for its time in a queue and on an engine, sent to an OTLP endpoint (extra ``trace``).

A request that comes with a sampled trace (W3C Trace Context) is part of it, one that comes with an unsampled one of none; of the others a
share is traced, as by OpenTelemetry's ``parentbased_traceidratio``. Upstream servers get the ``traceparent`` of the request's span.
Spans hold names, times and costs, never what was asked.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tightrope.base.errors import MissingExtraError
from tightrope.serve.metrics.redaction import redacted
from tightrope.serve.records import NUSD_PER_USD, Call, Reply

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

NS = 1_000_000_000
PATH = "/v1/traces"
"""Of OTLP over HTTP (specification 1.8, 2025), where the endpoint has no path of its own."""
CLOSE_S = 3.0
MOST_PER_S = 200
"""Requests traced: one costs some 0.13 ms of a core, and clients may ask for as many as they like."""
log = logging.getLogger(__name__)


class Traces:
    """Begins and ends the spans of requests."""

    def __init__(self, endpoint: str, workload: str, *, share: float, exporter: "SpanExporter | None" = None) -> None:
        """Send to ``endpoint`` (or an exporter); of the requests that come without a trace, ``share`` is traced.

        Raises ``MissingExtraError`` where OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as error:
            msg = f"traces are asked for, and OpenTelemetry is not installed: {error.name!r} is missing"
            raise MissingExtraError(msg, resolve="pip install 'tightrope[trace]', or leave `traces` out") from error
        resource = Resource.create({"service.name": "tightrope", "tightrope.workload": workload})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._exporter = exporter or _otlp(endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("tightrope")
        self._share, self._api, self._propagator = share, trace, TraceContextTextMapPropagator()
        self._second = self._begun = 0

    def begin(self, call: Call) -> "Span | None":
        """Return a request's span and set ``call.traceparent`` to it; None if the request is not traced. Parsing takes about 4 µs."""
        context = self._propagator.extract({"traceparent": call.traceparent})
        parent = self._api.get_current_span(context).get_span_context()
        if not parent.is_valid:
            call.traceparent = ""
            if random.random() >= self._share:  # noqa: S311 - no secret
                return None
        elif not parent.trace_flags.sampled:
            return None
        if not self._has_room():
            return None
        span = self._tracer.start_span(
            call.task,
            context=context,
            kind=self._api.SpanKind.SERVER,
            start_time=_wall()(call.arrived_s),
            attributes={
                "tightrope.request": call.identity,
                "tightrope.tenant": call.caller.tenant,
                "tightrope.model": call.model[:256],
                "tightrope.rows": call.rows,
            },
        )
        own = span.get_span_context()
        call.traceparent = f"00-{own.trace_id:032x}-{own.span_id:016x}-01"
        return span

    def end(self, span: "Span", call: Call, reply: Reply | None, outcome: str, now_s: float, error: str = "") -> None:
        """End a request's span ``now_s``, with what its answer took; ``error`` is why there is none."""
        wall_ns = _wall()
        span.set_attributes({"tightrope.class": call.traffic_class, "tightrope.outcome": outcome})
        if reply is not None:
            span.set_attributes(_about(reply))
            if reply.first_token_s is not None:
                span.add_event("first token", timestamp=wall_ns(reply.first_token_s))
            self._parts(span, reply, now_s, wall_ns)
        if error or outcome == "error":
            span.set_status(self._api.StatusCode.ERROR, redacted(error[:256]))
        span.end(wall_ns(now_s))

    def close(self) -> None:
        """Send what waits and end, within ``CLOSE_S``; blocks, so a thread is the place for it.

        OpenTelemetry's own end tries again and again where nobody listens: beyond that time nothing waits for it.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(CLOSE_S)
        if ending.is_alive():
            log.warning("the last traces were not taken within %g s", CLOSE_S)
            self._exporter.shutdown()

    def _has_room(self) -> bool:
        """Return whether one more may be traced in the second that runs."""
        second = int(time.monotonic())
        self._begun = self._begun + 1 if second == self._second else 1
        self._second = second
        return self._begun <= MOST_PER_S

    def _parts(self, span: "Span", reply: Reply, now_s: float, wall_ns: Callable[[float], int]) -> None:
        """Add the spans of queue and engine, those of the small model of a cascade before them."""
        if reply.cached:
            return
        inside, end_s, part = self._api.set_span_in_context(span), now_s, reply
        while True:
            began_s = end_s - part.service_s
            for name, start_s, stop_s in (("engine", began_s, end_s), ("queue", began_s - part.wait_s, began_s)):
                about = {"tightrope.pool": part.pool, **({"tightrope.batch": part.batch} if name == "engine" else {})}
                self._tracer.start_span(name, inside, start_time=wall_ns(start_s), attributes=about).end(wall_ns(stop_s))
            if part.escalated_from is None:
                return
            end_s, part = began_s - part.wait_s, part.escalated_from


def _otlp(endpoint: str) -> "SpanExporter":
    """Return what sends spans by OTLP over HTTP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    bare = endpoint.rstrip("/")
    return OTLPSpanExporter(endpoint=bare if "/" in bare.split("://", 1)[-1] else f"{bare}{PATH}", timeout=5)


def _wall() -> Callable[[float], int]:
    """Return what makes a time of ``time.monotonic`` nanoseconds since 1970, all by one reading of both clocks."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda at_s: int(at_s * NS) + offset_ns


def _about(reply: Reply) -> dict[str, str | int | float]:
    """Return an answer's figures; a cost that is not known is left out."""
    cost = {} if reply.nusd is None else {"tightrope.cost_usd": reply.nusd / NUSD_PER_USD}
    return {
        "tightrope.pool": reply.pool,
        "tightrope.variant": reply.variant,
        "tightrope.replica": reply.replica,
        "tightrope.cache": reply.cached or "miss",
        "tightrope.escalated": reply.escalated_from is not None,
        "tightrope.input_tokens": reply.input_tokens,
        "tightrope.output_tokens": reply.output_tokens,
        **cost,
    }
