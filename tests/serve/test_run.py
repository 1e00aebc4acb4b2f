"""What a process says of itself when it begins, and where it is told to leave before it has."""

import asyncio
import logging
import socket

import pytest

from tightrope.serve import run
from tightrope.serve.assembly import Process, assemble
from tightrope.serve.config.settings import ServedModel, ServedPool, Settings

SETTINGS = Settings("w", (ServedPool("m/only", "m", "only"),), (ServedModel("m", "embed", ("m/only",)),), (), leaves_s=0.0)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_it_says_where_it_serves_as_a_client_would_write_it(host: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening, caplog.at_level(logging.INFO):
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip(f"{host} is not to be had here")
        port = listening.getsockname()[1]
        asyncio.run(run.serve(SETTINGS, [listening], lambda process: process.drain.leave("a test")))
    assert f"serving w on http://{shown}:{port}" in caplog.messages


def test_what_leaves_while_it_loads_does_not_say_that_it_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def left(settings: Settings) -> Process:
        process = assemble(settings)
        process.drain.leave("a test")
        return process

    monkeypatch.setattr(run, "assemble", left)
    with socket.socket() as listening, caplog.at_level(logging.INFO):
        listening.bind(("127.0.0.1", 0))
        asyncio.run(run.serve(SETTINGS, [listening]))
    assert "left, with 0 requests unanswered" in caplog.messages
    assert "serving" not in caplog.text
