"""The way of one call: who asks and for what, whether it may, whether the answer is known, who answers, and what it cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from tightrope.base.plan import ServedClass
from tightrope.serve import cascade as cascades
from tightrope.serve.access.admission import AdmissionControl
from tightrope.serve.access.keys import Keys, OpenAccess
from tightrope.serve.config.settings import ServedModel, Settings
from tightrope.serve.deadlines import Deadlines
from tightrope.serve.interfaces import Backend
from tightrope.serve.metrics.logs import log_failure
from tightrope.serve.metrics.request_metrics import Metrics, Outcome
from tightrope.serve.records import Call, Caller, Reply, Signature
from tightrope.serve.refusals import (
    Failed,
    Forbidden,
    Malformed,
    NotFound,
    RequestRefusal,
    TimedOut,
    TooMany,
    Unavailable,
    UpstreamFailed,
    meant,
)
from tightrope.serve.routing import Router

GONE = 499
"""Status in the ledger of a call whose client hung up, as nginx has it."""

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tightrope.serve.metrics.traces import Traces


class CacheInterface(Protocol):
    """Answers that are kept."""

    async def answer(self, call: Call, make: Callable[[Call], Awaitable[Reply]]) -> Reply:
        """Return a kept answer, or one that ``make`` makes."""
        ...


class UsageRecorder(Protocol):
    """Where each call's cost is written."""

    def request(self, call: Call, reply: Reply | None, status: int, now_s: float) -> None:
        """Write down a call that ended so, before its answer goes; raise ``Unavailable`` where it cannot."""
        ...

    def late(self, call: Call, lost: Reply, status: int, now_s: float) -> None:
        """Write down what a call cost after it had ended."""
        ...

    def check_room(self) -> None:
        """Raise ``Unavailable`` where nothing can be written down."""
        ...


