"""The verb ``replay`` as a user runs it, on a hand-made plan: what it prints and writes, and every wrong thing it is given."""

import gzip
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tightrope import cli
from tightrope.base.plan import Plan
from tightrope.render.plan_json import RENDERER

ROOT = Path(__file__).parents[2]
FIXTURE = runpy.run_path(str(ROOT / "tests" / "render" / "plan_fixture.py"))
AZURE = ROOT.parent / "shared" / "data" / "traffic" / "azure_llm_2023_conv.csv.gz"


@dataclass(frozen=True)
class Answer:
    """How the command line ended."""

    code: int
    out: str
    error: str

    @property
    def report(self) -> dict[str, Any]:
        """Return what ``--json`` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Run = Callable[..., Answer]


def write_plan(folder: Path, **changes: Any) -> Path:
    """Write the hand-made plan, some of its fields changed."""
    made: Plan = FIXTURE["make_plan"](**changes)
    path = folder / "plan.json"
    path.write_text(RENDERER.render(made)[Path("plan.json")], encoding="utf-8")
    return path


def write_trace(path: Path, requests: int = 400, seconds: float = 3600.0, **columns: Any) -> Path:
    """Write evenly spaced requests of 200 and 40 tokens; more columns by name."""
    rows: dict[str, Any] = {"t_s": np.linspace(0.0, seconds, requests), "input_tokens": [200] * requests}
    rows |= {"output_tokens": [40] * requests} | columns
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that replays in a folder that holds a plan and a trace."""
    write_plan(tmp_path)
    write_trace(tmp_path / "trace.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["tightrope", "replay", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


GOOD = ("plan.json", "--trace", "trace.csv")


def test_kept_promises_end_with_0_and_are_shown(run: Run) -> None:
    answer = run(*GOOD)
    assert (answer.code, answer.error) == (0, "")
    for words in ("PROMISES KEPT", "2 of 2", "ttft p95 ≤ 1 s", "tpot p95 ≤ 120 ms", "chat-base", "as a month", "queue", "simple"):
        assert words in answer.out
    assert "no requests of summary" in " ".join(answer.out.split())


def test_the_json_is_one_object_and_the_same_twice(run: Run) -> None:
    first, second = run(*GOOD, "--json"), run(*GOOD, "--json")
    assert first.out == second.out
    assert first.out.count("\n") == 1
    report = first.report
    (only,) = report["runs"]
    (chat,) = only["classes"]
    assert chat["requests"] == chat["answered"] == 400
    assert {item["verdict"] for item in only["evidence"]} == {"proven"}
    assert sum(pool["requests"] for pool in only["pools"]) == 400
    assert only["stretch_cost_usd"] == pytest.approx(sum(line["usd"] for line in only["cost_lines"]))
    assert report["seeds"] == [1]


def test_a_missed_promise_ends_with_4_and_is_named(run: Run, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.csv", requests=40_000, output_tokens=[2000] * 40_000)
    answer = run(*GOOD, "--out", "out")
    assert answer.code == 4
    assert "PROMISE MISSED" in answer.out
    assert "error: promise missed: chat ttft p95 ≤ 1 s: " in answer.error
    assert answer.error.count("Resolve: ") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["replay.html", "replay.json"]


def test_nothing_to_prove_ends_with_4_and_says_so(run: Run) -> None:
    answer = run(*GOOD, "--scenario", "surge=0.0001x", "--json")
    assert answer.report["runs"][1]["evidence"] == []
    assert answer.code == 4
    assert "error: nothing proven: no request of the traffic has a promise" in answer.error


def test_too_short_a_trace_is_not_told_to_plan_for_more_first(run: Run, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.csv", requests=1)
    answer = run(*GOOD)
    assert answer.code == 4
    assert "error: not proven: chat" in answer.error
    assert "Resolve: replay more traffic" in answer.error
    assert "1 request " in " ".join(answer.out.split())


def test_a_place_for_the_engines_trace_is_refused_by_its_own_option(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for place in ("taken", "trace.csv/engines.json"):
        answer = run(*GOOD, "--chrome-trace", place)
        assert answer.code == 2
        assert "--chrome-trace" in answer.error
        assert "--out" not in answer.error


def test_what_is_written_is_what_is_printed(run: Run, tmp_path: Path) -> None:
    answer = run(*GOOD, "--out", "deep/out", "--json")
    assert json.loads((tmp_path / "deep" / "out" / "replay.json").read_text(encoding="utf-8")) == answer.report
    page = (tmp_path / "deep" / "out" / "replay.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "chatgenius" in page


def test_a_scenario_stands_beside_the_traffic_as_recorded(run: Run) -> None:
    report = run(*GOOD, "--scenario", "zone-loss", "--scenario", "surge=2x", "--json").report
    plain, changed = report["runs"]
    assert (plain["scenario"], changed["scenario"]) == ("", "zone-loss + surge=2x")
    assert plain["classes"][0]["requests"] == 400
    assert changed["classes"][0]["requests"] == 800
    assert changed["drill_end_h"] - changed["drill_start_h"] == pytest.approx(0.5)
    assert changed["drill_evidence"]
    assert "drill_start_h" not in plain
    assert plain == run(*GOOD, "--json").report["runs"][0]


def test_less_traffic_is_a_scenario_too(run: Run) -> None:
    report = run(*GOOD, "--scenario", "surge=0.25x", "--json").report
    assert report["runs"][1]["notes"] == ["0.25 times the requests: the others are left out"]
    assert 50 < report["runs"][1]["classes"][0]["requests"] < 150


def test_without_its_cache_a_plan_is_replayed_too(run: Run) -> None:
    report = run(*GOOD, "--scenario", "no-cache", "--json").report
    assert report["runs"][1]["notes"] == ["no cache of answers and no prefix cache"]


def test_a_class_column_tells_the_classes_apart(run: Run, tmp_path: Path) -> None:
    names = ["chat", "summary"] * 200
    write_trace(tmp_path / "trace.csv", **{"class": names})
    report = run(*GOOD, "--json").report
    assert {item["name"]: item["requests"] for item in report["runs"][0]["classes"]} == {"chat": 200, "summary": 200}
    assert "done by 06:00" in {item["slo"] for item in report["runs"][0]["evidence"]}


def test_several_files_are_merged_each_with_its_class(run: Run, tmp_path: Path) -> None:
    write_trace(tmp_path / "night.csv", requests=50)
    report = run(*GOOD[:1], "--trace", "chat=trace.csv", "--trace", "summary=night.csv", "--json").report
    assert {item["name"]: item["requests"] for item in report["runs"][0]["classes"]} == {"chat": 400, "summary": 50}
    assert len(report["sources"]) == 2


def test_the_week_hour_moves_the_schedule(run: Run) -> None:
    def hours(*more: str) -> dict[str, float]:
        pools = run(*GOOD, *more, "--json").report["runs"][0]["pools"]
        return {pool["name"]: pool["machine_hours"] for pool in pools}

    # at midnight the peak pool is off, at noon of the first day six of it are scheduled
    assert hours()["chat-peak"] < 2.0
    assert hours("--week-hour", "11")["chat-peak"] >= 5.5


def test_one_interactive_class_needs_no_name(run: Run, tmp_path: Path) -> None:
    made: Plan = FIXTURE["make_plan"]()
    second = replace(made.classes[0], name="search")
    shares = (*made.variant_shares, replace(made.variant_shares[0], traffic_class="search"))
    write_plan(tmp_path, classes=(made.classes[0], second, made.classes[1]), variant_shares=shares)
    answer = run(*GOOD)
    assert answer.code == 2
    assert "does not say whose requests these are" in answer.error
    assert "--trace chat=trace.csv" in answer.error
    assert run(GOOD[0], "--trace", "search=trace.csv").code == 0


def test_the_engines_first_minutes_are_written_where_asked_for(run: Run, tmp_path: Path) -> None:
    answer = run(*GOOD, "--chrome-trace", "traces/engines.json", "--trace-minutes", "1")
    assert answer.code == 0
    assert "traces/engines.json" in answer.out
    events = json.loads((tmp_path / "traces" / "engines.json").read_text(encoding="utf-8"))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert {event["name"] for event in slices} >= {"prompts", "decode"}
    assert max(event["ts"] for event in slices) < 60e6


def test_the_progress_is_silent_where_nobody_watches(run: Run) -> None:
    assert run(*GOOD, "--seed", "1,2", "--seed", "3").error == ""


def test_seeds_are_each_replayed(run: Run) -> None:
    report = run(*GOOD, "--seed", "1,2", "--seed", "3", "--json").report
    assert report["seeds"] == [1, 2, 3]
    assert report["runs"][0]["evidence"][0]["seeds"] == [1, 2, 3]


# ------------------------------------------------------------------------------------------------------------ bad input


def broken_plan(path: tuple[str | int, ...], value: object) -> Callable[[Path], None]:
    """Return what sets one field of the plan's file."""

    def change(folder: Path) -> None:
        document = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        place = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")

    return change


def trace_of(text: str | bytes, name: str = "trace.csv") -> Callable[[Path], object]:
    """Return what writes a trace."""
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def nothing(folder: Path) -> None:
    """Break nothing."""


SERVING = ("pools", 0, "serving")
BAD: dict[str, tuple[Callable[[Path], object], tuple[str, ...], tuple[str, ...]]] = {
    # what: what breaks the folder, the arguments, words of the message
    "no plan": (nothing, ("none.json", "--trace", "trace.csv"), ("none.json", "cannot read the plan", "tightrope plan")),
    "a folder for a plan": (nothing, (".", "--trace", "trace.csv"), ("cannot read the plan",)),
    "a trace for a plan": (nothing, ("trace.csv", "--trace", "trace.csv"), ("trace.csv:1", "not JSON")),
    "a plan of before": (broken_plan(("schema_version",), 1), GOOD, ("schema_version is 1", "plan again")),
    "a plan of later": (broken_plan(("schema_version",), 4), GOOD, ("schema_version is 4, expected 3",)),
    "no pools": (broken_plan(("pools",), []), GOOD, ("plan.pools is ()", "at least one")),
    "half a week": (broken_plan(("pools", 0, "schedule"), [1] * 84), GOOD, ("pools[0].schedule", "84 values", "168")),
    "more than it may have": (broken_plan(("pools", 0, "max_replicas"), 2), GOOD, ("pools[0].schedule", "from 0 to 2")),
    "an idle rate": (broken_plan((*SERVING, "requests_per_s"), 0.0), GOOD, ("serving.requests_per_s is 0.0", "more than 0")),
    "a start before its asking": (broken_plan((*SERVING, "start_s"), -1.0), GOOD, ("serving.start_s is -1.0",)),
    "no memory": (broken_plan((*SERVING, "engine", "kv_capacity_tokens"), 0), GOOD, ("kv_capacity_tokens is 0", "1 or more")),
    "steps of no time": (broken_plan((*SERVING, "engine", "per_token_s"), -1.0), GOOD, ("serving.engine", "0 s or more")),
    "batches of no time": (
        broken_plan(("pools", 2, "serving", "engine", "service_s"), [0.0]),
        GOOD,
        ("service_s", "more than 0"),
    ),
    "a stranger's work": (
        broken_plan((*SERVING, "deferrable_classes"), ["night"]),
        GOOD,
        ("deferrable_classes[0] is 'night'", "'summary'"),
    ),
    "a stranger's share": (
        broken_plan(("variant_shares", 0, "variant"), "gpt"),
        GOOD,
        ("variant_shares[0].variant", "'faq/int8'"),
    ),
    "nobody who answers": (broken_plan(("variant_shares",), []), GOOD, ("plan.variant_shares", "a share of 'chat'")),
    "nobody to back": (broken_plan((*SERVING, "backs"), "chat-bse"), GOOD, ("serving.backs is 'chat-bse'",)),
    "a clock that stands": (broken_plan(("scaling", "sync_s"), 0.0), GOOD, ("scaling.sync_s is 0.0",)),
    "one name twice": (broken_plan(("classes", 1, "name"), "chat"), GOOD, ("plan.classes", "each name once")),
    "an unknown machine": (broken_plan(("pools", 0, "machine"), "g6.hgue"), GOOD, ("g6.hgue", "--catalogue")),
    "an unknown offer": (broken_plan(("pools", 0, "offer"), "on-demnad"), GOOD, ("on-demnad", "on-demand")),
    "no trace there": (nothing, ("plan.json", "--trace", "none.csv"), ("none.csv",)),
    "a device for a trace": (nothing, ("plan.json", "--trace", "/dev/null"), ("the path is no plain file",)),
    "dates beside seconds": (
        trace_of("t,input_tokens,output_tokens\n2024-05-09 00:00:00,9,9\n", "b.csv"),
        ("plan.json", "--trace", "b.csv", "--trace", "trace.csv"),
        ("cannot be put on one clock", "one at a time"),
    ),
    "no trace of the class": (nothing, ("plan.json", "--trace", "chat=none.csv"), ("none.csv",)),
    "an unknown class": (nothing, ("plan.json", "--trace", "caht=trace.csv"), ("traffic class 'caht'", "use chat")),
    "an unknown class in a row": (
        trace_of("t_s,class,input_tokens,output_tokens\n0,chat,1,1\n1,caht,5,5\n"),
        GOOD,
        ("trace.csv:3", "caht", "use chat"),
    ),
    "no column of time": (trace_of("input_tokens,output_tokens\n1,1\n"), GOOD, ("trace.csv", "time")),
    "no tokens": (trace_of("t_s\n1\n2\n"), GOOD, ("trace.csv", "'chat-base'", "--column input_tokens=NAME")),
    "half of the tokens": (trace_of("t_s,input_tokens\n1,1\n"), GOOD, ("trace.csv", "output_tokens")),
    "time going backwards": (trace_of("t_s,input_tokens,output_tokens\n5,9,9\n3,9,9\n"), GOOD, ("trace.csv:3", "backwards")),
    "an empty trace": (trace_of("t_s,input_tokens,output_tokens\n"), GOOD, ("trace.csv", "no requests")),
    "an empty file": (trace_of(""), GOOD, ("trace.csv", "empty")),
    "noise": (trace_of(gzip.compress(bytes(range(256)) * 99), "n.csv.gz"), ("plan.json", "--trace", "n.csv.gz"), ("n.csv.gz",)),
    "an unknown scenario": (nothing, (*GOOD, "--scenario", "zone-los"), ("scenario 'zone-los'", "zone-loss")),
    "no factor": (nothing, (*GOOD, "--scenario", "surge"), ("surge", "write it as surge=2x")),
    "a surge of nothing": (nothing, (*GOOD, "--scenario", "surge=0x"), ("surge=0x", "above 0")),
    "a surge of not a number": (nothing, (*GOOD, "--scenario", "surge=nan"), ("surge=nan", "above 0")),
    "two drills": (
        nothing,
        (*GOOD, "--scenario", "zone-loss", "--scenario", "spot-storm"),
        ("two drills", "one after the other"),
    ),
    "a seed of words": (nothing, (*GOOD, "--seed", "one"), ("seed 'one'", "--seed 1,2,3")),
    "a surge of as much": (nothing, (*GOOD, "--scenario", "surge=1x"), ("surge=1x", "as it was recorded")),
    "two surges": (nothing, (*GOOD, "--scenario", "surge=2x", "--scenario", "surge=0.5x"), ("two surges", "one factor")),
    "an endless seed": (nothing, (*GOOD, "--seed", "7" * 5000), ("seed '77777777777777777777…'", "--seed 1,2,3")),
    "a negative seed": (nothing, (*GOOD, "--seed=-1"), ("seed '-1'",)),
    "half a seed": (nothing, (*GOOD, "--seed", "1.5"), ("seed '1.5'",)),
    "no seed between": (nothing, (*GOOD, "--seed", "1,,2"), ("seed ''",)),
    "a role of no name": (nothing, (*GOOD, "--column", "time"), ("--column 'time'", "role=column")),
    "an unknown role": (nothing, (*GOOD, "--column", "tmie=t_s"), ("tmie", "time")),
    "an unknown column": (nothing, (*GOOD, "--column", "time=when"), ("when",)),
    "a file for a folder": (nothing, (*GOOD, "--out", "trace.csv"), ("trace.csv", "--out")),
    "no such catalogue": (nothing, (*GOOD, "--catalogue", "own"), ("own",)),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_message_and_no_output(run: Run, tmp_path: Path, what: str) -> None:
    change, arguments, words = BAD[what]
    change(tmp_path)
    answer = run(*arguments, *([] if "--out" in arguments else ["--out", "out"]))
    assert answer.code == 2, answer.error
    assert answer.error.count("error: ") == 1
    assert answer.error.count("Resolve: ") == 1
    assert "Traceback" not in answer.error
    assert "defect" not in answer.error
    for part in words:
        assert part in answer.error
    assert answer.out == ""
    assert not (tmp_path / "out").exists()


def test_without_a_trace_there_is_nothing_to_replay(run: Run) -> None:
    answer = run("plan.json")
    assert answer.code == 2
    assert "--trace" in answer.error


def test_the_help_names_every_option_and_stays_light() -> None:
    code = (
        "import sys; from tightrope.cli import app; app(['replay', '--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    for option in ("--trace", "--seed", "--scenario", "--out", "--chrome-trace", "--json", "--week-hour"):
        assert option in done.stdout
    for heavy in ("numba", "numpy", "duckdb", "vl_convert", "highspy"):
        assert f"'{heavy}'" not in done.stdout


def test_a_replay_needs_no_solver_and_draws_nothing_unasked(run: Run) -> None:
    code = f"import sys; sys.argv = {['tightrope', 'replay', *GOOD]!r}; from tightrope.cli import main; main(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    for heavy in ("vl_convert", "highspy", "pydantic"):
        assert f"'{heavy}'" not in done.stdout


def test_a_real_hour_of_traffic(run: Run) -> None:
    if not AZURE.exists():
        pytest.skip("the Azure conversation trace lies in ../shared, which is not here")
    report = run("plan.json", "--trace", AZURE, "--json").report
    (chat,) = report["runs"][0]["classes"]
    assert chat["requests"] == 19_366
    ends = ("answered", "cached", "shed", "too_large", "no_pool", "unanswered")
    assert sum(chat[name] for name in ends) == 19_366
    assert report["window"].startswith("day 1, 18:1")
