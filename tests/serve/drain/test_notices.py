"""What each cloud's metadata service says, by stand-ins on loopback that answer as the clouds document it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from tightrope.serve.drain import metadata
from tightrope.serve.drain.notices import Cloud, Notice, notices

LIMIT_S = 60.0
QUICK_S = 0.01


@dataclass
class Standing:
    """A metadata service that is told what to say."""

    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    asked: list[str] = field(default_factory=list)

    async def heard(self, cloud: Cloud, most: int = 1, **more: Any) -> list[Notice]:
        """Return the first notices that are yielded before it, at most so many."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path}")
            return await self.handle(request)

        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        found: list[Notice] = []
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                aclosing(notices(cloud, f"http://{host}:{port}", every_s=QUICK_S, **more)) as told,
            ):
                async for notice in told:
                    found.append(notice)
                    if len(found) == most:
                        break
        finally:
            await runner.cleanup()
        return found


def heard(standing: Standing, cloud: Cloud, most: int = 1, **more: Any) -> list[Notice]:
    return asyncio.run(standing.heard(cloud, most, **more))


def left_s(notice: Notice) -> float:
    assert notice.deadline_s is not None
    return notice.deadline_s - time.monotonic()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "FIRST_PAUSE_S", QUICK_S)


# ------------------------------------------------------------------------------------------------------------------------- AWS


