"""serve.yaml as settings: what it says, what is told of what it should not say, and the page that lists every key."""

import re
from pathlib import Path

import pytest

from tightrope.base.errors import InputError
from tightrope.base.records import Slo
from tightrope.serve.config.document import load_settings
from tightrope.serve.config.settings import Limits

TEXT = """\
name: support
machine: {type: c7i.large, region: us-east-1}
models:
  topics:
    task: classify
    labels: [bug, question]
    variants:
      small: {onnx: small.onnx, head: head.npz, quality: 0.97}
      large: {onnx: large.onnx, head: head.npz}
    cascade: {small: small, large: large, margin: 0.3, escalated: 25 %}
    classes: [now, later]
  chat:
    task: chat
    variants:
      fp16:
        upstream: {api: openai, replicas: ["http://127.0.0.1:9000/"], hedge: 200 ms, hold: 2 min, answer: 1 min, failures: 5}
        machine: {usd_per_hour: 1.5}
        concurrency: 8
classes:
  now: {slo: [latency p95 <= 100 ms, latency p99 <= 1 s], priority: 5}
  later: {within: 6 hours}
tenants: {acme: {requests_per_s: 5, budget_usd_per_month: 100}}
cache: {ttl: 1 min}
jobs: jobs.sqlite
ledger: ledger
limits: {body: 1 MB, file_lines: 50000, open_batches: 10, kept: 2 GiB, keep: 7 days}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("small.onnx", "large.onnx", "head.npz", "tokenizer.json"):
        (tmp_path / name).touch()
    path = tmp_path / "serve.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def price(machine: str, region: str, offer: str) -> float | None:
    return {("c7i.large", "us-east-1", "on-demand"): 0.08925}.get((machine, region, offer))


def test_a_file_is_what_it_says(file: Path) -> None:
    found = load_settings(file, price)
    pools = {pool.name: pool for pool in found.pools}
    assert list(pools) == ["topics/small", "topics/large", "chat/fp16"]
    small = pools["topics/small"]
    assert (small.usd_per_hour, small.machine, small.quality) == (0.08925, "c7i.large", 0.97)
    assert small.local is not None
    assert small.local.tokenizer == file.parent / "tokenizer.json"
    assert small.local.labels == ("bug", "question")
    chat = pools["chat/fp16"]
    assert chat.upstream is not None
    assert chat.upstream.replicas == ("http://127.0.0.1:9000",)
    assert (chat.usd_per_hour, chat.concurrency, chat.upstream.hedge_s, chat.machine) == (1.5, 8.0, 0.2, "")
    assert (chat.upstream.hold_s, chat.upstream.answer_s, chat.upstream.failures) == (120.0, 60.0, 5)
    topics = found.models[0]
    assert topics.cascade is not None
    assert (topics.cascade.small, topics.cascade.large, topics.cascade.escalated) == ("topics/small", "topics/large", 0.25)
    now, later = found.classes
    assert now.slos == (Slo("latency", 0.95, 0.1), Slo("latency", 0.99, 1.0))
    assert (now.answer_within_s, now.deferral, now.priority) == (0.1, None, 5)
    assert later.deferral is not None
    assert later.deferral.window_h == 6.0
    assert found.tenants["acme"].budget_usd_per_month == 100
    assert found.jobs == f"sqlite:///{file.parent / 'jobs.sqlite'}"
    assert found.ledger == file.parent / "ledger"
    limits = found.limits
    assert (limits.body_bytes, limits.file_lines, limits.open_batches) == (1_000_000, 50_000, 10)
    assert (limits.kept_bytes, limits.keep_s) == (2 * 2**30, 7 * 86_400.0)
    assert found.cache is not None
    assert found.cache.ttl_s == 60.0


@pytest.mark.parametrize(
    ("said", "endpoint", "share"),
    [
        ("", "", 0.01),
        ("traces: http://c:4318", "http://c:4318", 0.01),
        ("traces: {endpoint: http://c:4318}", "http://c:4318", 0.01),
        ("traces: {endpoint: http://c:4318, share: 25 %}", "http://c:4318", 0.25),
    ],
    ids=["left out", "an endpoint", "a mapping without a share", "a share"],
)
def test_traces_are_an_endpoint_or_one_with_a_share(file: Path, said: str, endpoint: str, share: float) -> None:
    file.write_text(TEXT + said, encoding="utf-8")
    found = load_settings(file, price)
    assert (found.traces, found.trace_share) == (endpoint, share)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("small.onnx", "smal.onnx", 8, "there is no file 'smal.onnx'"),
        ("small: small,", "small: smal,", 10, "unknown variant 'smal'"),
        ("classes: [now, later]", "classes: [now, latr]", 11, "unknown traffic class 'latr'"),
        ("type: c7i.large", "type: c7i.lrge", 2, "no on-demand price of c7i.lrge"),
        ("http://127.0.0.1", "127.0.0.1", 16, "expected a URL"),
        ("task: chat", "task: chatt", 13, "models.chat.task"),
        ("task: classify", "task: chat", 8, "it does not chat"),
        ("onnx: large.onnx,", "onnx: large.onnx, noop: true,", 9, "exactly one of onnx, upstream and noop"),
        ("onnx: large.onnx,", "onnx: large.onnx, usd_per_gb_egress: 0.09,", 9, "egress of an upstream alone"),
        ("name: support", "name: support\nlisten: {host: 0.0.0.0}", 2, "no keys are asked for"),
        ("name: support", "name: support\nlisten: {certificate: a.pem}", 2, "certificate and certificate_key together"),
        ("ttl: 1 min", "ttl: 1 min, semantic: {threshold: 0.9, model: chat}", 23, "unknown embedding model 'chat'"),
        ("usd_per_hour: 1.5", "region: x", 17, "usd_per_hour, or type and region"),
        ("margin: 0.3", "margin: 3", 10, "models.topics.cascade.margin"),
        ("ledger: ledger", "", 22, "read from the ledger, and none is written"),
        ("ledger: ledger", "leger: ledger", 25, "unknown key 'leger'"),
        ("machine: {type: c7i.large, region: us-east-1}\n", "", 21, "not known what the pool 'topics/small' costs"),
        ("        machine: {usd_per_hour: 1.5}\n", "", 21, "not known what the pool 'chat/fp16' costs"),
        ("jobs: jobs.sqlite", "traces: {endpoint: http://c, shar: 1}", 24, "unknown key 'shar'"),
        ("jobs: jobs.sqlite", "traces: {share: 1}", 24, "traces.endpoint is missing"),
        ("jobs: jobs.sqlite", "traces: {endpoint: http://c, share: 2}", 24, "traces.share"),
        ("within: 6 hours", "within: 36 hours", 21, "classes.later.within"),
        ("margin: 0.3, escalated: 25 %}", "margin: 0.3}\n    quality_floor: 1.2", 11, "no variant is as good as 1.2"),
    ],
)
def test_a_mistake_is_told_with_its_line(file: Path, old: str, new: str, line: int, said: str) -> None:
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_settings(file, price)
    assert said in str(error.value)
    assert error.value.where is not None
    assert error.value.where.line == line


def test_what_a_file_leaves_out_of_the_limits_is_as_without_a_file(file: Path) -> None:
    file.write_text(re.sub("limits: .*", "", TEXT), encoding="utf-8")
    assert load_settings(file, price).limits == Limits()


@pytest.mark.parametrize(
    ("said", "held_bytes"),
    [("{held: 64 MiB}", 64 * 2**20), ("{body: 300 MiB}", 300 * 2**20), ("{body: 300 MiB, held: 2 GiB}", 2**31)],
    ids=["stated", "one body at least", "both"],
)
def test_how_much_is_held_fits_one_body(file: Path, said: str, held_bytes: int) -> None:
    file.write_text(re.sub("limits: .*", f"limits: {said}", TEXT), encoding="utf-8")
    assert load_settings(file, price).limits.held_bytes == held_bytes


def test_metrics_ask_for_a_key_where_the_file_says_so(file: Path) -> None:
    assert not load_settings(file, price).metrics_key
    file.write_text(TEXT + "metrics: key\n", encoding="utf-8")
    with pytest.raises(InputError, match="a key is asked for, and there are no keys"):
        load_settings(file, price)
    assert load_settings(file, price, keys=file).metrics_key
    file.write_text(TEXT + "metrics: none\n", encoding="utf-8")
    with pytest.raises(InputError, match="metrics"):
        load_settings(file, price)


def test_less_is_not_held_than_one_body_may_have(file: Path) -> None:
    file.write_text(re.sub("limits: .*", "limits: {held: 1 MiB}", TEXT), encoding="utf-8")
    with pytest.raises(InputError, match="expected held to be body at least"):
        load_settings(file, price)


def test_what_the_command_line_puts_before_the_file_is_what_is_checked(file: Path) -> None:
    keys, ledger = file.parent / "keys.json", file.parent / "elsewhere"
    with pytest.raises(InputError, match="no keys are asked for"):
        load_settings(file, price, host="10.0.0.4")
    assert load_settings(file, price, host="10.0.0.4", keys=keys).keys == keys
    file.write_text(TEXT.replace("name: support", "name: support\nlisten: {host: 10.0.0.4}", 1).replace("ledger: ledger\n", ""))
    with pytest.raises(InputError, match="none is written"):
        load_settings(file, price, host="127.0.0.1")
    assert load_settings(file, price, host="127.0.0.1", ledger=ledger).ledger == ledger


def test_a_text_model_wants_a_tokenizer(file: Path) -> None:
    (file.parent / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer.json lies beside"):
        load_settings(file, price)


def test_one_class_without_promises_where_none_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text("name: x\nmodels: {a: {task: embed, variants: {only: {noop: true}}}}\n", encoding="utf-8")
    found = load_settings(path, price)
    assert [item.name for item in found.classes] == ["requests"]
    assert found.pools[0].usd_per_hour is None  # unknown is never zero


@pytest.mark.parametrize(("rates", "usd_per_hour"), [("", None), ("usd_per_million_output_tokens: 2.0, ", 0.0)])
def test_a_provider_is_paid_by_the_token(tmp_path: Path, rates: str, usd_per_hour: float | None) -> None:
    path = tmp_path / "serve.yaml"
    upstream = '{api: openai, replicas: ["https://api.example.com"]}'
    path.write_text(
        f"name: x\nmodels: {{a: {{task: chat, variants: {{only: {{{rates}upstream: {upstream}}}}}}}}}\n", encoding="utf-8"
    )
    assert load_settings(path, price).pools[0].usd_per_hour == usd_per_hour


def test_a_wrong_promise_is_told_once(file: Path) -> None:
    file.write_text(TEXT.replace("[latency p95 <= 100 ms, latency p99 <= 1 s]", "latency p95 <= 100"), encoding="utf-8")
    with pytest.raises(InputError, match="expected a number with one of the units") as error:
        load_settings(file, price)
    assert "also" not in str(error.value)


def test_where_there_is_no_file_the_page_with_a_first_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"docs/how-to/serve-models\.md has a first one"):
        load_settings(tmp_path / "none.yaml", price)
