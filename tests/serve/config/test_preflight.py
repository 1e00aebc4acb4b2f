"""What settings name beside models is tried before one is loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.certificates import certificate

from tightrope.base.errors import InputError
from tightrope.serve.config.preflight import check_named
from tightrope.serve.config.settings import Listen, ServedModel, ServedPool, Settings, Upstream
from tightrope.serve.records import Task

NOTHING = Settings("w", (), (), ())


def test_what_can_be_used_is_taken(tmp_path: Path) -> None:
    check_named(NOTHING)
    listen = Listen(certificate=(files := certificate(tmp_path))[0], certificate_key=files[1])
    check_named(replace(NOTHING, listen=listen, jobs="postgresql://nobody@127.0.0.1:1/none", traces="https://c:4318"))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("jobs", "mysql://u:secret@h/d", "jobs: expected sqlite:///FILE or postgresql://"),
        ("traces", "u:secret@collector:4318", "traces: got 'collector:4318', expected a URL"),
        ("keys", Path(__file__), "keys is not JSON"),
    ],
    ids=["jobs", "traces", "keys"],
)
def test_what_can_not_be_used_is_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        check_named(replace(NOTHING, **{field: value}))  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "base", "said"),
    [
        ("infer", "http://h:1", "are asked for chat, embed, not for 'infer'"),
        ("chat", "http://u:secret@h:1", "without a key in it"),
        ("chat", "http://h:99999", "expected one such as"),
    ],
    ids=["task", "key", "port"],
)
def test_servers_that_can_not_be_asked_are_refused(task: Task, base: str, said: str) -> None:
    pool = ServedPool("m/a", "m", "a", upstream=Upstream("openai", (base,)))
    with pytest.raises(InputError, match=said) as caught:
        check_named(replace(NOTHING, pools=(pool,), models=(ServedModel("m", task, ("m/a",)),)))
    assert "secret" not in str(caught.value)


def test_a_certificate_wants_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (mine, key), (_, other) = certificate(tmp_path), certificate(tmp_path / "other")
    for given, said in ((other, "of another certificate"), (mine, "PEM"), (tmp_path / "none", "No such file")):
        with pytest.raises(InputError, match=said) as caught:
            check_named(replace(NOTHING, listen=Listen(certificate=mine, certificate_key=given)))
        assert str(caught.value).startswith(f"{mine}: ")
    check_named(replace(NOTHING, listen=Listen(certificate=mine, certificate_key=key)))
