"""``/v1/files`` and ``/v1/batches`` over HTTP, as OpenAI's clients ask for them (API reference, read 2026-11)."""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs import batch_lines
from tightrope.serve.jobs.database import JobsDatabaseError
from tightrope.serve.jobs.idempotency import hashed, once_of, the_same
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import ENDED, Batch, File, new_id, packed
from tightrope.serve.jobs.uploads import Uploads, keep_s
from tightrope.serve.protocols.error_bodies import malformed
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Conflict, Forbidden, Malformed, NotFound, TooLarge, TooMany, Unavailable

Authenticate: TypeAlias = Callable[[Request], Awaitable[Caller]]
Answer: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]
IDS = {kind: re.compile(kind + "[0-9a-f]{32}") for kind in ("file-", "batch_")}
MOST_FILES, MOST_BATCHES, USUAL_BATCHES = 10_000, 100, 20
PAGE_FILES = 500
"""Files in one answer, however many are asked for: writing ten thousand down would stop all others' answers for a tenth of a second."""
MOST_METADATA, MOST_KEY, MOST_VALUE = 16, 64, 512
BATCH_BYTES = 64 * 1024


class _Keep(msgspec.Struct, forbid_unknown_fields=True):
    """How long files are kept."""

    anchor: str
    seconds: int


class _BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says of a batch."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: _Keep | None = None