@dataclass
class Imds:
    """IMDSv2 (EC2 User Guide, 2026): a token first, which expires; 404 until there is a notice."""

    token: str = "one"  # noqa: S105 - of the stand-in
    """The one that is good."""
    action: str = ""
    hint: str = ""
    quiet: int = 3
    """Questions after which there is something to say."""
    questions: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        if request.path == "/latest/api/token":
            if request.method != "PUT" or not 1 <= int(request.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21600:
                return web.Response(status=400)
            return web.Response(text=self.token)
        if request.headers.get("X-aws-ec2-metadata-token") != self.token:
            return web.Response(status=401)
        self.questions += 1
        said = {
            "/latest/meta-data/instance-id": "i-0abc",
            "/latest/meta-data/spot/instance-action": self.action if self.questions > self.quiet else "",
            "/latest/meta-data/events/recommendations/rebalance": self.hint,
        }[request.path]
        return web.Response(text=said) if said else web.Response(status=404)


def action(in_s: float, what: str = "terminate") -> str:
    return json.dumps({"action": what, "time": (datetime.now(UTC) + timedelta(seconds=in_s)).strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_aws_says_when_the_machine_goes() -> None:
    standing = Standing(Imds(action=action(120)))
    (notice,) = heard(standing, "aws", most=2)
    assert notice.kind == "taken"
    assert notice.identity.startswith("i-0abc terminate 2")
    assert 90 < left_s(notice) <= 121
    assert standing.asked[0] == "PUT /latest/api/token"
    assert standing.asked.count("PUT /latest/api/token") == 1, "a token is used again"


def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    imds = Imds(action=action(120))

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        whole = await imds(request)
        if not isinstance(whole, web.Response) or not request.path.endswith("instance-action") or whole.text is None:
            return whole
        response = web.StreamResponse(status=whole.status)
        await response.prepare(request)
        for piece in (whole.text[:10], whole.text[10:]):
            await response.write(piece.encode())
            await asyncio.sleep(0.05)
        return response

    (notice,) = heard(Standing(in_pieces), "aws")
    assert 90 < left_s(notice) <= 121


def test_aws_hints_once() -> None:
    imds = Imds(hint='{"noticeTime": "2020-10-27T08:22:00Z"}', action=action(60, "stop"), quiet=9)
    first, last = heard(Standing(imds), "aws", most=9)
    assert first == Notice("hint", "i-0abc rebalance 2020-10-27T08:22:00Z")
    assert last.kind == "taken"


def test_aws_asks_for_another_token_when_one_has_expired() -> None:
    imds = Imds(action=action(60), quiet=6)

    async def expiring(request: web.Request) -> web.StreamResponse:
        if imds.questions == 4:
            imds.token = "two"  # noqa: S105 - of the stand-in
        return await imds(request)

    standing = Standing(expiring)
    assert heard(standing, "aws")[0].kind == "taken"
    assert standing.asked.count("PUT /latest/api/token") == 2


@pytest.mark.parametrize(
    ("text", "most_s"),
    [('{"action": "stop"}', None), ('{"action": "terminate", "time": "soon"}', None), (action(-50), 1.0), (action(1e7), 901.0)],
    ids=["no time", "no moment", "past", "far"],
)
def test_aws_is_believed_that_the_machine_goes_whatever_else_it_says(text: str, most_s: float | None) -> None:
    (notice,) = heard(Standing(Imds(action=text, quiet=0)), "aws")
    assert notice.kind == "taken"
    assert notice.deadline_s is None if most_s is None else left_s(notice) <= most_s


# ----------------------------------------------------------------------------------------------------------------------- Azure


@dataclass
class ScheduledEvents:
    """Scheduled Events (Azure documentation, API of 2020-07-01; 2026)."""

    later: list[dict[str, Any]]
    quiet: int = 2
    started: list[Any] = field(default_factory=list)
    questions: int = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        if request.headers.get("Metadata") != "true":
            return web.Response(status=400)
        if request.path == "/metadata/instance/compute/name":
            return web.Response(text="Workers_7")
        assert request.path_qs == "/metadata/scheduledevents?api-version=2020-07-01"
        if request.method == "POST":
            self.started.append(await request.json())
            return web.Response()
        self.questions += 1
        events = self.later if self.questions > self.quiet else []
        return web.json_response({"DocumentIncarnation": self.questions, "Events": events})


def event(what: str, *names: str, not_before: str = "", identity: str = "602d9444") -> dict[str, Any]:
    return {
        "EventId": identity,
        "EventType": what,
        "ResourceType": "VirtualMachine",
        "Resources": list(names),
        "EventStatus": "Scheduled" if not_before else "Started",
        "NotBefore": not_before,
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }


def test_azure_says_when_this_machine_goes_and_tells_of_others() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    service = ScheduledEvents(
        [
            event("Preempt", "workers_8", identity="1"),
            event("Freeze", "workers_7", identity="2"),
            event("Preempt", "workers_7", not_before=at),
        ]
    )
    (notice,) = heard(Standing(service), "azure", most=2)
    assert (notice.kind, notice.identity) == ("taken", "602d9444")
    assert 5 < left_s(notice) <= 31
    assert service.started == []


def test_azure_is_told_that_the_machine_may_go_where_that_is_asked_for() -> None:
    service = ScheduledEvents([event("Preempt", "workers_7")])
    (notice,) = heard(Standing(service), "azure", acknowledge=True)
    assert notice.deadline_s is None, "it has begun"
    assert service.started == [{"StartRequests": [{"EventId": "602d9444"}]}]


@pytest.mark.parametrize(
    "events", [None, "x", [1, None], [{"EventType": "Preempt"}], [{"EventType": "Preempt", "Resources": "workers_7"}]]
)
def test_azure_documents_that_are_none_are_passed_over(events: Any) -> None:
    service = ScheduledEvents([event("Preempt", "workers_7")], quiet=4)

    async def odd(request: web.Request) -> web.StreamResponse:
        answer = await service(request)
        return answer if service.questions > 4 or request.path.endswith("name") else web.json_response({"Events": events})

    assert len(heard(Standing(odd), "azure")) == 1
    assert service.questions == 5


# ---------------------------------------------------------------------------------------------------------------- Google Cloud


@dataclass
class MetadataServer:
    """Compute Engine's (documentation, 2026): ``wait_for_change`` answers when there is another value than that of ``last_etag``."""

    preempted: bool = False
    waited: list[str] = field(default_factory=list)
    flavor: str = "Google"

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        if request.path == "/computeMetadata/v1/instance/id":
            return web.Response(text="4711", headers={"Metadata-Flavor": "Google"})
        assert request.path == "/computeMetadata/v1/instance/preempted"
        if request.query.get("wait_for_change") == "true":
            assert request.query["last_etag"] == "tag-False"
            self.waited.append(request.query["timeout_sec"])
            await asyncio.sleep(QUICK_S)
            self.preempted = len(self.waited) > 2
        etag = {"ETag": f"tag-{self.preempted}"}
        return web.Response(text=str(self.preempted).upper(), headers={"Metadata-Flavor": self.flavor, **etag})


def test_gcp_says_when_it_changes() -> None:
    server = MetadataServer()
    standing = Standing(server)
    (notice,) = heard(standing, "gcp", most=2)
    assert (notice.kind, notice.identity) == ("taken", "4711 preempted")
    assert 5 < left_s(notice) <= 30
    assert server.waited == ["60", "60", "60"], "a time that is up is no change"


def test_gcp_says_at_once_what_has_happened_already() -> None:
    assert heard(Standing(MetadataServer(preempted=True)), "gcp")[0].kind == "taken"


# ----------------------------------------------------------------------------------------------------------------- elsewhere


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
@pytest.mark.parametrize("status", [200, 302, 403, 404, 429, 500])
def test_what_is_no_metadata_service_gives_no_notice(cloud: Cloud, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A captive portal, a web server, a service that fails: none of them makes a machine leave, and it stays quiet."""
    asked: list[str] = []

    async def other(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(
            status=status, text="TRUE" if status != 200 else "<html>", headers={"Location": "http://127.0.0.1:9/"}
        )

    async def wait() -> None:
        standing, done = Standing(other), asyncio.Event()

        async def stop() -> None:
            while len(asked) < 5:
                await asyncio.sleep(QUICK_S)
            done.set()

        tasks = [asyncio.ensure_future(standing.heard(cloud)), asyncio.ensure_future(stop())]
        await asyncio.wait(tasks, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        assert done.is_set()
        assert not tasks[0].done(), tasks[0]
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with caplog.at_level("INFO"):
        asyncio.run(wait())
    assert sum(record.name == metadata.log.name for record in caplog.records) <= 1


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_where_nothing_listens_it_asks_less_and_less(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def rest(service: metadata.Metadata, error: Exception) -> None:
        pauses.append(service._pause_s)
        service._pause_s = min(2.0 * service._pause_s, 8 * QUICK_S)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    async def listen() -> None:
        async with aclosing(notices(cloud, "http://127.0.0.1:1")) as told:
            async for notice in told:
                pytest.fail(str(notice))

    monkeypatch.setattr(metadata.Metadata, "rest", rest)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(listen())
    assert pauses == [QUICK_S * factor for factor in (1, 2, 4, 8, 8, 8)]


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert heard(Standing(Imds(action=action(60), quiet=0)), "aws")[0].kind == "taken"
