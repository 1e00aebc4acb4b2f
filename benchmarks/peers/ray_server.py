"""Ray Serve with two replicas. ``ray_server.py FOLDER PORT BATCH``."""

import os
import sys
import time
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(Path(__file__).parent)}

import ray
from ray import serve
from starlette.requests import Request

BATCH = int(sys.argv[3])


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Classifier:
    """Text in, label out."""

    def __init__(self, folder: str) -> None:
        """Load the model in a replica."""
        from model import Model  # in a worker

        self.model = Model(folder)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.001)
    async def label(self, texts: list[str]) -> list[dict]:
        """Answer the texts that came together."""
        return self.model.label(texts)

    async def __call__(self, request: Request) -> dict:
        """Answer one text."""
        return await self.label((await request.json())["text"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Classifier.bind(sys.argv[1]), route_prefix="/classify")
    while True:
        time.sleep(3600)
