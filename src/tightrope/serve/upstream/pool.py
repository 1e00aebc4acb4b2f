"""A pool of upstream servers, as a ``Backend``: a request from its place in the line to its cost."""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientError

from tightrope.base.errors import InputError
from tightrope.base.plan import ServedClass
from tightrope.serve.config.settings import ServedPool, Upstream
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.ledger.meter import MachineMeter, MachineUse
from tightrope.serve.records import NUSD_PER_USD, Call, RawAnswer, Reply, Signature, Task
from tightrope.serve.refusals import UpstreamFailed
from tightrope.serve.upstream import oip
from tightrope.serve.upstream.dialect import Dialect, UpstreamRequest
from tightrope.serve.upstream.fleet import ReplicaFleet, Resolve
from tightrope.serve.upstream.hedging import Race
from tightrope.serve.upstream.openai import ChatEvents, OpenAI, price_nusd
from tightrope.serve.upstream.replica import Replica
from tightrope.serve.upstream.replica_queue import ReplicaQueue, RetryBudget, going_away
from tightrope.serve.upstream.sender import EVENT_STREAM, Failure, ReplicaAnswer, Sender
from tightrope.serve.upstream.stream import EventRelay
from tightrope.serve.upstream.upstream_key import UpstreamKey

TASKS: dict[str, frozenset[Task]] = {"openai": frozenset({"chat", "embed"}), "oip": frozenset({"infer", "embed", "classify"})}
"""What servers can be asked by each protocol."""
LEAST_HOLD_S = 30.0
LEARN_S = 60.0
"""A server of the Open Inference Protocol is asked again so often what its model takes: it may have another version now."""
AGAIN_SHARE, AGAIN_LEAST = 0.2, 10
"""Asked again is a share of all requests, as by the retry budgets of Finagle and Linkerd, and so many at any time, or one replica's."""
NUSD_PER_GB_BYTE = NUSD_PER_USD / 1e9
DRAIN_STEP_S = 0.02

log = logging.getLogger(__name__)


class PoolMetrics(Protocol):
    """What a pool tells as it works: the metrics' part of it."""

    def batch(self, pool: str, size: int, service_s: float) -> None:
        """Count an answer and the time that the server took."""
        ...


@dataclass(slots=True)
class _Work:
    """A call, and the attempt at it that is under way."""

    call: Call
    written: UpstreamRequest | None
    """The request, where it is the same for every replica."""
    prefix: bytes
    entered_s: float
    tried: list[Replica] = field(default_factory=list)
    again: int = 0
    """Times that another replica was asked."""
    began_s: float = 0.0
    use: MachineUse = field(init=False)
    """Of the machines, by this attempt."""


