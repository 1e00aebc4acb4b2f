"""A workload: what it loads as, and every mistake with its line and remedy."""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightrope.base.errors import InputError, UnknownNameError
from tightrope.base.records import CachePolicy, Deferral, RequestEngine, ScalingLimit, ScalingRule, Slo, TokenEngine, Workload
from tightrope.demand.price_names import PriceNames
from tightrope.demand.workload import load_workload

Load = Callable[[str], Workload]


@pytest.fixture
def load(tmp_path: Path, book: PriceNames, offers: dict[str, str]) -> Load:
    """Return a function that loads a workload's text."""

    def read(text: str) -> Workload:
        path = tmp_path / "workload.yaml"
        path.write_text(text, encoding="utf-8")
        return load_workload(path, book, offers)

    return read


def test_a_small_workload_is_what_it_says(load: Load, small: str) -> None:
    workload = load(small)
    (chat,) = workload.classes
    assert chat.slos == (Slo("ttft", 0.95, 3.0), Slo("tpot", 0.95, 0.12))
    assert chat.demand.duration_s == 14 * 86_400
    assert (chat.demand.input_tokens.tolist(), chat.demand.output_tokens.tolist()) == ([100], [20])
    (variant,) = workload.variants
    assert (variant.name, variant.size_bytes, variant.serves) == ("llm/fp16", 14e9, {"chat": 1.0})
    assert workload.where.regions == {"aws": ("us-east-1",)}
    assert workload.where.quotas == {"g4dn": 8}
    assert workload.heldout_share == pytest.approx(4 / 14)
    assert "×" in workload.today[0].name
    assert workload.today[0].cloud == "aws"


def test_every_default_that_moves_money_is_a_named_field(load: Load, small: str) -> None:
    workload = load(small)
    assert (workload.purchase.max_spot_share, workload.purchase.spot_zone_loss_share, workload.purchase.max_pools) == (
        0.5,
        0.7,
        6,
    )
    scaling = workload.scaling
    assert (scaling.enabled, scaling.target_utilisation, scaling.max_surge, scaling.tolerance) == (True, 0.95, 1.5, 0.1)
    assert (scaling.sync_s, scaling.metric_lag_s, scaling.downscale_stabilization_s, scaling.machine_start_s) == (
        15,
        30,
        300,
        120,
    )
    assert (workload.classes[0].growth, workload.classes[0].surge, workload.classes[0].quality_floor) == (0, 0, 0)


def test_what_the_replay_needs_has_defaults_that_do_nothing(load: Load, small: str) -> None:
    workload = load(small)
    chat, scaling = workload.classes[0], workload.scaling
    assert (chat.priority, chat.shed_wait_s, chat.retries, chat.retry_after_s) == (0, math.inf, 0, 1.0)
    assert (workload.cache, workload.failures_per_hour, workload.variants[0].prefix_block_tokens) == (None, 0.0, 0)
    assert (scaling.metric, scaling.upscale_stabilization_s) == ("rate", 0.0)
    assert scaling.scale_up == ScalingLimit((ScalingRule("pods", 4, 15.0), ScalingRule("percent", 100, 15.0)))
    assert scaling.scale_down == ScalingLimit((ScalingRule("percent", 100, 15.0),))


def test_classes_may_be_shed_and_preferred(load: Load, small: str) -> None:
    stated = "    priority: -3\n    shed_wait: 0 s\n    retries: 2\n    retry_after: 500 ms\n    sizes:"
    chat = load(small.replace("    sizes:", stated)).classes[0]
    assert (chat.priority, chat.shed_wait_s, chat.retries, chat.retry_after_s) == (-3, 0.0, 2, 0.5)


def test_a_cache_of_answers(load: Load, small: str) -> None:
    assert load(f"{small}cache: {{entries: 5000, ttl: 1 hour}}\n").cache == CachePolicy(5000, 3600.0, 0.0)
    assert load(f"{small}cache: {{entries: 1, ttl: 1 s, hit: 2 ms}}\n").cache == CachePolicy(1, 1.0, 0.002)


