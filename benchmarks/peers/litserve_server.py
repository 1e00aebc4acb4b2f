"""LitServe with two workers. ``litserve_server.py FOLDER PORT BATCH``; the folder ``-`` is a model that does nothing."""

import sys

import litserve
from model import Model

BATCH = int(sys.argv[3])


class Api(litserve.LitAPI):
    """Text in, label out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe
        """Load the model in a worker."""
        self.label = Model(sys.argv[1]).label if sys.argv[1] != "-" else lambda texts: [{"label": 0, "score": 1.0} for _ in texts]

    def decode_request(self, request: dict) -> str:
        """Return the text."""
        return request["text"]

    def predict(self, x: str | list[str]) -> dict | list[dict]:
        """Answer one text, or a batch of them."""
        return self.label(x) if isinstance(x, list) else self.label([x])[0]

    def encode_response(self, output: dict) -> dict:
        """Return the answer."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.001 if BATCH > 1 else 0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False, access_log=False)