class Routes:
    """What is answered; errors are raised as ``Refusal`` and written by the application."""

    def __init__(
        self,
        queue: Queue,
        limits: Limits,
        endpoints: tuple[str, ...],
        classes: Mapping[str, bool],
        handed_in: Callable[[], None],
    ) -> None:
        """``classes`` are those of the plan, and whether their work can wait; ``handed_in`` hears of each change."""
        self._queue, self._limits, self._endpoints, self._handed_in = queue, limits, endpoints, handed_in
        self._uploads = Uploads(queue, limits)
        self._classes = tuple(name for name, waits in classes.items() if waits or not any(classes.values()))

    def all(self, authenticate: Authenticate) -> list[Route]:
        """Return the routes."""
        answers: tuple[tuple[str, str, Answer], ...] = (
            ("POST", "/v1/files", self.upload),
            ("GET", "/v1/files", self.files),
            ("GET", "/v1/files/{id}", self.file),
            ("GET", "/v1/files/{id}/content", self.content),
            ("DELETE", "/v1/files/{id}", self.delete),
            ("POST", "/v1/batches", self.create),
            ("GET", "/v1/batches", self.batches),
            ("GET", "/v1/batches/{id}", self.batch),
            ("POST", "/v1/batches/{id}/cancel", self.cancel),
        )
        return [Route(path, _allowed(authenticate, answer), methods=[method]) for method, path, answer in answers]

    # -------------------------------------------------------------------------------------------------------------- files

    async def upload(self, request: Request, caller: Caller) -> Response:
        """Take a file in as it comes; it is there once it is whole."""
        return _json((await self._uploads.take(request, caller.tenant)).shown())

    async def files(self, request: Request, caller: Caller) -> Response:
        """List the tenant's files."""
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            msg = "order must be asc or desc"
            raise Malformed(msg, parameter="order")
        limit, purpose = min(PAGE_FILES, _limit(request, MOST_FILES, MOST_FILES)), request.query_params.get("purpose", "")
        if not purpose.replace("_", "").replace("-", "").isalnum() and purpose:
            msg = "purpose must be a word such as batch"
            raise Malformed(msg, parameter="purpose")
        found = await self._queue.files.page(caller.tenant, _after(request, "file-"), limit + 1, purpose, order == "desc")
        return _listed([file.shown() for file in found], limit)

    async def file(self, request: Request, caller: Caller) -> Response:
        """Show a file."""
        return _json((await self._file(request, caller)).shown())

    async def content(self, request: Request, caller: Caller) -> Response:
        """Send a file's bytes."""
        file = await self._file(request, caller)
        headers = {"content-length": str(file.size), "x-content-type-options": "nosniff"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/octet-stream")  # nothing is read for it
        return StreamingResponse(self._queue.files.content(file), headers=headers, media_type="application/octet-stream")

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Remove a file."""
        file_id = _id(request, "file-")
        done = await self._queue.files.delete(caller.tenant, file_id)
        if done == "unknown":
            raise _unknown(file_id, "file-")
        if done == "used":
            msg = f"a batch that is not done reads {file_id}: cancel it first"
            raise Conflict(msg, parameter="file_id")
        return _json({"id": file_id, "object": "file", "deleted": True})

    async def _file(self, request: Request, caller: Caller) -> File:
        file_id = _id(request, "file-")
        file = await self._queue.files.get(caller.tenant, file_id)
        if file is None:
            raise _unknown(file_id, "file-")
        return file

    # ------------------------------------------------------------------------------------------------------------ batches

    async def create(self, request: Request, caller: Caller) -> Response:
        """Take a batch in, once where the same request comes again; its file is read after this is answered."""
        asked = await _read_asked(request)
        batch = replace(
            self._made(asked, caller), once=once_of(request), asked=hashed(msgspec.json.encode(asked, order="sorted"))
        )
        added = await self._queue.batches.add(batch, self._limits.open_batches)
        if isinstance(added, Batch):
            return _json(the_same(added, batch.asked).shown())
        if added == "no file":
            raise _unknown(batch.file, "file-", "input_file_id")
        if added == "too many":
            message = f"this tenant has {self._limits.open_batches} batches that are not done: wait for one, or cancel it"
            raise TooMany(message, retry_after_s=60.0)
        self._handed_in()
        return _json(batch.shown())

    def _made(self, asked: _BatchBody, caller: Caller) -> Batch:
        """Return the batch that a client asks for; raise what is wrong with it."""
        if asked.endpoint not in self._endpoints:
            message = f"endpoint must be one of {', '.join(self._endpoints)}, got {asked.endpoint[:80]!r}"
            raise Malformed(message, parameter="endpoint")
        within_s = batch_lines.window_s(asked.completion_window)
        if within_s is None:
            message = f"completion_window must be such as 24h or 90m, at most 30d, got {asked.completion_window[:80]!r}"
            raise Malformed(message, parameter="completion_window")
        if not IDS["file-"].fullmatch(asked.input_file_id):
            message = f"input_file_id must be the id of an uploaded file, such as file-…, got {asked.input_file_id[:80]!r}"
            raise Malformed(message, parameter="input_file_id")
        metadata, keep, now = _checked(asked.metadata or {}), asked.output_expires_after, self._queue.now_s()
        return Batch(
            id=new_id("batch"),
            tenant=caller.tenant,
            caller=packed(caller),
            endpoint=asked.endpoint,
            file=asked.input_file_id,
            due_within=asked.completion_window,
            metadata=msgspec.json.encode(metadata).decode(),
            traffic_class=self._class_of(caller, metadata.get("class")),
            output_keep_s=self._limits.keep_s if keep is None else keep_s(keep.anchor, keep.seconds, "output_expires_after"),
            created_s=now,
            due_s=now + within_s,
        )

    def _class_of(self, caller: Caller, asked: str | None) -> str:
        """Return the traffic class of a batch: the one asked for, else the caller's first, of those whose work can wait."""
        able = [name for name in caller.classes or self._classes if name in self._classes]
        if asked is None:
            return able[0] if able else ""
        if asked not in self._classes:
            message = (
                f"metadata.class must be a class whose work can wait ({', '.join(self._classes) or 'none'}), got {asked[:80]!r}"
            )
            raise Malformed(message, parameter="metadata.class")
        if asked not in able:
            msg = f"this key may not ask for the class {asked!r}"
            raise Forbidden(msg, parameter="metadata.class")
        return asked

    async def batches(self, request: Request, caller: Caller) -> Response:
        """List the tenant's batches, newest first."""
        limit = _limit(request, USUAL_BATCHES, MOST_BATCHES)
        found = await self._queue.batches.page(caller.tenant, _after(request, "batch_"), limit + 1)
        return _listed([batch.shown() for batch in found], limit)

    async def batch(self, request: Request, caller: Caller) -> Response:
        """Show a batch."""
        return _json((await self._batch(request, caller)).shown())

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Begin nothing more of a batch; what is in flight is still answered."""
        batch = await self._batch(request, caller)
        await self._queue.batches.stop(batch.id, "cancelling", self._queue.now_s())
        batch = await self._batch(request, caller)
        if batch.status in ENDED - {"cancelled"}:
            msg = f"a batch that is {batch.status} cannot be cancelled"
            raise Conflict(msg, parameter="batch_id")
        self._handed_in()
        return _json(batch.shown())

    async def _batch(self, request: Request, caller: Caller) -> Batch:
        batch_id = _id(request, "batch_")
        batch = await self._queue.batches.get(caller.tenant, batch_id)
        if batch is None:
            raise _unknown(batch_id, "batch_")
        return batch


def _allowed(authenticate: Authenticate, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers a request, of a key that may hand work in."""

    @functools.wraps(answer)
    async def answered(request: Request) -> Response:
        caller = await authenticate(request)
        if "batch" not in caller.scopes:
            msg = "this key may not use files and batches: it has not the scope batch"
            raise Forbidden(msg)
        try:
            return await answer(request, caller)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except JobsDatabaseError as trouble:
            raise Unavailable(str(trouble), retry_after_s=5.0) from trouble

    return answered


async def _read_asked(request: Request) -> _BatchBody:
    """Return what a client says of a batch."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BATCH_BYTES:
            msg = f"a batch is said in at most {BATCH_BYTES:,} bytes; its requests are a file"
            raise TooLarge(msg)
    try:
        return msgspec.json.decode(body, type=_BatchBody)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(error) from None


def _checked(metadata: dict[str, str]) -> dict[str, str]:
    """Return metadata within OpenAI's limits."""
    if len(metadata) > MOST_METADATA or any(len(key) > MOST_KEY or len(value) > MOST_VALUE for key, value in metadata.items()):
        message = f"metadata has at most {MOST_METADATA} texts of {MOST_VALUE} letters, with names of {MOST_KEY}"
        raise Malformed(message, parameter="metadata")
    return metadata


def _id(request: Request, kind: str) -> str:
    """Return the id in the path; what can be none is not looked for."""
    found = str(request.path_params["id"])
    if not IDS[kind].fullmatch(found):
        raise _unknown(found, kind)
    return found


def _unknown(identity: str, kind: str, parameter: str | None = None) -> NotFound:
    word = kind.strip("-_")
    return NotFound(f"there is no {word} {identity[:80]!r}", parameter=parameter or f"{word}_id")


def _after(request: Request, kind: str) -> str:
    after = request.query_params.get("after", "")
    if after and not IDS[kind].fullmatch(after):
        msg = f"after must be the id of a {kind.strip('-_')}, got {after[:80]!r}"
        raise Malformed(msg, parameter="after")
    return after


def _limit(request: Request, usual: int, most: int) -> int:
    said = request.query_params.get("limit", str(usual))
    if not said.isdecimal() or len(said) > 6 or not 1 <= int(said) <= most:
        msg = f"limit must be 1 to {most}, got {said[:80]!r}"
        raise Malformed(msg, parameter="limit")
    return int(said)


def _listed(shown: list[dict[str, Any]], limit: int) -> Response:
    """Return a page, of which one more was looked for than it has."""
    data = shown[:limit]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return _json({"object": "list", "data": data, **ends, "has_more": len(shown) > limit})


def _json(said: object) -> Response:
    return Response(msgspec.json.encode(said), media_type="application/json")