class Gateway:
    """Takes calls the whole way; one for a process, on one event loop."""

    def __init__(
        self,
        settings: Settings,
        backends: Mapping[str, Backend],
        metrics: Metrics,
        admission: AdmissionControl,
        *,
        keys: Keys | OpenAccess | None = None,
        kept: CacheInterface | None = None,
        book: UsageRecorder | None = None,
        traces: "Traces | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; None leaves a part out."""
        self.settings, self.backends, self.metrics = settings, backends, metrics
        self._admission, self._keys, self._kept, self._book, self._clock = admission, keys or OpenAccess(), kept, book, clock
        self._traces = traces
        self._deadlines = Deadlines(settings.limits.answer_s)
        self.router = Router(settings, backends)
        self._models = {model.name: model for model in settings.models}
        self._classes = {item.name: item for item in settings.classes}
        self._follows = {item.follows: item for item in settings.classes if item.follows}
        self.cascades = {model.name: cascades.CascadeThreshold.of(model.cascade) for model in settings.models if model.cascade}
        self._late_s = {item.name: _limits_s(item) for item in settings.classes}
        self.in_flight = 0
        self.started = False
        """Everything that is loaded at the start has been."""
        self.is_open: Callable[[], bool] = lambda: True
        """Whether requests are to be sent here, for what comes from outside."""

    # ------------------------------------------------------------------------------------------------------------ who and what

    def caller(self, authorization: str | None) -> Caller:
        """Return the caller that a request's key identifies; raise ``Unauthenticated``."""
        return self._keys.caller(authorization)

    def models(self, caller: Caller) -> tuple[ServedModel, ...]:
        """Return the models that a caller may ask for."""
        if not caller.classes:
            return self.settings.models
        named = {self._named(name) for name in caller.classes}
        return tuple(model for model in self.settings.models if not model.classes or named & {*model.classes})

    def signature(self, model: str) -> Signature | None:
        """Return the tensors of a model of ``infer`` that runs here; None where they are not known."""
        found = self._models.get(model)
        backend = None if found is None else self.backends.get(found.pools[0])
        return getattr(backend, "signature", None)

    def ready(self) -> bool:
        """Return whether requests are to be sent here."""
        return self.started and self.is_open()

    def waiting(self) -> int:
        """Return the requests that wait for an engine and cannot wait."""
        waiting = 0
        for backend in self.backends.values():
            for name, count in backend.load().waiting.items():
                if count and self._classes[name].deferral is None:
                    waiting += count
        return waiting

    # ------------------------------------------------------------------------------------------------------------------ the way

    async def answer(self, call: Call) -> Reply:
        """Return the answer; raise ``RequestRefusal``. A reply's ``raw.stream`` must be iterated to its end or closed."""
        model = self._model(call)
        promised = self._promised(call, model)
        call.traffic_class = promised.name
        pools = self.router.order(model, promised)
        span = None if self._traces is None else self._traces.begin(call)
        self._enter(call, pools[0].pool.name, span)
        self.in_flight += 1
        try:
            reply = await self._made(call, model, pools)
        except BaseException as error:
            instead = self._failed(call, error, pools[0].pool.name, span)
            if instead is None:
                raise
            raise instead from error
        if reply.raw is not None and reply.raw.stream is not None:
            reply.raw.stream = _Passed(reply.raw.stream, lambda error: self._end_stream(call, reply, error, span))
        else:
            self._settle(call, reply, span)
        return reply

    async def _made(self, call: Call, model: ServedModel, pools: Sequence[Backend]) -> Reply:
        """Return the answer, kept or made."""
        if self._kept is None or not model.cache:
            return await self._deadlines.wait(self._make(call, model, pools))
        return await self._deadlines.wait(self._kept.answer(call, lambda asked: self._make(asked, model, pools)))

    async def _make(self, call: Call, model: ServedModel, pools: Sequence[Backend]) -> Reply:
        """Return an answer that is not kept: by the cascade where there is one for it."""
        cascade = self.cascades.get(model.name)
        if cascade is None or call.task not in {"classify", "chat"}:
            return await self._ask(call, pools)
        small, large = cascade.stated.small, cascade.stated.large
        then = self._follows.get(call.traffic_class)
        if then is None:  # stated in serve.yaml: two pools of one class
            small_pools: Sequence[Backend] = (self.backends[small],)
            large_pools: Sequence[Backend] = (self.backends[large],)
            return await cascades.answer(
                cascade,
                call,
                lambda asked: self._ask(asked, small_pools),
                lambda asked: self._ask(asked, large_pools, begun=True),
            )
        return await cascades.answer(
            cascade,
            call,
            lambda asked: self._ask(asked, pools),
            lambda asked: self._ask(replace(asked, traffic_class=then.name), self.router.order(model, then), begun=True),
        )

    async def _ask(self, call: Call, pools: Sequence[Backend], *, begun: bool = False) -> Reply:
        """Return the answer of the first pool, of another only where that one cannot answer at all.

        What has ``begun`` elsewhere is not asked whether it would wait too long.
        """
        last: RequestRefusal | None = None
        for backend in pools:
            pool = backend.pool
            if not begun:
                self._admission.join(call, pool, backend.load())
            self.metrics.arrived(call.traffic_class, pool.name)
            try:
                reply = await backend.answer(call)
            except (Unavailable, UpstreamFailed) as refusal:
                last = last or refusal
                continue
            finally:
                if not begun:
                    self._admission.part(call, pool)
            self.router.learn(reply, call.rows)
            return reply
        try:
            raise last or Unavailable("no pool answers this")
        finally:
            last = None  # see ``_failed``

    # ------------------------------------------------------------------------------------------------------------------ checks

    def _model(self, call: Call) -> ServedModel:
        """Return the model that is asked for, where the caller may and it does that."""
        model = self._models.get(call.model)
        if model is None:
            msg = f"there is no model {call.model!r}{meant(call.model, self._models)}"
            raise NotFound(msg, parameter="model")
        if call.task != model.task and call.task not in model.also:
            msg = f"the model {model.name!r} does not do this: its task is {model.task!r}, {call.task!r} was asked"
            raise Malformed(msg, parameter="model")
        return model

    def _promised(self, call: Call, model: ServedModel) -> ServedClass:
        """Return the traffic class of a call: as it says, as its key says, as the model has it first."""
        allowed = call.caller.classes
        name = self._named(call.traffic_class) or self._usual(allowed, model)
        found = self._classes.get(name) if name else self.settings.classes[0]
        if found is None:
            asked = call.traffic_class or name
            msg = f"there is no traffic class {asked!r}{meant(asked, allowed or self.settings.class_names or self._classes)}"
            raise Malformed(msg, parameter="X-Tightrope-Class")
        if allowed and found.name not in {self._named(item) for item in allowed}:
            msg = f"this key may not ask for the traffic class {found.name!r}"
            raise Forbidden(msg, parameter="X-Tightrope-Class")
        if model.classes and found.name not in model.classes:
            msg = f"the model {model.name!r} does not answer the traffic class {found.name!r}"
            raise Malformed(msg, parameter="model")
        return found

    def _usual(self, allowed: Sequence[str], model: ServedModel) -> str:
        """Return the class that is meant where none is said: of a key's the first that the model answers, else the model's first."""
        if not allowed:
            return model.classes[0] if model.classes else ""
        names = [self._named(name) for name in allowed]
        return next((name for name in names if name in model.classes), names[0])

    def _named(self, name: str) -> str:
        """Return a class's own name for what clients call it."""
        return self.settings.class_names.get(name, name)

    def _enter(self, call: Call, pool: str, span: "Span | None") -> None:
        """Let a call in, or count that it was turned away."""
        try:
            if self._book is not None:
                self._book.check_room()
            self._admission.enter(call)
        except RequestRefusal as refusal:
            self._unanswered(call, refusal, pool, span, "shed")
            raise

    # --------------------------------------------------------------------------------------------------------------------- ends

    def _settle(self, call: Call, reply: Reply, span: "Span | None") -> None:
        """Count and write down an answer before it goes."""
        now_s = self._clock()
        self.in_flight -= 1
        if call.lost:
            reply.lost_nusd = call.lost_nusd
        try:
            self._write_down(call, reply, span, now_s)
        finally:  # after it is written down: what is left of a budget is said
            self._admission.leave(call, reply.nusd, reply)

    def _write_down(self, call: Call, reply: Reply, span: "Span | None", now_s: float) -> None:
        """Count an answer, and write down what it cost."""
        status = 200 if reply.raw is None else reply.raw.status
        outcome: Outcome = "error" if status >= 500 else "late" if self._is_late(call, reply, now_s) else "ok"
        part: Reply | None = None if reply.cached else reply
        while part is not None:
            self.metrics.waited(call.traffic_class, part.pool, part.wait_s)
            self._spent(call, part)
            part = part.escalated_from
        for part in call.lost:
            self._spent(call, part)
        self.metrics.ended(call, reply, outcome, now_s)
        if self._traces is not None and span is not None:
            self._traces.end(span, call, reply, outcome, now_s)
        if self._book is not None:
            self._book.request(call, reply, status, now_s)

    def late(self, call: Call, lost: Reply) -> None:
        """Count and write down what ran for a call when it was given up, and has ended now."""
        self._spent(call, lost)
        if self._book is not None:
            self._book.late(call, lost, GONE if call.gone else TimedOut.status, self._clock())

    def _spent(self, call: Call, part: Reply) -> None:
        """Count what a part of an answer cost, or what was lost."""
        for driver, nusd in (("compute", part.compute_nusd), ("tokens", part.tokens_nusd), ("egress", part.egress_nusd)):
            if nusd:
                self.metrics.spent(call.traffic_class, part.pool, driver, nusd)

    def _end_stream(self, call: Call, reply: Reply, error: Exception | None, span: "Span | None") -> None:
        """Settle an answer that was streamed, whose figures are known now; what broke off cost as much, and is no answer."""
        if error is not None and reply.raw is not None:
            reply.raw.status = error.status if isinstance(error, RequestRefusal) else Failed.status
        else:
            self.router.learn(reply, 1)
        self._settle(call, reply, span)

    def _failed(self, call: Call, error: BaseException, pool: str, span: "Span | None") -> TimedOut | None:
        """Count and write down that a call has no answer; return what its client is told instead of the error, where that is another.

        Whoever keeps an error in a variable, in a frame that it was raised through, leaves both to the garbage collector, with the body.
        """
        self.in_flight -= 1
        timed_out = isinstance(error, TimeoutError)
        instead = TimedOut(f"not answered within {self.settings.limits.answer_s:g} s") if timed_out else None
        shed = isinstance(error, RequestRefusal) and error.status == TooMany.status
        try:
            self._unanswered(call, instead or error, pool, span, "shed" if shed else "error")
        finally:
            self._admission.leave(call, call.lost_nusd)
        return instead

    def _unanswered(self, call: Call, error: BaseException, pool: str, span: "Span | None", outcome: Outcome) -> None:
        """Count, log and write down a call without an answer."""
        now_s = self._clock()
        if isinstance(error, asyncio.CancelledError):
            call.gone, status, code, message = True, GONE, "gone", "the client hung up"
        elif isinstance(error, RequestRefusal):
            status, code, message = error.status, error.code, error.logged
        else:
            status, code, message = Failed.status, Failed.code, f"{type(error).__name__}: {error}"
        log_failure(call, status=status, code=code, message=message, now_s=now_s, pool=pool)
        for part in call.lost:
            self._spent(call, part)
        self.metrics.ended(call, None, outcome, now_s, pool)
        if self._traces is not None and span is not None:
            self._traces.end(span, call, None, outcome, now_s, message)
        if self._book is not None:
            self._book.request(call, None, status, now_s)

    def _is_late(self, call: Call, reply: Reply, now_s: float) -> bool:
        """Return whether an answer came later than a promise to its class allows, whatever share may."""
        latency_s, ttft_s = self._late_s[call.traffic_class]
        if call.deadline_s is not None:
            return now_s > call.deadline_s
        first_s = now_s if reply.first_token_s is None else reply.first_token_s
        return now_s - call.arrived_s > latency_s or first_s - call.arrived_s > ttft_s


class _Passed:
    """A stream that is passed on; what is to happen at its end happens once, however it ends."""

    __slots__ = ("_ended", "_stream")

    def __init__(self, stream: AsyncIterator[bytes], ended: Callable[[Exception | None], None]) -> None:
        self._stream = stream
        self._ended: Callable[[Exception | None], None] | None = ended

    def __aiter__(self) -> "_Passed":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._stream)
        except (StopAsyncIteration, asyncio.CancelledError):
            self._end(None)
            raise
        except Exception as error:
            self._end(error)
            raise

    async def aclose(self) -> None:
        """Let go of the stream, which need not have ended."""
        try:
            close = getattr(self._stream, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        """Do once what is to happen at the end."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)


def _limits_s(item: ServedClass) -> tuple[float, float]:
    """Return the shortest times promised to a class: to the whole answer, and to the first token."""
    found = [
        min((slo.limit_s for slo in item.slos if slo.metric == metric), default=float("inf")) for metric in ("latency", "ttft")
    ]
    return found[0], found[1]