def test_a_prefix_cache_is_of_every_variant_of_a_token_model(load: Load, small: str) -> None:
    second = "      int8: {precision: int8, quality: 0.9, serves: {chat: 50 %}}\nwhere:"
    workload = load(
        small.replace("    engine: token", "    engine: token\n    prefix_cache: 512 tokens").replace("where:", second)
    )
    assert [variant.prefix_block_tokens for variant in workload.variants] == [512, 512]


def test_the_share_that_fails_in_a_month_is_a_rate(load: Load, small: str) -> None:
    workload = load(small.replace("seeds: [1]", "seeds: [1], failures_per_month: 2 %"))
    assert 1 - math.exp(-730 * workload.failures_per_hour) == pytest.approx(0.02)


def test_limits_on_change_are_those_of_kubernetes_unless_stated(load: Load, small: str) -> None:
    stated = """scaling:
  metric: concurrency
  upscale_stabilization: 30 s
  scale_up: {select: disabled}
  scale_down: {select: min, rules: [{pods: 2, period: 1 min}, {percent: 12.5, period: 30 min}]}
"""
    scaling = load(small + stated).scaling
    assert (scaling.metric, scaling.upscale_stabilization_s) == ("concurrency", 30.0)
    assert scaling.scale_up == ScalingLimit((ScalingRule("pods", 4, 15.0), ScalingRule("percent", 100, 15.0)), "disabled")
    assert scaling.scale_down == ScalingLimit((ScalingRule("pods", 2, 60.0), ScalingRule("percent", 12.5, 1800.0)), "min")


def test_work_that_can_wait_is_not_turned_away(load: Load, small: str) -> None:
    night = 'nightly: {per_day: 90, release: "22:00", deadline: 06:00}\n    shed_wait: 3 s'
    with pytest.raises(InputError, match="expected no shed_wait beside nightly"):
        load(small.replace("constant: {rate_per_s: 2}", night))