class UpstreamPool:
    """Upstream servers that answer for a pool."""

    def __init__(
        self,
        pool: ServedPool,
        task: Task,
        classes: Mapping[str, ServedClass],
        meter: MachineMeter,
        metrics: PoolMetrics,
        *,
        resolve: Resolve | None = None,
    ) -> None:
        """Connect to nothing yet; raise ``InputError`` where the servers' protocol has no such task. ``resolve`` finds addresses."""
        upstream = checked_servers(pool, task)
        self.pool = pool
        self._upstream, self._meter, self._metrics = upstream, meter, metrics
        self._load = PoolLoad(0, requests_per_s=pool.requests_per_s)
        self._oip = oip.OpenInference()
        self._dialect: Dialect = OpenAI() if upstream.api == "openai" else self._oip
        self._key = UpstreamKey(upstream.key_from)
        self._limit = float(upstream.concurrency or ceil(pool.concurrency)) or inf
        self._fleet = ReplicaFleet(
            pool.name, upstream, self._limit, pool.start_s, self._load, self._changed, self._is_healthy, resolve
        )
        self._hold_s = upstream.hold_s or max(LEAST_HOLD_S, 2.0 * pool.start_s)
        self._line = ReplicaQueue(self._fleet, classes, self._load, self._hold_s, pool.deferrable_limit)
        self._sender = Sender(self._fleet, lambda: self._key.headers, upstream.answer_bytes, upstream.model)
        self._check_s = max(upstream.health_s, upstream.connect_s)
        self._budget = RetryBudget(AGAIN_SHARE, AGAIN_LEAST)
        self._follow: asyncio.Task[None] | None = None
        self._counted = (0, 0)
        self._leaving = self._stopped = False

    # -------------------------------------------------------------------------------------------------------- as a backend

    async def start(self) -> None:
        """Find the servers and check each once: they can be asked then, or are held for until one can."""
        await self._key.refresh()
        await self._fleet.start()
        if not self._fleet.ready:
            log.warning("pool %s: none of its %d servers can be asked yet", self.pool.name, len(self._fleet.replicas))
        self._follow = asyncio.create_task(self._key.follow())

    async def stop(self, within_s: float) -> None:
        """Take nothing more; within the time, let what has begun or waits be answered; then break it off and close everything."""
        self._leaving = True
        until_s = time.monotonic() + within_s
        while self._load.in_flight and time.monotonic() < until_s:
            await asyncio.sleep(DRAIN_STEP_S)
        self._stopped = True
        self._line.turn_away()
        if self._follow is not None:
            self._follow.cancel()
            with suppress(asyncio.CancelledError):
                await self._follow
        await self._fleet.stop()
        await self._sender.stop()

    def load(self) -> PoolLoad:
        """Return how things stand; the same object always, brought up to date as they change."""
        return self._load

    @property
    def signature(self) -> Signature | None:
        """What a model that takes tensors takes and gives, as its servers say; None where none has said."""
        return self._oip.signature

    async def answer(self, call: Call) -> Reply:
        """Return a server's answer with its cost; of a stream both are right when it has ended. Raise ``Refusal``."""
        if self._leaving:
            raise going_away()
        self._budget.earn()
        self._load.in_flight += 1
        streams = False
        try:
            reply = await self._answer(call)
            streams = reply.raw is not None and reply.raw.stream is not None
            return reply
        finally:
            if not streams:
                self._load.in_flight -= 1

    # ---------------------------------------------------------------------------------------------------------- one request

    async def _answer(self, call: Call) -> Reply:
        """Return the reply of the first replica that answers, of those that may be asked."""
        written = None if self._dialect is self._oip else self._dialect.ask(call, self._model(call), binary=False)
        work = _Work(call, written, written.prefix if written else b"", time.monotonic())
        while True:
            asked, replica = await self._place(work)
            self._begin(work)
            try:
                got = await self._ask(work, asked, replica)
            except Failure as failure:
                self._lose(work, sent=failure.again != "freely")
                work.again += failure.again == "elsewhere"
                if not await self._may_again(failure, work):
                    raise failure.refusal from failure
            except BaseException:
                self._lose(work)
                raise
            else:
                finish = self._streamed if got.response else self._whole
                return finish(work, got)

    async def _place(self, work: _Work) -> tuple[UpstreamRequest, Replica]:
        """Return a replica with a place for the request, and the request in its words."""
        if self._stopped:
            raise going_away()
        replica = await self._line.place(work.call, work.prefix, work.tried)
        self._budget.cover(replica.outstanding)
        work.tried.append(replica)
        return self._written(work, replica), replica

    def _written(self, work: _Work, replica: Replica) -> UpstreamRequest:
        """Return the request for a replica, which has said what it takes; where it does not take this, its place is free again."""
        try:
            return work.written or self._oip.ask(work.call, self._model(work.call), binary=replica.takes_bytes, said=replica.said)
        except BaseException:
            self._fleet.release(replica)
            raise

    def _model(self, call: Call) -> str:
        """Return the server's name of the model."""
        return self._upstream.model or call.model

    async def _ask(self, work: _Work, asked: UpstreamRequest, replica: Replica) -> ReplicaAnswer:
        """Return a replica's answer, or that of another that is asked as well where it is slow or silent."""
        race, hedge_s = Race(self._sender), self._upstream.hedge_s
        silent = partial(race.ask_another, partial(self._elsewhere, work))
        replica.waiting.add(silent)
        timer = None
        if hedge_s is not None:
            timer = asyncio.get_running_loop().call_later(hedge_s, race.ask_another, partial(self._hedge, work, replica))
        try:
            return await race.run(self._sender.ask(work.call, asked, replica))
        finally:
            replica.waiting.discard(silent)
            if timer is not None:
                timer.cancel()

    async def _hedge(self, work: _Work, first: Replica) -> ReplicaAnswer:
        """Return the answer of another replica that has room, within the budget."""
        replica = self._fleet.pick(b"", (first,))
        if replica is not None and (replica is first or not self._budget.take()):
            self._fleet.release(replica)
            replica = None
        if replica is None:
            raise Failure(UpstreamFailed("no other server of the model may be asked"))
        return await self._sender.ask(work.call, self._written(work, replica), replica)

    def _elsewhere(self, work: _Work) -> Coroutine[Any, Any, ReplicaAnswer] | None:
        """Return what asks another replica for a request that waits on a silent one, if it may be asked again; that attempt is lost."""
        if work.again >= self._upstream.retries or not self._budget.take():
            return None
        work.again += 1
        self._lose(work)
        self._begin(work)

        async def ask() -> ReplicaAnswer:
            asked, replica = await self._place(work)
            return await self._sender.ask(work.call, asked, replica)

        return ask()

    async def _may_again(self, failure: Failure, work: _Work) -> bool:
        """Return whether a request that failed is asked again: within the time, the number and the budget that it has."""
        if self._stopped:
            return False
        if failure.again == "freely":
            return time.monotonic() < work.entered_s + self._hold_s
        if failure.again == "elsewhere":
            return work.again <= self._upstream.retries and self._budget.take()
        return failure.refusal.reason == "status_401" and await self._key.refresh()

    def _begin(self, work: _Work) -> None:
        """Note that an attempt begins."""
        work.began_s = time.monotonic()
        work.use = self._meter.begin(work.began_s)

    def _lose(self, work: _Work, *, sent: bool = True) -> None:
        """Note what an attempt cost that came to nothing."""
        now_s = time.monotonic()
        nusd, function_nusd = self._meter.end(work.use, now_s), self._function_nusd(work, now_s) if sent else 0
        if nusd != 0 or function_nusd:
            lost = Reply(self.pool.name, self.pool.variant, compute_nusd=nusd, tokens_nusd=function_nusd)
            lost.machine_s = work.use.machine_s
            work.call.lost.append(lost)

    def _function_nusd(self, work: _Work, now_s: float) -> int:
        """Return what a function costs for an attempt, by the time that it took as it is seen here: with the way to it, not less."""
        function = self.pool.function
        return 0 if function is None else ceil(function.usd(now_s - work.began_s) * NUSD_PER_USD)

    def _reply(self, work: _Work, got: ReplicaAnswer) -> Reply:
        """Return a reply with nothing in it yet."""
        return Reply(self.pool.name, self.pool.variant, got.replica.name, wait_s=work.began_s - work.entered_s)

    def _whole(self, work: _Work, got: ReplicaAnswer) -> Reply:
        """Return the reply of an answer that is not streamed."""
        assert got.whole is not None  # noqa: S101 - an answer is one or the other
        reply = self._reply(work, got)
        try:
            self._dialect.answer(work.call, got.asked, got.whole, reply)
        except BaseException:
            self._lose(work)
            self._fleet.failure(got.replica, "an answer that is none", rest=False)
            raise
        self._fleet.answered(got.replica)
        self._settle(work, reply, len(reply.raw.body if reply.raw else got.whole.body))
        return reply

    def _streamed(self, work: _Work, got: ReplicaAnswer) -> Reply:
        """Return the reply of a streamed answer, whose figures come as it goes."""
        events = ChatEvents(work.call, got.asked, self._model(work.call), self._upstream.answer_bytes)
        reply = self._reply(work, got)
        raw = reply.raw = RawAnswer(200, EVENT_STREAM)

        def first_token() -> None:
            reply.first_token_s = time.monotonic()

        def ended(sent_bytes: int, fine: bool) -> None:
            events.note(reply)
            self._settle(work, reply, sent_bytes)
            if fine:
                self._fleet.answered(got.replica)
            else:
                raw.status = UpstreamFailed.status
                self._fleet.failure(got.replica, "a stream that broke off", rest=True)
            self._load.in_flight -= 1
            self._fleet.release(got.replica)

        raw.stream = EventRelay(got, events, first_token, ended)
        return reply

    def _settle(self, work: _Work, reply: Reply, sent_bytes: int) -> None:
        """Fill in what an answer took and cost."""
        pool, now_s = self.pool, time.monotonic()
        reply.compute_nusd, reply.machine_s = self._meter.end(work.use, now_s), work.use.machine_s
        reply.tokens_nusd = price_nusd(reply, pool.usd_per_million_input_tokens, pool.usd_per_million_output_tokens)
        reply.tokens_nusd += self._function_nusd(work, now_s)
        if work.call.traffic_class not in pool.stays:
            reply.egress_nusd = ceil(sent_bytes * pool.usd_per_gb_egress * NUSD_PER_GB_BYTE)
        reply.service_s = now_s - work.began_s
        if not self._oip.is_ours:  # else its batches are of several requests, and it shows them itself
            self._metrics.batch(pool.name, 1, reply.service_s)

    # ---------------------------------------------------------------------------------------------------------- the replicas

    def _changed(self) -> None:
        """Meter the machines that there are now, and give out the places that there are."""
        counted = (self._fleet.present, self._load.replicas_ready)
        if counted != self._counted:
            self._counted = counted
            machines = counted[0] / self.pool.replicas_per_machine
            capacity = counted[1] * self._limit if self._limit < inf else 0.0  # without a limit, those that run share it all
            self._meter.resize(time.monotonic(), machines, capacity)
        self._line.serve()

    async def _is_healthy(self, replica: Replica) -> bool:
        """Ask a replica whether it is well, and where it is, what it can; raise what its connection raises."""
        path = self._upstream.health_path or self._dialect.health_path(self._upstream.model or self.pool.model)
        status, _ = await replica.get(path, self._key.headers, self._check_s)
        healthy = self._dialect.is_healthy(status)
        old = not replica.ready or time.monotonic() > replica.learned_s + LEARN_S
        if healthy and old and self._dialect is self._oip:
            try:
                await self._learn(replica)
            except (ClientError, TimeoutError, OSError) as error:
                if not (replica.ready or self._oip.is_known):
                    raise
                log.info("pool %s: %s does not say what its model takes: %r", self.pool.name, replica.name, error)
        return healthy

    async def _learn(self, replica: Replica) -> None:
        """Ask a server of the Open Inference Protocol whether it takes bytes, and what the model takes; else what it said before holds."""
        replica.learned_s = -inf
        status, body = await replica.get("/v2", self._key.headers, self._check_s)
        with suppress(msgspec.DecodeError, RecursionError):
            replica.takes_bytes = status == 200 and oip.server(body).takes_bytes
        path = oip.model_path(self._upstream.model or self.pool.model)
        status, body = await replica.get(path, self._key.headers, self._check_s)
        said = self._oip.learn(body) if status == 200 else None
        if said is not None:
            if replica.said not in (None, said):
                log.info("pool %s: the model of %s has other tensors now", self.pool.name, replica.name)
            replica.said, replica.learned_s = said, time.monotonic()


def checked_servers(pool: ServedPool, task: Task) -> Upstream:
    """Return where a pool's servers are; raise ``InputError`` where they cannot be asked."""
    upstream = pool.upstream
    if upstream is None or not upstream.replicas:
        msg = f"pool {pool.name!r} names no servers"
        raise InputError(msg, resolve="give it `upstream` with the base URL of each replica")
    if task not in TASKS[upstream.api]:
        able = ", ".join(sorted(TASKS[upstream.api]))
        msg = f"pool {pool.name!r}: servers of the protocol {upstream.api!r} are asked for {able}, not for {task!r}"
        raise InputError(msg, resolve="correct the model's `task`, or the servers' `api`")
    for base in upstream.replicas:
        if not _is_base_url(base):
            shown = base.rsplit("@", 1)[-1]  # never a key that stands before it
            msg = (
                f"pool {pool.name!r}: got the base URL {shown!r}, expected one such as http://10.0.0.4:8000, without a key in it"
            )
            raise InputError(msg, resolve="correct it; a key goes into a file that `key_from` names")
    return upstream


def _is_base_url(base: str) -> bool:
    """Return whether paths can be put after it."""
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and not re.search(r"[@?#\s]", base)
