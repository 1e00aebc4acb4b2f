"""``GuardedProtocol`` overrides private parts of uvicorn, so only a tested range of its versions is allowed."""

from importlib.metadata import requires, version
from types import FunctionType

import pytest
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

RESOLVE = (
    "read the changes of httptools_impl.py in uvicorn, adapt serve/protocols/connection.py, then the range in pyproject.toml"
)
METHODS = """connection_made connection_lost data_received on_message_begin on_header on_headers_complete on_body on_message_complete
on_response_complete timeout_keep_alive_handler shutdown pause_writing resume_writing _start_asgi_task _unset_keepalive_if_required"""
ATTRIBUTES = """app connections cycle flow headers loop parser pipeline scope server_state tasks timeout_keep_alive
timeout_keep_alive_task transport url"""
CYCLE = "disconnected keep_alive message_event more_body on_response response_complete response_started run_asgi scope"


def test_the_installed_version_is_in_the_tested_range() -> None:
    wanted = next(found for found in map(Requirement, requires("tightrope") or ()) if found.name == "uvicorn")
    installed = version("uvicorn")
    assert installed in wanted.specifier, f"uvicorn {installed} is outside {wanted.specifier}: {RESOLVE}"


@pytest.mark.parametrize(
    ("owner", "names"),
    [(HttpToolsProtocol, METHODS), (HttpToolsProtocol, ATTRIBUTES), (RequestResponseCycle, CYCLE)],
    ids=["methods", "attributes", "cycle"],
)
def test_the_private_names_that_are_used_exist(owner: type, names: str) -> None:
    methods = [method for method in vars(owner).values() if isinstance(method, FunctionType)]
    known = (
        set(vars(owner))
        if names is METHODS
        else {*vars(owner), *(name for method in methods for name in method.__code__.co_names)}
    )
    missing = set(names.split()) - known
    assert not missing, f"{owner.__name__} lacks {sorted(missing)}: {RESOLVE}"


def test_status_lines_are_bytes() -> None:
    assert STATUS_LINE[200].startswith(b"HTTP/1.1 200 "), RESOLVE
