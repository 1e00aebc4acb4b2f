"""A gateway's jobs in a process of their own, to be killed: ``victim.py URL LOG SECONDS MOST`` does so much of what it is handed."""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from door import CLASSES
from queue_bench import Told

from tightrope.serve.config.settings import Limits
from tightrope.serve.jobs.service import Jobs
from tightrope.serve.records import Caller

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


async def work(url: str, log: str, seconds: float, most: int) -> None:
    """Answer items, and note in ``log`` which were begun; those beyond ``most`` are never answered."""
    noted, begun = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), itertools.count()

    async def run(endpoint: str, body: bytes, caller: Caller, traffic_class: str, deadline_s: float) -> tuple[int, bytes]:
        text = json.loads(body)["input"]
        os.write(noted, f"{os.getpid()} {text}\n".encode())
        await asyncio.sleep(seconds if next(begun) < most else 3600.0)
        return (400 if text.endswith("7") else 200), json.dumps({"text": text, "by": os.getpid(), "usage": USAGE}).encode()

    jobs = Jobs(url, run, CLASSES, Limits(), Told(), lease_s=1.0, most=lambda: 16)
    await jobs.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