def test_work_that_can_wait_lasts_as_long_as_the_traces(load: Load, small: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{3600 * hour},{1 + hour % 5}" for hour in range(72))
    (tmp_path / "rates.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
    night = 'nightly: {per_day: 90, release: "22:00", deadline: 06:00}\n    sizes: {input_tokens: 9, output_tokens: 9}'
    text = small.replace("traffic:", f"traffic:\n  night:\n    {night}").replace(
        "constant: {rate_per_s: 2}", "rates: {file: rates.csv, scale: 2}"
    )
    workload = load(text.replace("4 days", "1 day").replace("chat: 100 %", "chat: 100 %, night: 100 %"))
    nightly, chat = workload.classes
    assert nightly.deferral == Deferral(22.0, 6.0)
    assert nightly.demand.requests == pytest.approx(270)
    assert chat.demand.duration_s == nightly.demand.duration_s == 72 * 3600
    assert chat.demand.rate_per_s.max() == 10
    assert "rates × 2" in chat.demand.source


def test_recorded_requests_keep_their_times_and_get_sizes(load: Load, small: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_s\n" + "\n".join(str(i / 2) for i in range(400)), encoding="utf-8")
    (tmp_path / "sizes.csv").write_text("input_tokens,output_tokens\n5,50\n6,60\n", encoding="utf-8")
    text = small.replace("constant: {rate_per_s: 2}", "requests: {file: a.csv}").replace("4 days", "30 %")
    demand = load(text.replace("{input_tokens: 100, output_tokens: 20}", "{file: sizes.csv}")).classes[0].demand
    assert len(demand.arrival_s) == len(demand.input_tokens) == 400
    assert (demand.output_tokens == 10 * demand.input_tokens).all()
    scaled = load(text.replace("a.csv}", "a.csv, scale: 3}")).classes[0].demand
    assert len(scaled.arrival_s) == 0
    assert scaled.requests == pytest.approx(1200)


def test_a_class_may_be_stated_by_its_clients(load: Load, small: str, tmp_path: Path) -> None:
    rows = [f"m{m},{c},{600 * w},{1 + w % 3},2,Weibull,0.5" for m in (1, 2) for c in "ab" for w in range(288)]
    (tmp_path / "c.csv").write_text("\n".join(["model,client,t_s,rps,cv,dist,p1", *rows]), encoding="utf-8")
    text = small.replace("4 days", "30 %").replace(
        "constant: {rate_per_s: 2}", "clients: {file: c.csv, scale: 3, only: {model: m2}, columns: {rate: rps}}"
    )
    demand = load(text).classes[0].demand
    assert demand.clients is not None
    assert demand.rate_per_s[:3].tolist() == [6, 12, 18]
    assert set(demand.clients.shape.ravel()) == {0.5}
    assert demand.interarrival_cv == pytest.approx(5**0.5)
    assert demand.input_tokens.tolist() == [100]
    assert "2 clients, 288 windows of 600 s; rates × 3" in demand.source
    measured = load(text.replace("scale: 3", "variation: cv")).classes[0].demand
    assert measured.interarrival_cv == pytest.approx(2.0)
    with pytest.raises(InputError, match="expected no interarrival_cv or interarrival_law beside clients"):
        load(text.replace("    sizes:", "    interarrival_cv: 1.0\n    sizes:"))
    with pytest.raises(InputError, match=r"c\.csv: no row has model = 'm3'"):
        load(text.replace("m2", "m3"))


def test_the_law_between_arrivals_can_be_chosen(load: Load, small: str) -> None:
    assert load(small).classes[0].demand.interarrival_law == "gamma"
    chosen = (
        load(small.replace("    sizes:", "    interarrival_cv: 2\n    interarrival_law: weibull\n    sizes:")).classes[0].demand
    )
    assert (chosen.interarrival_law, chosen.interarrival_cv) == ("weibull", 2.0)


def test_measured_profiles_become_engines(load: Load, small: str) -> None:
    faq = """
  faq:
    engine: request
    variants:
      int8:
        precision: int8
        quality: 0.9
        size: 23 MB
        serves: {chat: 40 %}
        profiles:
          - {machine: c6i.large, service_ms: {batch_1: 14, per_item: 13}, max_batch: 3, load: 8 s, source: ours, error_band: 10 %}
          - {machine: g4dn.xlarge, service_ms: [2, 3], load: 9 s, source: ours, error_band: 0.2, replicas_per_machine: 2}
where:"""
    steps = "overhead_ms: 4, weights_ms: 50, per_token_us: 300, per_cached_token_ns: 200"
    steps += ", kv_capacity_tokens: 20000, max_sequences: 64, chunk_tokens: 512"
    profile = f"{{machine: g4dn.xlarge, load: 1 min, source: ours, error_band: 5 %, steps: {{{steps}}}}}"
    measured = f"fp16: {{precision: fp16, quality: 1.0, serves: {{chat: 100 %}}, profiles: [{profile}]}}"
    llm, faq_variant = load(re.sub(r"fp16: \{.*\}", measured, small).replace("\nwhere:", faq)).variants
    assert llm.declared[0].engine == TokenEngine(0.004, 0.05, 300 / 1e6, 200 / 1e9, 20_000, 64, 512, 60.0)
    line, points = faq_variant.declared
    assert line.engine == RequestEngine((0.014, 0.027, 0.04), 8.0)
    assert points.engine == RequestEngine((0.002, 0.003), 9.0)
    assert points.replicas_per_machine == 2
    assert line.provenance.kind == "measured"
    assert line.provenance.note == "declared in workload.yaml:22"


BY_LENGTH = "{lengths: [16, 64], batches: [[2, 6], [3, 12], [4, 18]]}"
FAQ = """  faq:
    engine: request
    variants:
      int8:
        {precision: int8, quality: 0.9, size: 23 MB, serves: {chat: 40 %}, profiles: [{machine: c6i.large, service_ms: BY_LENGTH, load: 8 s,
        source: ours, error_band: 10 %}]}
where:"""


def test_a_profile_by_length_becomes_an_engine(load: Load, small: str) -> None:
    _, variant = load(small.replace("where:", FAQ.replace("BY_LENGTH", BY_LENGTH), 1)).variants
    table = ((0.002, 0.006), (0.003, 0.012), (0.004, 0.018))
    assert variant.declared[0].engine == RequestEngine((0.006, 0.012, 0.018), 8.0, (16, 64), table)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("{lengths: [64, 16], batches: [[2, 6]]}", "lengths that rise"),
        ("{lengths: [16, 64], batches: [[2, 6], [3]]}", "2 times for each batch"),
        ("{lengths: [16, 64], batches: [[6, 2]]}", "never fall"),
        ("{lengths: [16, 64], batches: [[2, 6], [3, 5]]}", "never fall"),
        ("{lengths: [], batches: []}", "lengths"),
        ("{lengths: [0], batches: [[1]]}", "lengths"),
    ],
)
def test_times_by_length_that_make_no_sense_are_refused(load: Load, small: str, table: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load(small.replace("where:", FAQ.replace("BY_LENGTH", table), 1))


DAILY = "daily: {mean_per_s: 1, peak_per_s: 5, peak_hour: 3}"
MISTAKES = [
    # what is written → what is written instead, line, what is said, remedy
    ("p95 <= 3 s", "p95 <= 3", 6, "got '3', expected a number with one of the units us, ms, s", "traffic.chat.slo.0"),
    ("ttft p95", "tfft p95", 6, "metric 'tfft', expected ttft", "slo"),
    ("slo: [", "slos: [", 6, "unknown key 'slos'", "use slo"),
    ("    slo: [ttft p95 <= 3 s, tpot p95 <= 120 ms]\n", "", 3, "no promise", "traffic.chat"),
    ("rate_per_s: 2", "rate_per_s: .nan", 4, "got nan", "rate_per_s"),
    ("rate_per_s: 2", "rate_per_s: -2", 4, "got -2", "rate_per_s"),
    ("rate_per_s: 2", "rate_per_s: two", 4, "got 'two'", "rate_per_s"),
    ("rate_per_s: 2", "rate_per_s: true", 4, "got True", "rate_per_s"),
    ("    constant:", f"    {DAILY.replace('5', '2')}\n    constant:", 3, "got constant and daily", "traffic.chat"),
    ("constant: {rate_per_s: 2}", DAILY, 4, "twice it (1 to 2)", "daily"),
    ("constant: {rate_per_s: 2}", "rates: {file: none.csv}", 4, "'none.csv' does not exist", "relative to the workload"),
    ("constant: {rate_per_s: 2}", "clients: {file: none.csv}", 4, "'none.csv' does not exist", "relative to the workload"),
    ("constant: {rate_per_s: 2}", "clients: {file: a, variation: p1}", 4, "got 'p1'", "variation"),
    ("    constant", "    interarrival_law: pareto\n    constant", 4, "got 'pareto'", "interarrival_law"),
    ("    sizes: {input_tokens: 100, output_tokens: 20}\n", "", 3, "have no tokens", "add `sizes:`"),
    ("input_tokens: 100, ", "", 5, "expected either file, or input_tokens and output_tokens", "sizes"),
    ("    architecture: {parameters: 7.0e9, layers: 32, kv_heads: 4, head_dim: 128}\n", "", 8, "needs its architecture", "llm"),
    ("engine: token", "engine: request", 8, "needs its size", "llm"),
    ("engine: token", "engine: tokens", 9, "got 'tokens'", "engine"),
    ("precision: fp16", "precision: fp17", 12, "got 'fp17'", "precision"),
    ("chat: 100 %}}", "chta: 100 %}}", 12, "unknown traffic class 'chta'", "use chat"),
    ("chat: 100 %}}", "chat: 90 %}}", 3, "may answer 90 %", "chat: 100 %"),
    ("quality: 1.0, serves", "serves", 12, "quality is missing", "add `quality:`"),
    ("us-east-1]", "us-esat-1]", 14, "unknown region 'us-esat-1'", "use us-east-1"),
    ("aws:", "asw:", 14, "unknown cloud 'asw'", "use aws"),
    ("  aws: [us-east-1]\n", "", 13, "names no cloud", "aws: [us-east-1]"),
    ("families:", "familes:", 15, "unknown key 'familes'", "use families"),
    ("families: [g4dn]", "families: [g4nd]", 15, "unknown machine 'g4nd'", "g4dn.xlarge"),
    ("{g4dn: 8}", "{g4nd: 8}", 16, "unknown machine 'g4nd'", "g4dn.xlarge"),
    ("{g4dn: 8}", "{g4dn: 8.5}", 16, "got 8.5", "quotas.g4dn"),
    ("spot]", "sptt]", 18, "unknown offer 'sptt'", "use spot"),
    ("offers: [on-demand, spot]", "max_pools: 3", 17, "offers is missing", "add `offers:`"),
    ("machine: g4dn.xlarge", "machine: g4dn.large", 20, "unknown machine 'g4dn.large'", "use g4dn.xlarge"),
    ("region: us-east-1", "region: us-west-2", 20, "no price is known for g4dn.xlarge in us-west-2", "correct"),
    ("variant: llm/fp16", "variant: llm/int8", 20, "unknown variant 'llm/int8'", "use llm/fp16"),
    ("machines: 3", "machines: 3, offer: plan-1y", 20, "unknown pay-as-you-go offer 'plan-1y'", "on-demand, spot"),
    ("classes: [chat]", "classes: [chta]", 20, "unknown traffic class of llm/fp16 'chta'", "use chat"),
    ("4 days", "40 days", 21, "heldout is 40 days, the traffic lasts 14.00 days", "hold out less"),
    ("seeds: [1]", "seeds: []", 21, "at least 1 item", "seeds"),
    ("name: small", "name: ../small", 1, "'../small'", "name"),
    ("name: small", "name: small\nname: other", 2, "appears twice, first in line 1", "remove"),
    ("    sizes", "    retries: 2\n    sizes", 3, "expected shed_wait beside retries", "traffic.chat"),
    ("    sizes", "    shed_wait: 3\n    sizes", 5, "got 3 without a unit", "traffic.chat.shed_wait"),
    ("    sizes", "    shed_wait: -3 s\n    sizes", 5, "got -3.0: input should be", "traffic.chat.shed_wait"),
    ("    sizes", "    priority: 1.5\n    sizes", 5, "got 1.5", "traffic.chat.priority"),
    ("    sizes", "    shed_wait: 1 s\n    retries: -1\n    sizes", 6, "got -1", "traffic.chat.retries"),
    ("where:", "cache: {entries: 0, ttl: 1 s}\nwhere:", 13, "cache.entries: got 0", "correct `cache.entries`"),
    ("where:", "cache: {entries: 10}\nwhere:", 13, "cache.ttl is missing", "add `ttl:`"),
    ("where:", "cache: {entries: 10, tll: 1 s}\nwhere:", 13, "unknown key 'tll'", "use ttl"),
    ("where:", "scaling: {metric: cpu}\nwhere:", 13, "got 'cpu'", "scaling.metric"),
    ("where:", "scaling: {scale_up: {rules: []}}\nwhere:", 13, "at least 1 item", "scaling.scale_up.rules"),
    ("where:", "scaling: {scale_up: {select: most}}\nwhere:", 13, "got 'most'", "scaling.scale_up.select"),
    ("where:", "scaling: {scale_down: {rules: [{pods: 1, percent: 5, period: 1 s}]}}\nwhere:", 13, "exactly one of pods", "scale_down"),
    ("where:", "scaling: {scale_down: {rules: [{pods: 1}]}}\nwhere:", 13, "period is missing", "add `period:`"),
    ("where:", "scaling: {scale_down: {rules: [{pods: 1, period: 1 hour}]}}\nwhere:", 13, "got '1 hour'", "period"),
    ("where:", "scaling: {upscale_stabilization: 2 hours}\nwhere:", 13, "got '2 hours'", "upscale_stabilization"),
    ("engine: token", "prefix_cache: 16\n    engine: token", 9, "got 16 without a unit", "models.llm.prefix_cache"),
    ("engine: token", "prefix_cache: 1.5 tokens\n    engine: token", 9, "expected a whole number of tokens", "prefix_cache"),
    ("engine: token", "prefix_cache: 0 tokens\n    engine: token", 9, "got 0: input", "models.llm.prefix_cache"),
    ("engine: token", "prefix_cache: 16 tokens\n    engine: request", 8, "belongs to a token model", "models.llm"),
    ("seeds: [1]", "seeds: [1], failures_per_month: 100 %", 21, "less than 1", "proof.failures_per_month"),
    ("seeds: [1]", "seeds: [1], failures_per_month: -1 %", 21, "greater than or equal to 0", "proof.failures_per_month"),
    ("where:", "scaling: {sync: 999 ms}\nwhere:", 13, "got '999 ms'", "scaling.sync"),
    ("where:", "scaling: {metric_lag: 25 hours}\nwhere:", 13, "got '25 hours'", "scaling.metric_lag"),
    ("where:", "scaling: {metric_window: 2 days}\nwhere:", 13, "got '2 days'", "scaling.metric_window"),
    ("where:", "scaling: {downscale_stabilization: 2 days}\nwhere:", 13, "got '2 days'", "downscale_stabilization"),
    ("where:", "werhe:", 13, "unknown key 'werhe'", "use where"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "said", "remedy"), MISTAKES)
def test_a_mistake_is_told_with_its_line_and_remedy(
    load: Load, small: str, tmp_path: Path, old: str, new: str, line: int, said: str, remedy: str
) -> None:
    assert old in small
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        load(small.replace(old, new, 1))
    assert caught.value.where is not None
    assert (caught.value.where.path, caught.value.where.line) == (tmp_path / "workload.yaml", line)
    assert remedy in caught.value.resolve
    assert caught.value.exit_code == 2


def test_several_mistakes_are_all_told(load: Load, small: str) -> None:
    with pytest.raises(InputError, match=r"(?s)got -2.*also .*workload.yaml:12: .*got 'fp17'"):
        load(small.replace("rate_per_s: 2", "rate_per_s: -2").replace("fp16, q", "fp17, q"))


@pytest.mark.parametrize("text", ["", "[]", "small", "name: x\n"])
def test_what_is_no_workload_is_refused(load: Load, text: str) -> None:
    with pytest.raises(InputError, match=r"expected a mapping with the keys name|traffic is missing"):
        load(text)


def test_traces_of_different_length_are_refused(load: Load, small: str, tmp_path: Path) -> None:
    for name, hours in (("short", 48), ("long", 72)):
        rows = "\n".join(f"{3600 * hour},1" for hour in range(hours))
        (tmp_path / f"{name}.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
    other = "rates: {file: long.csv}\n    sizes: {input_tokens: 1, output_tokens: 9}\n    slo: [latency p99 <= 1 s]"
    text = small.replace("constant: {rate_per_s: 2}", "rates: {file: short.csv}").replace(
        "models:", f"  other:\n    {other}\nmodels:"
    )
    with pytest.raises(InputError, match=r"'other' lasts 3\.00 days, that of 'chat' 2\.00") as caught:
        load(text)
    assert caught.value.where is not None
    assert caught.value.where.line == 3


def test_a_trace_of_one_bin_leaves_nothing_to_prove_on(load: Load, small: str, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("t_s,rate_per_s\n0,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="has one bin") as caught:
        load(small.replace("constant: {rate_per_s: 2}", "rates: {file: one.csv, bin: 1 h}"))
    assert caught.value.where is not None
    assert caught.value.where.line == 3


def test_sizes_stated_twice_are_refused(load: Load, small: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{i / 2},9,9" for i in range(400))
    (tmp_path / "a.csv").write_text(f"time_s,input_tokens,output_tokens\n{rows}\n", encoding="utf-8")
    with pytest.raises(InputError, match="have token columns, and sizes are stated as well"):
        load(small.replace("constant: {rate_per_s: 2}", "requests: {file: a.csv}"))


def test_offers_are_those_discovered_where_none_are_given(tmp_path: Path, book: PriceNames, small: str) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(small.replace("spot]", "sp0t]"), encoding="utf-8")
    with pytest.raises(UnknownNameError, match="use spot"):
        load_workload(path, book)


SCRAPS = st.sampled_from(
    ["", "[]", "{}", "~", ".nan", "-1", "x", "1e999", "'", "[chat]", "{chat: 1}", "50 %", "*a", "!!x", "\t", "3 s"]
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_workload_with_anything_in_it_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, book: PriceNames, offers: dict[str, str], small: str, data: st.DataObject
) -> None:
    """Replace a word, or drop a line, of a workload that loads."""
    words = [match.span() for match in re.finditer(r"[^\s{}\[\],:]+", small)]
    start, end = data.draw(st.sampled_from(words))
    text = small[:start] + data.draw(SCRAPS | st.text(max_size=6)) + small[end:]
    lines = text.splitlines(keepends=True)
    if data.draw(st.booleans()):
        lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    path = tmp_path_factory.getbasetemp() / "fuzz-workload.yaml"
    path.write_bytes("".join(lines).encode("utf-8", "surrogatepass"))
    with suppress(InputError):
        load_workload(path, book, offers)
