"""BentoML with two workers and its own adaptive batches. ``bentoml_server.py FOLDER PORT BATCH`` starts its command on this very file."""

import os
import sys
from pathlib import Path

import bentoml

if __name__ == "__main__":
    here = Path(__file__)
    os.environ |= {"PEER_FOLDER": sys.argv[1], "PEER_BATCH": sys.argv[3], "BENTOML_DO_NOT_TRACK": "True"}
    os.chdir(here.parent)
    command = [sys.executable, "-m", "bentoml", "serve", f"{here.stem}:Classifier", "--host", "127.0.0.1", "--port", sys.argv[2]]
    os.execv(sys.executable, command)  # noqa: S606 - itself

BATCH = int(os.environ["PEER_BATCH"])


@bentoml.service(workers=2, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Classifier:
    """Texts in, labels out."""

    def __init__(self) -> None:
        """Load the model in a worker."""
        from model import Model  # in a worker

        self.model = Model(os.environ["PEER_FOLDER"])

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
    def classify(self, texts: list[str]) -> list[dict]:
        """Answer the texts that came together."""
        return self.model.label(texts)
