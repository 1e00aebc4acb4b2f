"""Notices that a spot machine is to be taken, as AWS, Azure and Google Cloud give them to the machine itself.

Each class asks its cloud's metadata service for ever and yields what is new; where there is no such service it keeps quiet.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from tightrope.serve.drain.metadata import ASK_S, Metadata, MetadataAnswer, NoMetadataError

Cloud: TypeAlias = Literal["aws", "azure", "gcp"]
LINK_LOCAL = "http://169.254.169.254"
"""Where each of the three clouds has its metadata service."""
GCP_NOTICE_S = 30.0
"""Which Compute Engine gives at best (documentation on Spot VMs, 2026); it does not say when it ends."""
IDENTITY_S = 1.0
"""For the name of the machine that a notice is of: the notice does not wait longer for it."""
LONGEST_NOTICE_S = 900.0
"""A time that is further away is that of a clock that is wrong."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a cloud said."""

    kind: Literal["taken", "hint"]
    """The machine goes; or it is more likely to than before, and nothing needs to be done."""
    identity: str
    """The same for all that hear of this notice."""
    deadline_s: float | None = None
    """``time.monotonic`` when the machine may be gone; None is not said."""


async def notices(
    cloud: Cloud, base_url: str | None = None, *, every_s: float | None = None, acknowledge: bool = False
) -> AsyncGenerator[Notice, None]:
    """Yield notices as they come, and end after the one that says that this machine is taken.

    ``base_url`` stands for the cloud's own, ``every_s`` for the time between questions that it recommends. ``acknowledge`` tells Azure
    that the machine may go at once: it is for whoever has nothing left to finish.
    """
    async with Metadata(base_url or LINK_LOCAL) as service:
        if cloud == "aws":
            found = _aws(service, every_s or AWS_EVERY_S)
        elif cloud == "azure":
            found = _azure(service, every_s or AZURE_EVERY_S, acknowledge=acknowledge)
        else:
            found = _gcp(service)
        async with aclosing(found):
            async for notice in found:
                yield notice
                if notice.kind == "taken":
                    return


# ------------------------------------------------------------------------------------------------------------------------- AWS

AWS_EVERY_S = 5.0
"""EC2 User Guide, Spot Instance interruption notices, 2026."""
AWS_TOKEN_S = 21600
"""Longest that a token of IMDSv2 is good for."""
AWS_PATH = "/latest/meta-data"
AWS_ACTIONS = ("terminate", "stop", "hibernate")


async def _aws(service: Metadata, every_s: float) -> AsyncGenerator[Notice, None]:
    """Yield a rebalance recommendation once as a hint, and the interruption notice.

    EC2 User Guide, 2026: ``PUT /latest/api/token``; ``spot/instance-action`` is ``{"action": "terminate", "time":
    "2017-09-18T08:22:00Z"}`` (or stop, hibernate) two minutes ahead, and 404 until then; ``events/recommendations/rebalance`` is
    ``{"noticeTime": "2020-10-27T08:22:00Z"}``.
    """
    token, hinted = "", False
    while True:
        try:
            token = token or await _aws_token(service)
            action = await _aws_json(service, token, "spot/instance-action")
            if action is not None and action.get("action") in AWS_ACTIONS:
                identity = f"{await _aws_identity(service, token)} {action['action']} {action.get('time', '')}"
                yield Notice("taken", identity, _deadline(action.get("time"), datetime.fromisoformat))
            hint = None if hinted else await _aws_json(service, token, "events/recommendations/rebalance")
            if hint is not None and "noticeTime" in hint:
                hinted = True
                yield Notice("hint", f"{await _aws_identity(service, token)} rebalance {hint['noticeTime']}")
            service.is_there()
            await asyncio.sleep(every_s)
        except _TokenExpired:
            token = ""
            await asyncio.sleep(every_s)
        except NoMetadataError as error:
            token = ""
            await service.rest(error)


class _TokenExpired(Exception):  # noqa: N818 - it is asked for anew
    """401."""


async def _aws_token(service: Metadata) -> str:
    """Return a token of IMDSv2."""
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(AWS_TOKEN_S)}
    said = await service.ask("/latest/api/token", headers, method="PUT")
    if said.status != 200:
        msg = f"no token: status {said.status}"
        raise NoMetadataError(msg)
    return said.text.strip()


async def _aws_identity(service: Metadata, token: str) -> str:
    """Return the instance's id; empty where it cannot be had, which holds no notice up."""
    try:
        said = await service.ask(f"{AWS_PATH}/instance-id", {"X-aws-ec2-metadata-token": token}, within_s=IDENTITY_S)
    except NoMetadataError:
        return ""
    return said.text.strip() if said.status == 200 else ""


async def _aws_json(service: Metadata, token: str, path: str) -> Mapping[str, Any] | None:
    """Return an item of the metadata; None where it is not there."""
    said = await service.ask(f"{AWS_PATH}/{path}", {"X-aws-ec2-metadata-token": token})
    if said.status == 401:
        raise _TokenExpired
    return _mapping(said.text) if said.status == 200 else None


# ----------------------------------------------------------------------------------------------------------------------- Azure

AZURE_EVERY_S = 1.0
"""Azure documentation, Scheduled Events for Linux VMs, 2026."""
AZURE_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
AZURE_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
AZURE_HEADERS = {"Metadata": "true"}
AZURE_FIRST_S = 150.0
"""The first question turns the service on, which takes up to two minutes."""


