"""Files as they are uploaded: a form's parts written down as they come, there once they are whole."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from starlette.requests import Request

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs.files import PAGE_BYTES
from tightrope.serve.jobs.idempotency import asked_upload, once_of, the_same
from tightrope.serve.jobs.multipart import MultipartForm, boundary_of
from tightrope.serve.jobs.queue import Queue
from tightrope.serve.jobs.records import File, new_id
from tightrope.serve.jobs.tables import PART_BYTES
from tightrope.serve.refusals import Malformed, TooLarge, TooMany

FORM_BYTES = 64 * 1024
"""What a form may have around its file."""
SHORTEST_KEEP_S, LONGEST_KEEP_S = 3600, 30 * 86_400


class Uploads:
    """Takes files in; what is wrong is raised as ``Refusal``."""

    def __init__(self, queue: Queue, limits: Limits) -> None:
        self._queue, self._limits = queue, limits

    async def take(self, request: Request, tenant: str) -> File:
        """Return the file that came; where the request came before, the one that it made then."""
        declared = int(request.headers.get("content-length") or self._limits.file_bytes)
        if declared > self._limits.file_bytes + FORM_BYTES:
            raise self._too_large()
        form, once = MultipartForm(boundary_of(request.headers.get("content-type", ""))), once_of(request)
        made = await self._queue.files.made(tenant, once)
        if made is not None:
            return the_same(made, (await self._receive(request, form, "", hashes=True))[1])
        now = self._queue.now_s()
        file = File(new_id("file"), tenant, "batch", "", min(declared, self._limits.file_bytes), now, now + self._limits.keep_s)
        kept = await self._queue.files.begin(file)
        try:
            self._check_room(kept + file.size)
            size, asked = await self._receive(request, form, file.id, hashes=once is not None)
            keep_s = self._kept_s(form.fields)
            file = replace(file, name=form.filename or "", size=size, expires_s=now + keep_s, once=once, asked=asked)
            made = await self._queue.files.finish(file)
            if made is not None:  # by the same request, which came at the same time
                the_same(made, asked)
        except BaseException:
            await self._queue.files.abandon(file.id)
            raise
        if made is None:
            return file
        await self._queue.files.abandon(file.id)
        return made

    async def _receive(self, request: Request, form: MultipartForm, file_id: str, *, hashes: bool) -> tuple[int, str | None]:
        """Write the file's parts as they are full, without an id none; return its size, and the hash of what came with a key."""
        waiting, size, number, content = bytearray(), 0, 0, hashlib.sha256()

        async def sink(piece: bytes) -> None:
            nonlocal size, number
            size += len(piece)
            if size > self._limits.file_bytes:
                raise self._too_large()
            if hashes:
                content.update(piece)
            if not file_id:
                return
            waiting.extend(piece)
            while len(waiting) >= PAGE_BYTES:
                await self._queue.files.append(file_id, number, bytes(waiting[:PAGE_BYTES]))
                del waiting[:PAGE_BYTES]
                number += PAGE_BYTES // PART_BYTES

        await form.read(self._chunks(request), sink)
        if form.filename is None:
            msg = "the form has no file"
            raise Malformed(msg, parameter="file")
        if form.fields.get("purpose") != "batch":
            got = form.fields.get("purpose")
            raise Malformed(
                f"purpose must be 'batch', got {got[:80]!r}" if got else "purpose is missing: 'batch'", parameter="purpose"
            )
        if waiting:
            await self._queue.files.append(file_id, number, bytes(waiting))
        return size, asked_upload(content.hexdigest(), form.filename, form.fields) if hashes else None

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        """Give a form as it comes; raise ``TooLarge`` where it goes on around its file without end."""
        left = self._limits.file_bytes + FORM_BYTES
        async for chunk in request.stream():
            left -= len(chunk)
            if left < 0:
                raise self._too_large()
            if chunk:
                yield chunk

    def _check_room(self, size: int) -> None:
        if size > self._limits.kept_bytes:
            message = f"the files of this tenant would have {size:,} bytes and may have {self._limits.kept_bytes:,}: delete some"
            raise TooMany(message, parameter="file", retry_after_s=3600.0)

    def _kept_s(self, fields: Mapping[str, str]) -> float:
        """Return how long an uploaded file is kept."""
        seconds, anchor = fields.get("expires_after[seconds]"), fields.get("expires_after[anchor]", "created_at")
        if seconds is None:
            return self._limits.keep_s
        return keep_s(anchor, int(seconds) if seconds.isdecimal() and len(seconds) < 10 else -1, "expires_after")

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the file has more than {self._limits.file_bytes:,} bytes", parameter="file")


def keep_s(anchor: str, seconds: int, parameter: str) -> float:
    """Return how long a client wants files kept; raise ``Malformed``."""
    if anchor != "created_at" or not SHORTEST_KEEP_S <= seconds <= LONGEST_KEEP_S:
        message = f"{parameter} must have anchor created_at and {SHORTEST_KEEP_S} to {LONGEST_KEEP_S} seconds"
        raise Malformed(message, parameter=parameter)
    return float(seconds)
