"""A process that is told to leave before it serves."""

import asyncio
import logging
import socket

import pytest

from tightrope.serve import run
from tightrope.serve.assemble import Process, assemble
from tightrope.serve.settings import ServedModel, ServedPool, Settings


def test_what_leaves_while_it_loads_does_not_say_that_it_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def left(settings: Settings) -> Process:
        process = assemble(settings)
        process.drain.leave("a test")
        return process

    settings = Settings("w", (ServedPool("m/only", "m", "only"),), (ServedModel("m", "embed", ("m/only",)),), (), leaves_s=0.0)
    with socket.socket() as listening, caplog.at_level(logging.INFO):
        listening.bind(("127.0.0.1", 0))
        asyncio.run(run.serve(settings, [listening], lambda process: process.drain.leave("served")))
        assert "serving w on http://127.0.0.1" in caplog.text
    caplog.clear()
    monkeypatch.setattr(run, "assemble", left)
    with socket.socket() as listening, caplog.at_level(logging.INFO):
        listening.bind(("127.0.0.1", 0))
        asyncio.run(run.serve(settings, [listening]))
    assert "left, with 0 requests unanswered" in caplog.text
    assert "serving" not in caplog.text
