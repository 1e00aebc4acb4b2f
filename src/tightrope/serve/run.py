"""One process from its first breath to its last: listen, load, serve, and leave without losing a request."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import uvicorn

from tightrope.base.errors import InputError
from tightrope.serve.assembly import Process, assemble
from tightrope.serve.config.settings import Settings
from tightrope.serve.drain.notices import Notice, notices
from tightrope.serve.metrics.logs import begin_logs
from tightrope.serve.protocols.connection import override
from tightrope.serve.protocols.options import event_loop, server_options

GARBAGE = 20_000
"""Objects more than at the last look before the collector looks again: some megabytes, a hundredth of its time at 700."""
LAST_S = 5.0
"""For what is not answered when the time is up, to be told so."""
log = logging.getLogger("tightrope.serve")


def run(settings: Settings) -> None:
    """Serve until a signal or a cloud says to leave; raise ``InputError`` where it cannot begin."""
    with (
        _listening(settings) as sockets,
        _logging(settings.log_level),
        asyncio.Runner(loop_factory=_loop_factory(event_loop())) as runner,
    ):
        runner.run(serve(settings, sockets, _freeze))


async def serve(settings: Settings, sockets: list[socket.socket], started: Callable[[Process], None] | None = None) -> None:
    """Serve on these sockets until told to leave; ``started`` is called once requests are answered."""
    process = assemble(settings)
    server = _Server(uvicorn.Config(process.app, **server_options(settings, process.held)))
    let_go = process.drain.on_signals()
    try:
        await process.keys.start()
        if process.ledger is not None:
            process.ledger.start()
        listening = asyncio.create_task(server.serve(sockets=sockets))
        try:
            await _serve(process, server, started)
        finally:
            server.should_exit = True
            await listening
            await _stop(process)
    finally:
        let_go()


async def _serve(process: Process, server: "_Server", started: Callable[[Process], None] | None) -> None:
    """Load, serve, and wait until nothing is in flight any more."""
    settings = process.settings
    await _until_left(process, asyncio.gather(*(backend.start() for backend in process.backends.values())))
    if process.jobs is not None and process.drain.ready:
        await process.jobs.start()
    grpc = await _grpc(process)
    heeding = asyncio.create_task(_heed(process)) if settings.notices else None
    process.gateway.started = True
    if process.drain.ready:
        log.info("serving %s on %s", settings.workload, _addresses(server))
    if started is not None:
        started(process)
    await process.drain.left()
    process.app.leaving = True
    if process.jobs is not None:  # what can wait goes back into the queue while clients are still answered
        await process.jobs.stop(LAST_S)
    await process.drain.still_taking()
    server.stop_listening()  # who connects anew all the time would keep it here for ever
    ending = asyncio.create_task(grpc.stop(settings.limits.answer_s)) if grpc is not None else None
    await process.drain.finished()
    if heeding is not None:
        heeding.cancel()
    if ending is not None:
        await grpc.stop(LAST_S)
        await ending


async def _until_left(process: Process, loading: "asyncio.Future[Any]") -> None:
    """Wait for what loads, or until told to leave before it has."""
    leaving = asyncio.create_task(process.drain.left())
    await asyncio.wait([loading, leaving], return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if not loading.done():
        loading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loading


async def _stop(process: Process) -> None:
    """Let go of everything, the ledger last."""
    try:
        await asyncio.gather(*(backend.stop(LAST_S) for backend in process.backends.values()))
        await process.keys.stop()
        if process.traces is not None:
            await asyncio.to_thread(process.traces.close)
    finally:
        if process.ledger is not None:
            await asyncio.to_thread(process.ledger.close)


async def _grpc(process: Process) -> Any:  # noqa: ANN401 - grpc has no types
    """Return a gRPC server that listens, where one is asked for."""
    listen = process.settings.listen
    if listen.grpc_port is None:
        return None
    from tightrope.serve.protocols.grpc import serve_grpc  # heavy, and seldom asked for

    server, port = await serve_grpc(process.gateway, process.settings.limits, listen, process.held)
    log.info("gRPC on %s:%d", listen.host, port)
    return server


async def _heed(process: Process) -> None:
    """Leave when the cloud takes this machine, and write its notice down once."""
    cloud = process.settings.notices
    assert cloud  # noqa: S101 - the caller looks

    def told(notice: Notice) -> None:
        for pool in process.settings.pools:
            if notice.kind == "taken" and pool.upstream is None:
                first = process.ledger is None or process.ledger.notice(pool.name, socket.gethostname(), notice.identity)
                if first:
                    process.metrics.spot_notice(pool.name)

    while True:
        stream: AsyncIterator[Notice] = notices(cloud, process.settings.notices_url or None)
        try:
            return await process.drain.heed(stream, told)
        except Exception:
            log.exception("a defect in what listens for notices: it begins again")
            await asyncio.sleep(LAST_S)


def _freeze(process: Process) -> None:  # noqa: ARG001 - as it is called
    """Look for garbage no more among what is there from the start: that stops all answers for tens of milliseconds, and finds none.

    And look seldom among what comes: no request leaves any, and a few hundred in flight alone would have it look all the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to ``Drain``."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop_listening(self) -> None:
        """Take no connection more; those that there are stay."""
        for listener in self.servers:
            listener.close()


@contextlib.contextmanager
def _logging(level: str) -> Iterator[None]:
    """Write logs as JSON lines for a while."""
    end = begin_logs(level)
    try:
        yield
    finally:
        end()


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen on the settings' address, and close it at the end; raise ``InputError`` where that cannot be."""
    listen = settings.listen
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        msg = f"cannot listen on {listen.host}:{listen.port}: {error.strerror or error}"
        raise InputError(msg, resolve="give another --port, or end what listens there") from error
    try:
        yield [opened]
    finally:
        opened.close()


def _addresses(server: _Server) -> str:
    """Return where it listens, as a client would write it."""
    scheme = "https" if server.config.is_ssl else "http"
    names = [sock.getsockname() for listener in server.servers for sock in listener.sockets]
    return ", ".join(f"{scheme}://{f'[{name[0]}]' if ':' in name[0] else name[0]}:{name[1]}" for name in names)


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop."""
    if name != "uvloop":
        return None
    import uvloop  # not on Windows

    return uvloop.new_event_loop