async def _azure(service: Metadata, every_s: float, *, acknowledge: bool) -> AsyncGenerator[Notice, None]:
    """Yield the preemption of this machine; events of others in its scale set are told of too.

    Azure documentation, Scheduled Events for Linux VMs, API of 2020-07-01: ``{"DocumentIncarnation": 1, "Events": [{"EventId": …,
    "EventType": "Preempt", "EventStatus": "Scheduled", "Resources": ["name"], "NotBefore": "Mon, 19 Sep 2016 18:29:47 GMT"}]}``, at least
    30 s ahead; ``NotBefore`` is empty once it has begun. It is acknowledged by ``{"StartRequests": [{"EventId": …}]}``.
    """
    name, within_s = "", AZURE_FIRST_S
    while True:
        try:
            name = name or await _azure_name(service)
            said = await service.ask(AZURE_EVENTS, AZURE_HEADERS, within_s=within_s)
            within_s = ASK_S
            for event in _events(said.text) if said.status == 200 else ():
                if _preempts(event, name):
                    if acknowledge:
                        await _acknowledge(service, event)
                    yield Notice("taken", str(event.get("EventId")), _deadline(event.get("NotBefore"), parsedate_to_datetime))
            service.is_there()
            await asyncio.sleep(every_s)
        except NoMetadataError as error:
            await service.rest(error)


async def _azure_name(service: Metadata) -> str:
    """Return this machine's name, in small letters."""
    said = await service.ask(AZURE_NAME, AZURE_HEADERS)
    if said.status != 200:
        msg = f"no name: status {said.status}"
        raise NoMetadataError(msg)
    return said.text.strip().lower()


def _preempts(event: Mapping[str, Any], name: str) -> bool:
    """Return whether an event takes the machine of this name."""
    of = event.get("Resources")
    return event.get("EventType") == "Preempt" and isinstance(of, list) and name in {str(item).lower() for item in of}


async def _acknowledge(service: Metadata, event: Mapping[str, Any]) -> None:
    """Say that the machine may go."""
    body = json.dumps({"StartRequests": [{"EventId": event.get("EventId")}]}).encode()
    with suppress(NoMetadataError):
        await service.ask(AZURE_EVENTS, AZURE_HEADERS, method="POST", body=body)


def _events(text: str) -> list[Mapping[str, Any]]:
    """Return the events of a document, those that are none left out."""
    found = _mapping(text).get("Events")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


# ---------------------------------------------------------------------------------------------------------------- Google Cloud

GCP_PATH = "/computeMetadata/v1/instance"
GCP_HEADERS = {"Metadata-Flavor": "Google"}
GCP_WAIT_S = 60
GCP_EVERY_S = 1.0
"""Where an answer cannot be waited for."""


async def _gcp(service: Metadata) -> AsyncGenerator[Notice, None]:
    """Yield the preemption of this machine.

    Compute Engine documentation (query metadata; Spot VMs), 2026: ``instance/preempted`` is ``FALSE`` or ``TRUE``;
    ``wait_for_change=true&last_etag=…&timeout_sec=…`` answers when it changes; each answer has ``Metadata-Flavor: Google`` and ``ETag``.
    """
    etag = ""
    while True:
        try:
            said = await _gcp_preempted(service, etag)
            service.is_there()
            etag = said.headers.get("ETag", "")
            if said.text.strip() == "TRUE":
                deadline_s = time.monotonic() + GCP_NOTICE_S
                yield Notice("taken", f"{await _gcp_identity(service)} preempted", deadline_s)
            if not etag:
                await asyncio.sleep(GCP_EVERY_S)
        except NoMetadataError as error:
            etag = ""
            await service.rest(error)


async def _gcp_preempted(service: Metadata, etag: str) -> MetadataAnswer:
    """Return whether the machine is preempted: at once, or with the tag of an answer when it is another."""
    wait = f"?wait_for_change=true&timeout_sec={GCP_WAIT_S}&last_etag={etag}" if etag else ""
    said = await service.ask(f"{GCP_PATH}/preempted{wait}", GCP_HEADERS, within_s=GCP_WAIT_S + ASK_S if wait else ASK_S)
    if said.status != 200 or said.headers.get("Metadata-Flavor") != "Google":
        msg = f"status {said.status}"
        raise NoMetadataError(msg)
    return said


async def _gcp_identity(service: Metadata) -> str:
    """Return the machine's id; empty where it cannot be had."""
    try:
        return (await service.ask(f"{GCP_PATH}/id", GCP_HEADERS, within_s=IDENTITY_S)).text.strip()
    except NoMetadataError:
        return ""


# ---------------------------------------------------------------------------------------------------------------------- shared


def _mapping(text: str) -> Mapping[str, Any]:
    """Return a JSON object; an empty one of what is none, for the notice counts whatever it says beside."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _deadline(text: object, parse: Callable[[str], datetime]) -> float | None:
    """Return a time of the wall's clock as ``time.monotonic``; None where it is not said."""
    try:
        at = parse(str(text)) if text else None
    except ValueError:
        return None
    if at is None:
        return None
    left_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time()
    return time.monotonic() + min(max(left_s, 0.0), LONGEST_NOTICE_S)
