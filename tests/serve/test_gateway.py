"""The way of one call, with pools that answer from memory: classes, refusals, stand-ins, cascades, and what is counted of each end."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.serve.conftest import FakePool

from tightrope.base.plan import RoutingRule, ServedClass
from tightrope.base.records import Slo
from tightrope.serve.access.admission import AdmissionControl
from tightrope.serve.config.settings import Limits, ServedCascade, ServedModel, ServedPool, Settings, TenantLimits
from tightrope.serve.gateway import Gateway
from tightrope.serve.metrics.request_metrics import Metrics
from tightrope.serve.records import Call, Caller, RawAnswer, Reply
from tightrope.serve.refusals import Forbidden, Malformed, NotFound, TimedOut, TooMany, Unavailable, UpstreamFailed

NOW, LATER = ServedClass("now", (Slo("latency", 0.95, 1.0),), 0.0), ServedClass("later", (), 0.0)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


class Book:
    """Keeps what a ledger would write."""

    def __init__(self) -> None:
        self.rows: list[tuple[Call, Reply | None, int]] = []
        self.full = False

    def request(self, call: Call, reply: Reply | None, status: int, now_s: float) -> None:
        """Keep one row."""
        assert now_s >= call.arrived_s
        self.rows.append((call, reply, status))

    def late(self, call: Call, lost: Reply, status: int, now_s: float) -> None:
        """Keep one row."""
        self.request(call, lost, status, now_s)

    def check_room(self) -> None:
        """Say whether there is any."""
        if self.full:
            msg = "full"
            raise Unavailable(msg)


class Bench:
    """A gateway with its parts in reach."""

    def __init__(self, *pools: ServedPool, model: ServedModel | None = None, scores: Any = None, **fields: Any) -> None:
        pools = pools or (ServedPool("a", "m", "a", requests_per_s=10.0),)
        self.pools = {pool.name: FakePool(pool, scores) for pool in pools}
        model = model or ServedModel("m", "classify", tuple(self.pools))
        settings = Settings("w", pools, (model,), fields.pop("classes", (NOW, LATER)), **fields)
        self.clock, self.book = Clock(), Book()
        self.metrics = Metrics("w", pools, settings.classes, clock=self.clock)
        self.admission = AdmissionControl(
            settings.limits, settings.tenants, lambda _: 0, self.metrics, self.clock, classes=settings.classes
        )
        self.gateway = Gateway(settings, self.pools, self.metrics, self.admission, book=self.book, clock=self.clock)

    def ask(self, call: Call) -> Reply:
        """Return the answer to one call."""
        return asyncio.run(self.gateway.answer(call))

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of the one series that has these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        lines = [line for line in self.metrics.exposition().decode().splitlines() if line.startswith(name + "{")]
        found = [line for line in lines if wanted <= set(line[len(name) + 1 : line.rindex("}")].split(","))]
        assert len(found) == 1, lines
        return float(found[0].rsplit(" ", 1)[1])


def test_an_answer_is_counted_and_written_down(make_call: Callable[..., Call]) -> None:
    bench = Bench()
    reply = bench.ask(make_call("m", "x", "y"))
    assert reply.pool == "a"
    [(call, written, status)] = bench.book.rows
    assert (call.traffic_class, written, status) == ("now", reply, 200)
    assert bench.gateway.in_flight == 0
    assert bench.counted("tightrope_requests_total", **{"class": "now"}, pool="a", outcome="ok") == 1
    assert bench.counted("tightrope_arrivals_total", **{"class": "now"}, pool="a") == 1
    assert bench.counted("tightrope_usd_total", **{"class": "now"}, pool="a", driver="compute") == pytest.approx(2e-6)


def test_an_answer_later_than_promised_is_late(make_call: Callable[..., Call]) -> None:
    bench = Bench()
    bench.clock.now_s = 1.5
    bench.ask(make_call())
    bench.ask(make_call(traffic_class="later"))
    bench.ask(make_call(traffic_class="later", deadline_s=1.0))
    assert bench.counted("tightrope_requests_total", **{"class": "now"}, pool="a", outcome="late") == 1
    assert bench.counted("tightrope_requests_total", **{"class": "later"}, pool="a", outcome="late") == 1
    assert bench.counted("tightrope_requests_total", **{"class": "later"}, pool="a", outcome="ok") == 1


@pytest.mark.parametrize(
    ("fields", "refusal", "said"),
    [
        ({"model": "mm"}, NotFound, "did you mean 'm'"),
        ({"task": "chat"}, Malformed, "its task is 'classify'"),
        ({"traffic_class": "soon"}, Malformed, "no traffic class 'soon'$"),
        ({"traffic_class": "latr"}, Malformed, r"no traffic class 'latr': did you mean 'later'\?"),
        ({"traffic_class": "latr", "caller": Caller("acme", classes=("now",))}, Malformed, "no traffic class 'latr'$"),
        (
            {"caller": Caller("acme", classes=("later",)), "traffic_class": "now"},
            Forbidden,
            "may not ask for the traffic class 'now'",
        ),
    ],
)
def test_what_can_not_be_asked(
    make_call: Callable[..., Call], fields: dict[str, Any], refusal: type[Exception], said: str
) -> None:
    bench = Bench()
    with pytest.raises(refusal, match=said):
        bench.ask(make_call(fields.pop("model", "m"), **fields))
    assert bench.book.rows == []


def test_the_class_is_that_of_the_call_the_key_or_the_model(make_call: Callable[..., Call]) -> None:
    bench = Bench(model=ServedModel("m", "classify", ("a",), classes=("later", "now")))
    calls = [make_call(), make_call(traffic_class="now"), make_call(caller=Caller("acme", classes=("now", "later")))]
    for call in calls:
        bench.ask(call)
    assert [call.traffic_class for call in calls] == ["later", "now", "now"]
    only = Bench(model=ServedModel("m", "classify", ("a",), classes=("later",)))
    both = make_call(caller=Caller("acme", classes=("now", "later")))
    only.ask(both)
    assert both.traffic_class == "later"  # of the key's classes the first that the model answers
    with pytest.raises(Malformed, match="no traffic class 'gone'"):
        bench.ask(make_call(caller=Caller("acme", classes=("gone",))))
    with pytest.raises(Malformed, match="does not answer the traffic class"):
        only.ask(make_call(traffic_class="now"))


def test_what_is_left_of_a_budget_is_said_with_the_answer_in_it(make_call: Callable[..., Call]) -> None:
    bench = Bench(tenants={"acme": TenantLimits(budget_usd_per_month=1.0)})
    bench.pools["a"].nusd = 250_000_000
    bench.admission._spent = lambda _: sum(reply.nusd for _, reply, _ in bench.book.rows if reply is not None)
    bench.ask(make_call())
    assert bench.counted("tightrope_budget_left_usd", tenant="acme") == pytest.approx(0.75)


def test_clients_name_a_class_without_its_place(make_call: Callable[..., Call]) -> None:
    here = replace(NOW, name="now.eastus", place=("azure", "eastus"))
    bench = Bench(classes=(here,), class_names={"now": "now.eastus"})
    call = make_call(traffic_class="now", caller=Caller("acme", classes=("now",)))
    bench.ask(call)
    assert call.traffic_class == "now.eastus"
    assert [model.name for model in bench.gateway.models(Caller("acme", classes=("now",)))] == ["m"]


def test_a_refusal_is_logged_by_what_it_says_for_logs(make_call: Callable[..., Call], caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.pools["a"].error = refusal = Malformed("what is wrong with 'my secret words'")
    refusal.logged = "the server refused it"
    with caplog.at_level("INFO", "tightrope.serve"), pytest.raises(Malformed, match="my secret words"):
        bench.ask(make_call())
    assert [vars(record)["reason"] for record in caplog.records] == ["the server refused it"]


def test_another_pool_stands_in_where_one_can_not_answer(make_call: Callable[..., Call]) -> None:
    bench = Bench(ServedPool("a", "m", "a", requests_per_s=10.0), ServedPool("b", "m", "b", requests_per_s=5.0))
    bench.pools["a"].error = UpstreamFailed("gone")
    assert bench.ask(make_call()).pool == "b"
    bench.pools["b"].error = Unavailable("also")
    with pytest.raises((UpstreamFailed, Unavailable)):
        bench.ask(make_call())
    assert bench.book.rows[0][2] == 200
    assert bench.book.rows[1][2] in {502, 503}


def test_what_is_turned_away_is_written_down(make_call: Callable[..., Call]) -> None:
    bench = Bench(tenants={"acme": TenantLimits(requests_per_s=1.0)})
    bench.ask(make_call())
    with pytest.raises(TooMany) as refused:
        bench.ask(make_call())
    assert refused.value.retry_after_s == 1.0
    bench.pools["a"].state.in_flight = 100
    bench.clock.now_s = 2.0
    with pytest.raises(TooMany, match="in time"):
        bench.ask(make_call(arrived_s=2.0))
    assert [row[2] for row in bench.book.rows] == [200, 429, 429]
    assert bench.gateway.in_flight == 0


def test_nothing_is_answered_whose_cost_can_not_be_written_down(make_call: Callable[..., Call]) -> None:
    bench = Bench()
    bench.book.full = True
    with pytest.raises(Unavailable):
        bench.ask(make_call("m", "x"))
    assert not bench.pools["a"].asked
    assert bench.gateway.in_flight == 0


@pytest.mark.parametrize("fails", [True, False])
def test_what_came_to_nothing_is_counted_where_it_was_tried(make_call: Callable[..., Call], fails: bool) -> None:
    bench = Bench()
    call = make_call("m", "x", lost=[Reply("a", "a", compute_nusd=40, tokens_nusd=2)])
    if fails:
        bench.pools["a"].error = UpstreamFailed("no")
        with pytest.raises(UpstreamFailed):
            bench.ask(call)
        assert bench.counted("tightrope_usd_total", **{"class": "now"}, pool="a", driver="compute") == pytest.approx(40e-9)
    else:
        reply = bench.ask(call)
        assert (reply.lost_nusd, reply.nusd) == (42, (reply.compute_nusd or 0) + 42)
    assert bench.counted("tightrope_usd_total", **{"class": "now"}, pool="a", driver="tokens") == pytest.approx(2e-9)


def test_a_client_that_goes_takes_its_call_along(make_call: Callable[..., Call]) -> None:
    bench = Bench()

    async def leave() -> Call:
        bench.pools["a"].gate = asyncio.Event()
        call = make_call()
        task = asyncio.create_task(bench.gateway.answer(call))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return call

    call = asyncio.run(leave())
    assert call.gone
    assert [row[2] for row in bench.book.rows] == [499]
    assert bench.gateway.in_flight == 0


def test_what_ran_on_for_a_client_that_went_is_counted_and_written_down(make_call: Callable[..., Call]) -> None:
    bench, call = Bench(), make_call(gone=True, traffic_class="now")
    bench.gateway.late(call, Reply("a", "a", compute_nusd=7))
    assert [(row[1].nusd, row[2]) for row in bench.book.rows if row[1]] == [(7, 499)]
    assert bench.counted("tightrope_usd_total", **{"class": "now"}, pool="a", driver="compute") == pytest.approx(7e-9)


@pytest.mark.parametrize("kind", [UpstreamFailed, ValueError, None], ids=["upstream", "defect", "hung up"])
def test_a_call_that_fails_leaves_nothing_to_the_garbage_collector(
    make_call: Callable[..., Call], kind: type[Exception] | None
) -> None:
    bench = Bench()
    bench.gateway._book = None
    bench.pools["a"].error = kind("gone") if kind else None

    async def fail() -> None:
        bench.pools["a"].gate = asyncio.Event() if kind is None else None
        task = asyncio.create_task(bench.gateway.answer(make_call(identity="left behind")))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(fail())
        bench.pools["a"].error = None  # which knows where it was raised
        bench.pools["a"].asked.clear()
        # of a weak proxy `isinstance` may fail
        assert not [one for one in gc.get_objects() if type(one) is Call and one.identity == "left behind"]
    finally:
        gc.enable()


def test_an_answer_that_never_comes_is_given_up(make_call: Callable[..., Call]) -> None:
    bench = Bench(limits=Limits(answer_s=0.01))

    async def wait() -> None:
        bench.pools["a"].gate = asyncio.Event()
        await bench.gateway.answer(make_call())

    with pytest.raises(TimedOut, match=r"within 0\.01 s"):
        asyncio.run(wait())
    assert bench.book.rows[0][2] == 504


@pytest.mark.parametrize("how", ["read", "closed", "closed at once", "broken"])
def test_a_stream_is_settled_once_however_it_ends(make_call: Callable[..., Call], how: str) -> None:
    bench = Bench()

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        if how == "broken":
            raise UpstreamFailed(*("gone",))
        yield b"b"

    async def streamed(call: Call) -> Reply:
        return Reply("a", "a", raw=RawAnswer(200, "text/event-stream", stream=parts()), compute_nusd=5)

    async def read() -> None:
        bench.pools["a"].answer = streamed  # type: ignore[method-assign]
        reply = await bench.gateway.answer(make_call())
        assert bench.book.rows == []
        assert bench.gateway.in_flight == 1
        assert reply.raw is not None
        stream: Any = reply.raw.stream
        if how == "read":
            assert [part async for part in stream] == [b"a", b"b"]
        elif how == "closed":
            await anext(stream)
        elif how == "broken":
            await anext(stream)
            with pytest.raises(UpstreamFailed):
                await anext(stream)
        await stream.aclose()

    asyncio.run(read())
    assert [row[2] for row in bench.book.rows] == [502 if how == "broken" else 200]
    assert bench.gateway.in_flight == 0


def test_a_cascade_of_a_plan_goes_on_in_the_class_that_follows(make_call: Callable[..., Call]) -> None:
    first = replace(NOW, name="now-first", asked_as="now")
    then = ServedClass("now-escalated", (), 0.0, follows="now-first", follow_share=0.3)
    pools = (ServedPool("small", "m", "s"), ServedPool("large", "m", "l"))
    model = ServedModel("now", "classify", ("small",), ServedCascade("small", "large", 0.5), ("now-first",))
    rules = tuple(RoutingRule(cls, pool, 1.0, (1.0,)) for cls, pool in (("now-first", "small"), ("now-escalated", "large")))
    bench = Bench(
        *pools, model=model, classes=(first, then), routing=rules, class_names={"now": "now-first"}, scores=lambda _: [0.6, 0.4]
    )
    reply = bench.ask(make_call("now"))
    assert (reply.pool, reply.nusd) == ("large", 2000)
    assert bench.pools["large"].asked[0].traffic_class == "now-escalated"
    assert bench.pools["small"].asked[0].traffic_class == "now-first"
