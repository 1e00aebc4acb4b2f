"""The report of a replay says what the record says, on the page, in the file, on the terminal; the engine trace opens elsewhere."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plan_fixture import check_golden
from replayed_fixture import PLAIN, SERIES, VARIATIONS, make_replayed
from rich.cells import cell_len
from rich.console import Console
from test_report import Page

from tightrope.base.replay_report import ReplayReport
from tightrope.render.progress import counting
from tightrope.render.replay_report import charts, replay_formats
from tightrope.render.replay_report.engine_trace import engine_trace
from tightrope.render.replay_report.files import render_replayed, replayed_as_dict, write_replayed
from tightrope.render.replay_report.summary import print_replayed
from tightrope.replay.records import EngineWork, Outcome, Traffic
from tightrope.trial.trial import Trial

HTML, JSON = Path("replay.html"), Path("replay.json")


def page_of(report: ReplayReport) -> Page:
    return Page(render_replayed(report)[HTML])


def summary_of(report: ReplayReport, width: int) -> str:
    file = io.StringIO()
    print_replayed(report, Console(file=file, width=width, legacy_windows=False), 123_456.0, ["out/replay.html"])
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


# ------------------------------------------------------------------------------------------------------------- terminal


def test_golden_summary() -> None:
    reports = [VARIATIONS[name]() for name in ("a scenario", "one run")]
    check_golden("replay.txt", "\n".join(summary_of(report, width) for report in reports for width in (80, 120)))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", VARIATIONS)
def test_no_line_is_wider_than_the_console(name: str, width: int) -> None:
    text = summary_of(VARIATIONS[name](), width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a scenario", "PROMISE MISSED"),
        ("one run", "PROMISES KEPT"),
        ("nothing promised", "NOTHING PROVEN"),
        ("not shown", "NOT PROVEN"),
    ],
)
def test_the_verdict_is_the_last_runs(name: str, words: str) -> None:
    assert words in summary_of(VARIATIONS[name](), 100)


def test_runs_are_told_apart_only_where_there_are_two() -> None:
    assert "as recorded" in summary_of(make_replayed(), 100)
    assert summary_of(VARIATIONS["one run"](), 100).count("as recorded") == 1  # the line of its cost


def test_what_never_happened_is_named_once() -> None:
    text = " ".join(summary_of(VARIATIONS["one run"](), 120).split())
    assert "never larger than any KV cache, no pool ever runs for them, never answered, spot interruptions" in text
    assert "preemptions 12.5" in text


# ----------------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", VARIATIONS)
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    text = render_replayed(VARIATIONS[name]())[HTML]
    page = Page(text)
    assert page.tags["h1"] == 1
    assert page.tags["caption"] == page.tags["table"] > 0
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    assert [value for _, key, value in page.attributes if "//" in value and not key.startswith("xmlns")] == []
    assert "url(" not in text
    assert "\x1b" not in text


def test_the_page_says_what_the_record_says() -> None:
    words = page_of(make_replayed()).words.replace("\xa0", " ")
    for figure in (
        "misses its promises",
        "93.1 %",
        "97.8 %",
        "$4.10",
        "$2,990",
        "31",
        "87.4 %",
        "zone 2 of 3",
        "19,366",
        "1.61 s",
    ):
        assert figure in words, figure
    places = [
        words.index(title)
        for title in ("The promises", "The time-line", "The requests", "What happened", "The pools", "The bill")
    ]
    assert places == sorted(places)


def test_the_file_is_the_record() -> None:
    report = make_replayed()
    document = json.loads(render_replayed(report)[JSON])
    assert document == replayed_as_dict(report)
    assert next(iter(document)) == "schema_version"
    assert document["runs"][0]["series"]["latency_p50_ms"]["chat"][7] is None
    assert "drill_start_h" not in document["runs"][0]
    assert document["runs"][1]["drill_start_h"] == 18.5166


def test_an_unknown_figure_is_never_written() -> None:
    with pytest.raises(Exception, match=r"runs\[0\]\.monthly_cost_usd is nan"):
        render_replayed(make_replayed(runs=(replace(PLAIN, monthly_cost_usd=float("nan")),)))


# ---------------------------------------------------------------------------------------------------------- the charts


def test_machines_are_stacked_and_those_that_start_are_on_top() -> None:
    chart = charts.machines(make_replayed().last, 1.0)
    assert [name for _, name in chart.legend] == ["chat-base", "chat-peak", "starting", "drill"]
    at = [value for value in chart.wide["data"]["values"] if value["h"] == pytest.approx(18.25 + 17 / 60)]
    assert [(value["foot"], value["top"]) for value in at] == [(0.0, 3.0), (3.0, 5.0), (5.0, 7.0)]


def test_the_drills_time_is_shaded_and_nothing_else_is() -> None:
    drilled, plain = (charts.queue(run, 1.0).wide for run in reversed(make_replayed().runs))
    assert drilled["layer"][0]["data"]["values"] == [{"from": 18.5166, "to": 19.0166}]
    assert all("data" not in layer for layer in plain["layer"])


def test_a_line_breaks_where_nobody_was_answered() -> None:
    values = charts.latency(PLAIN, 1.0).wide["data"]["values"]
    bold = [value for value in values if value["stroke"] == 2.0]
    assert len(bold) == 59
    assert len({value["line"] for value in bold}) == 2
    assert [value["y"] for value in values if value["line"] == "chat!"] == [1.0, 1.0]


def test_cost_ends_with_the_replay() -> None:
    values = charts.cost(PLAIN, 0.5).wide["data"]["values"]
    assert max(value["h"] for value in values) == 18.75
    assert max(value["top"] for value in values) == pytest.approx(2.415 + 0.83 + 0.02)


def test_the_latency_of_work_that_waits_is_left_out_beside_others() -> None:
    both = {"chat": SERIES.latency_p95_ms["chat"], "summary": SERIES.latency_p95_ms["chat"]}
    run = replace(PLAIN, series=replace(SERIES, latency_p95_ms=both, latency_p50_ms=both))
    assert charts.shown_classes(run) == ["chat"]
    assert charts.shown_classes(replace(run, evidence=())) == ["chat", "summary"]


@pytest.mark.parametrize("bin_s", [60.0, 90.0, 7200.0])
def test_widths_are_said(bin_s: float) -> None:
    assert replay_formats.width(bin_s) == {60.0: "a minute", 90.0: "1.5 minutes", 7200.0: "2 hours"}[bin_s]


def test_tokens_spared_are_a_share_of_tokens() -> None:
    large = replace(PLAIN.classes[0], answered=100.0, prompt_tokens=1_000_000.0, prefix_share=0.0)
    small = replace(large, prompt_tokens=1000.0, prefix_share=0.9)
    unknown = replace(large, prompt_tokens=5e6, prefix_share=None)
    shown = dict(replay_formats.EVENTS)["prompt tokens spared by prefix caches"]
    assert shown(replace(PLAIN, classes=(large, small, unknown))) == "0.1 %"
    assert shown(replace(PLAIN, classes=(unknown,))) == "–"


def test_what_is_not_known_is_neither_nothing_nor_never() -> None:
    classes = tuple(replace(item, prefix_share=None) for item in PLAIN.classes)
    pools = tuple(replace(item, utilisation=None) for item in PLAIN.pools)
    evidence = (replace(PLAIN.evidence[0], p95_ms=None),)
    report = make_replayed(runs=(replace(PLAIN, classes=classes, pools=pools, evidence=evidence),))
    text, page = summary_of(report, 120), " ".join(page_of(report).text)
    assert "prompt tokens spared" not in text
    assert "0 %" not in text
    assert "never" in next(line for line in text.splitlines() if "ttft p95" in line)
    assert "unknown" not in text + page


def test_work_after_the_end_is_said() -> None:
    late = replace(PLAIN.pools[0], requests=100.0, late=60.0)
    report = make_replayed(runs=(replace(PLAIN, pools=(late,)),), warnings=())
    words = "60.0 % of the answers came after the stretch"
    assert words in " ".join(summary_of(report, 120).split())
    assert any("answers came after the stretch" in part for part in page_of(report).text)
    assert replay_formats.unbilled(replace(PLAIN, pools=(replace(late, late=0.5),))) == ""
    assert replay_formats.unbilled(replace(PLAIN, pools=(replace(late, requests=0.0, late=0.0),))) == ""


# ----------------------------------------------------------------------------------------------------- the engine trace


def engines(count: int = 3) -> Outcome:
    """Return three requests on two machines with what their engines did."""
    index = np.arange(count)
    time_s = np.array([0.0, 1.0, 1.0])
    work = EngineWork(
        pool=np.array([0, 0, 1, 1]),
        machine=np.array([0, 2, 0, 0]),
        engine=np.array([0, 1, 0, 0]),
        begin_s=np.array([0.0, 1.5, 1.0, 200.0]),
        end_s=np.array([0.25, 2.5, 1.75, 201.0]),
        steps=np.array([1, 40, 0, 0]),
        prompt_tokens=np.array([374, 0, 0, 0]),
        sequences=np.array([0, 7, 4, 4]),
    )
    return Outcome(
        traffic=Traffic(time_s, 0 * index, index + 1, index + 1),
        first_s=time_s + 1.0,
        finish_s=time_s + 2.0,
        pool=0 * index,
        machine_hours=np.ones((2, 1)),
        busy_hours=np.ones(2),
        interruptions=0,
        retries=0,
        begin_s=np.array([0.0, 1.5, np.inf]),
        ended=np.array([0, 0, 5]),
        prefix_tokens=0 * index,
        work=work,
    )


def test_the_trace_is_what_chrome_and_perfetto_open() -> None:
    document = json.loads(engine_trace(engines(), ("chat-base", "chat-peak"), 120.0))
    assert document["displayTimeUnit"] == "ms"
    events = document["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["args"], dict)
        if event["ph"] != "M":
            assert event["ts"] >= 0.0
    slices = [event for event in events if event["ph"] == "X"]
    assert [(event["name"], event["ts"], event["dur"]) for event in slices] == [
        ("prompts", 0.0, 250_000.0),
        ("decode", 1_500_000.0, 1_000_000.0),
        ("batch", 1_000_000.0, 750_000.0),
    ]
    assert slices[1]["args"] == {"steps": 40, "prompt_tokens": 0, "sequences": 7}


def test_a_process_is_a_machine_and_a_thread_an_engine() -> None:
    events = json.loads(engine_trace(engines(), ("chat-base", "chat-peak"), 120.0))["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {0: "requests waiting", 1: "chat-base 0", 2: "chat-base 2", 3: "chat-peak 0"}
    threads = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert threads == {(1, 0): "engine 0", (2, 1): "engine 1", (3, 0): "engine 0"}
    assert {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"} == set(threads)


def test_the_counter_is_who_waits() -> None:
    events = json.loads(engine_trace(engines(), ("chat-base", "chat-peak"), 120.0))["traceEvents"]
    counted = [(event["ts"], event["args"]["requests"]) for event in events if event["ph"] == "C"]
    assert counted == [(0.0, 0), (1_000_000.0, 2), (1_500_000.0, 1)]


def test_who_waits_for_no_engine_is_not_counted() -> None:
    gone = replace(engines(), ended=np.array([0, 0, 2]))  # the third is turned away
    events = json.loads(engine_trace(gone, ("chat-base", "chat-peak"), 120.0))["traceEvents"]
    counted = [(event["ts"], event["args"]["requests"]) for event in events if event["ph"] == "C"]
    assert counted == [(0.0, 0), (1_000_000.0, 1), (1_500_000.0, 0)]


def test_a_full_log_is_said_in_the_trace_and_beside_its_path(tmp_path: Path) -> None:
    whole = engines()
    assert whole.work is not None
    full = replace(whole, work=replace(whole.work, complete=False))
    events = json.loads(engine_trace(full, ("chat-base", "chat-peak"), 3600.0))["traceEvents"]
    assert [(event["ts"], event["s"]) for event in events if event["ph"] == "i"] == [(201_000_000.0, "g")]
    said_of = [
        write_replayed(Trial(make_replayed(), outcome), None, tmp_path / "t.json", 3600.0)[0].partition("t.json")[2]
        for outcome in (whole, full)
    ]
    assert said_of == ["", " (engines only until 3.35 minutes: their log was full)"]


def test_without_a_log_there_are_counters_only() -> None:
    events = json.loads(engine_trace(replace(engines(), work=None), ("a", "b"), 120.0))["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "C"}


# --------------------------------------------------------------------------------------------------------- the progress


def test_the_bar_counts_requests_and_is_silent_off_a_terminal() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    for file, terminal in ((quiet, False), (loud, True)):
        with counting(Console(file=file, force_terminal=terminal, width=100)) as counter:
            counter.expect(1400)
            counter.arrived("as recorded", 0, 500)
            counter.arrived("zone-loss", 1, 200)
            counter.arrived("zone-loss", 1, 700)
        assert counter.live is terminal
        assert counter.requests == 1200
        assert counter.per_s > 0.0
    assert quiet.getvalue() == ""
    assert "requests/s" in loud.getvalue()
