"""What a pool of upstream servers adds to a request: the same server asked through it and directly, in turns."""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from aiohttp import ClientSession, ClientTimeout

from tightrope.base.plan import ServedClass
from tightrope.serve.config.settings import ServedPool, Upstream
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.metrics.request_metrics import Metrics
from tightrope.serve.records import Call, Caller
from tightrope.serve.upstream.pool import UpstreamPool

NAME = "serve-upstream"
DOC = "time that the gateway's pool adds to a request to an upstream server, p50; target 0.5 ms"
TARGET_MS = 0.5
TURNS, REQUESTS, WARM_UP = 40, 50, 200
CLASS = "chat"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "How do I get there? " * 60}]}).encode()
SERVER = """
import asyncio, sys
ANSWER = b'{"id":"c","model":"server","choices":[{"index":0,"message":{"role":"assistant","content":"' + b"x" * 1000 + b'"}}],'
ANSWER += b'"usage":{"prompt_tokens":300,"completion_tokens":200}}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(ANSWER)

async def client(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            size = next((int(line[15:]) for line in head.split(b"\\r\\n") if line.lower().startswith(b"content-length:")), 0)
            await reader.readexactly(size)
            writer.write(HEAD + ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
"""A server that does nothing but answer, so that what is measured is on this side."""


def run() -> dict:
    """Return the medians' difference in milliseconds, and their ratio; processor time of both in detail."""
    return asyncio.run(_run())


async def _run() -> dict:
    """Start the server in a process of its own and ask it both ways."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await server.stdout.readline())}"
        return await _measure(url)
    finally:
        server.terminate()
        await server.wait()


async def _measure(url: str) -> dict:
    """Return what turns of requests through the pool and directly took."""
    served = ServedPool("p", "m", "v", upstream=Upstream("openai", (url,), model="server"), usd_per_hour=3.6, concurrency=64.0)
    kind = ServedClass(CLASS, (), 0.0)
    pool = UpstreamPool(served, "chat", {CLASS: kind}, MachineMeter(3.6, 64.0), Metrics("bench", (served,), (kind,)))
    await pool.start()
    session = ClientSession(timeout=ClientTimeout(total=None, connect=2.0, sock_read=600.0))

    async def direct() -> None:
        async with session.post(
            f"{url}/v1/chat/completions", data=BODY, headers={"Content-Type": "application/json"}
        ) as response:
            await response.read()

    async def through() -> None:
        now_s = time.monotonic()
        await pool.answer(Call("r", Caller("t"), "chat", "m", (), now_s, traffic_class=CLASS, body=BODY))

    try:
        for _ in range(WARM_UP):
            await direct()
            await through()
        ways: dict[str, Callable[[], Awaitable[None]]] = {"pool": through, "direct": direct}
        wall_ms: dict[str, list[float]] = {name: [] for name in ways}
        cpu_ms: dict[str, list[float]] = {name: [] for name in ways}
        gc.collect()
        for _ in range(TURNS):
            for name, ask in ways.items():
                began_s = time.process_time()
                wall_ms[name] += [await _timed(ask) for _ in range(REQUESTS)]
                cpu_ms[name].append(1e3 * (time.process_time() - began_s) / REQUESTS)
    finally:
        await session.close()
        await pool.stop(1.0)
    p50_ms = {name: statistics.median(times) for name, times in wall_ms.items()}
    p99_ms = {name: statistics.quantiles(times, n=100)[98] for name, times in wall_ms.items()}
    cpu = {name: statistics.median(times) for name, times in cpu_ms.items()}
    return {
        "name": NAME,
        "value": p50_ms["pool"] - p50_ms["direct"],
        "unit": "ms",
        "peer": "aiohttp, the same request straight to the same server, p50",
        "peer_value": p50_ms["direct"],
        "ratio": (p50_ms["pool"] - p50_ms["direct"]) / p50_ms["direct"],
        "detail": {
            "target_ms": TARGET_MS,
            "pool_p50_ms": p50_ms["pool"],
            "pool_p99_ms": p99_ms["pool"],
            "direct_p99_ms": p99_ms["direct"],
            "pool_cpu_ms": cpu["pool"],
            "direct_cpu_ms": cpu["direct"],
            "requests_each": TURNS * REQUESTS,
        },
    }


async def _timed(ask: Callable[[], Awaitable[None]]) -> float:
    """Return the milliseconds of one request."""
    began_s = time.perf_counter()
    await ask()
    return 1e3 * (time.perf_counter() - began_s)
