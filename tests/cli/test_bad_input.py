"""Whatever a user gives that is wrong: the exit code, one message with its place and remedy, and no output, not even half of it."""

import gzip
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.tiny import MACHINES, PRICES, RATES, WORKLOAD

from tightrope import cli


@dataclass(frozen=True)
class Answer:
    """How the command line ended."""

    code: int
    error: str


Run = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a workload that plans."""
    (tmp_path / "workload.yaml").write_text(WORKLOAD, encoding="utf-8")
    (tmp_path / "rates.csv").write_text(RATES, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that plans the folder's workload into ``out``."""

    def plan(*options: str | Path) -> Answer:
        arguments = ["tightrope", "plan", str(folder / "workload.yaml"), "--out", str(folder / "out"), *map(str, options)]
        monkeypatch.setattr(sys, "argv", arguments)
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Answer(code, capsys.readouterr().err)

    return plan


def check(answer: Answer, code: int, place: str, *words: str) -> None:
    """Assert one message with its place and a remedy, and no traceback."""
    assert answer.code == code, answer.error
    assert answer.error.count("error: ") == 1
    assert answer.error.count("Resolve: ") == 1
    assert "Traceback" not in answer.error
    assert "defect" not in answer.error
    for part in (place, *words):
        assert part in answer.error


def change(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_workload_plans_before_anything_is_broken(run: Run, folder: Path) -> None:
    assert run().code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["plan.json", "report.html"]


IN_WORKLOAD = {
    # what: text → text, line, words of the message
    "unknown key": ("families:", "famlies:", 19, "famlies", "use families"),
    "wrong unit": ("900 ms", "900 parsecs", 5, "parsecs", "units"),
    "no unit": ("load: 1 s", "load: 1", 16, "got 1"),
    "a number that is none": ("quality: 1.0", "quality: .nan", 12, "quality"),
    "a negative count": ("machines: 5", "machines: -5", 24, "-5"),
    "unknown machine": ("today:\n  - {machine: c6i.large", "today:\n  - {machine: c6i.lrage", 24, "c6i.lrage", "c6i.large"),
    "unknown family": ("families: [c6i.large]", "families: [c66i]", 19, "c66i", "c6i"),
    "unknown region": ("aws: [us-east-1]", "aws: [us-esat-1]", 18, "us-esat-1", "us-east-1"),
    "unknown cloud": ("aws: [us-east-1]", "awss: [us-east-1]", 18, "awss", "aws"),
    "unknown offer": ("offers: [on-demand]", "offers: [on-demnad]", 22, "on-demnad", "on-demand"),
    "unknown class": ("serves: {web: 100 %}", "serves: {wbe: 100 %}", 14, "wbe", "web"),
    "a key twice": ("name: tiny", "name: tiny\nname: other", 2, "twice"),
    "broken YAML": ("name: tiny", "name: [tiny", 2, "not valid YAML"),
    "a trace that is not there": ("rates.csv", "raets.csv", 4, "raets.csv"),
}


@pytest.mark.parametrize("what", IN_WORKLOAD)
def test_a_broken_workload(run: Run, folder: Path, what: str) -> None:
    old, new, line, *words = IN_WORKLOAD[what]
    change(folder, "workload.yaml", old, new)
    check(run(), 2, f"{folder / 'workload.yaml'}:{line}: ", *words)
    assert not (folder / "out").exists()


IN_TRACE = {
    # what: content, line (None where the whole is wrong), words
    "missing column": ("t_s,load\n0,4\n3600,4\n", None, "rate"),
    "empty file": ("", None, "empty"),
    "only a header": ("t_s,rate_per_s\n", None, "rate"),
    "NaN": (RATES.replace("7200,4", "7200,nan"), 4, "nan"),
    "not a number": (RATES.replace("7200,4", "7200,four"), 4, "four"),
    "infinite": (RATES.replace("7200,4", "7200,inf"), 4, "inf"),
    "negative rate": (RATES.replace("7200,4", "7200,-4"), 4, "-4"),
    "time going backwards": (RATES.replace("10800,", "3000,"), 5, "backwards"),
    "a gap": (RATES.replace("10800,4\n", ""), None, "gap"),
}


@pytest.mark.parametrize("what", IN_TRACE)
def test_a_broken_trace(run: Run, folder: Path, what: str) -> None:
    content, line, *words = IN_TRACE[what]
    (folder / "rates.csv").write_text(content, encoding="utf-8")
    place = str(folder / "rates.csv") + ("" if line is None else f":{line}: ")
    check(run(), 2, place, *words)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("busy", "words"), [(range(0), "to size on"), (range(24), "held out, to prove the plan on"), (range(24, 30), "to size on")]
)
def test_a_trace_without_requests_proves_nothing(run: Run, folder: Path, busy: range, words: str) -> None:
    rows = "".join(f"{3600 * hour},{4 if hour in busy else 0}\n" for hour in range(30))
    (folder / "rates.csv").write_text("t_s,rate_per_s\n" + rows, encoding="utf-8")
    check(
        run(), 2, f"{folder / 'workload.yaml'}:3: ", f"the part of the traffic of 'web' {words} has no requests", "proof.heldout"
    )
    assert not (folder / "out").exists()


def garbage(path: Path, size: int) -> None:
    """Write a file of ``size`` bytes: noise at both ends, a hole between."""
    noise = bytes(range(256)) * 64
    with path.open("wb") as file:
        file.write(noise)
        file.truncate(size)
        file.seek(size - len(noise))
        file.write(noise)


@pytest.mark.parametrize("size", [64 * 2**20, 2**30], ids=["64 MiB", "1 GiB"])
@pytest.mark.parametrize("name", ["workload.yaml", "rates.csv"])
def test_a_lot_of_garbage(run: Run, folder: Path, name: str, size: int) -> None:
    garbage(folder / name, size)
    check(run(), 2, str(folder / name))
    assert not (folder / "out").exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".csv.gz"])
def test_noise_by_any_name(run: Run, folder: Path, suffix: str) -> None:
    noise = bytes(range(256)) * 5000
    (folder / f"noise{suffix}").write_bytes(gzip.compress(noise) if suffix.endswith("gz") else noise)
    change(folder, "workload.yaml", "rates.csv", f"noise{suffix}")
    check(run(), 2, f"noise{suffix}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=400), cut=st.integers(0, len(WORKLOAD)), trace=st.booleans())
def test_noise_anywhere_is_one_message(run: Run, folder: Path, noise: bytes, cut: int, trace: bool) -> None:
    (folder / "workload.yaml").write_text(WORKLOAD, encoding="utf-8")
    (folder / "rates.csv").write_text(RATES, encoding="utf-8")
    path = folder / ("rates.csv" if trace else "workload.yaml")
    good = path.read_bytes()
    path.write_bytes(good[: cut % len(good)] + b"\x00\xff" + noise + good[cut % len(good) :])
    answer = run()
    check(answer, 2, str(path))


def test_a_folder_for_a_workload(run: Run, folder: Path) -> None:
    (folder / "workload.yaml").unlink()
    check(run(), 2, str(folder / "workload.yaml"))
    (folder / "workload.yaml").mkdir()
    check(run(), 2, str(folder / "workload.yaml"))


# ----------------------------------------------------------------------------------------------------------- infeasible


INFEASIBLE = {
    "an SLO no machine can meet": ("900 ms", "20 ms", "class 'web'", "comes to 0.25 s when idle", "traffic.web.slo"),
    "a quota too small": ("{c6i: 50}", "{c6i: 1}", "quota", "where.quotas", "c6i: 2"),
    "a quota of nothing": ("{c6i: 50}", "{c6i: 0}", "quota", "where.quotas", "c6i: 2"),
    "a quality that no variant has": ("    slo:", "    quality_floor: 1.0\n    slo:", "quality", "variant"),
    "nothing but spot, which may carry half": ("[on-demand]", "[spot]", "spot-share", "purchase.max_spot_share"),
}


@pytest.mark.parametrize("what", INFEASIBLE)
def test_what_no_plan_can_keep(run: Run, folder: Path, what: str) -> None:
    old, new, *words = INFEASIBLE[what]
    change(folder, "workload.yaml", old, new)
    if "quality" in what:
        change(folder, "workload.yaml", "quality: 1.0\n        size", "quality: 0.9\n        size")
    check(run(), 3, "error: ", *words)
    assert not (folder / "out").exists()


def test_the_quota_that_the_remedy_names_is_enough(run: Run, folder: Path) -> None:
    change(folder, "workload.yaml", "{c6i: 50}", "{c6i: 1}")
    change(folder, "workload.yaml", "{c6i: 1}", "{" + run().error.rpartition("at least {")[2].partition("}")[0] + "}")
    assert run().code == 0


# ----------------------------------------------------------------------------------------------------------- catalogues


ROW = "aws,c6i.huge,c6i,2,4,amd64,,0,0,mine,2026-01-01\n"
PRICE = "aws,us-east-1,c6i.large,on-demand,0.07,3,,list,mine,2026-01-01\n"
IN_CATALOGUE = {
    # what: file, content, line, words
    "unknown column": ("prices.csv", PRICES.replace("offer", "ofer") + PRICE, 1, "ofer", "offer"),
    "missing column": ("prices.csv", PRICES.replace("zones,", "") + PRICE.replace("3,", ""), 1, "zones"),
    "a price that is none": ("prices.csv", PRICES + PRICE + PRICE.replace("0.07", "nan").replace("large", "xlarge"), 3, "nan"),
    "a negative price": ("prices.csv", PRICES + PRICE.replace("0.07", "-0.07"), 2, "-0.07"),
    "free of charge": ("prices.csv", PRICES + PRICE.replace("0.07", "0"), 2, "usd_per_hour"),
    "an unknown machine": ("prices.csv", PRICES + PRICE.replace("c6i.large", "c6i.hgue"), 2, "c6i.hgue", "machines.csv"),
    "a date that is none": ("prices.csv", PRICES + PRICE.replace("2026-01-01", "yesterday"), 2, "yesterday"),
    "a row twice": ("prices.csv", PRICES + PRICE + PRICE, 3, "repeats"),
    "too few cells": ("machines.csv", MACHINES + "aws,c6i.huge\n", 2, "2 cells"),
    "no processors": ("machines.csv", MACHINES + ROW.replace(",2,4,", ",0,4,"), 2, "vcpu"),
    "an empty file": ("machines.csv", "", 1, "cloud"),
}


@pytest.mark.parametrize("what", IN_CATALOGUE)
def test_a_broken_catalogue(run: Run, folder: Path, what: str) -> None:
    name, content, line, *words = IN_CATALOGUE[what]
    own = folder / "own"
    own.mkdir()
    (own / name).write_text(content, encoding="utf-8")
    check(run("--catalogue", own), 2, f"{own / name}:{line}: ", *words)
    assert not (folder / "out").exists()


def test_a_good_catalogue_is_used(run: Run, folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    (own / "prices.csv").write_text(PRICES + PRICE.replace("0.07", "7.77"), encoding="utf-8")
    assert run("--catalogue", own, "--json").code == 0
    assert '"usd": ' in (folder / "out" / "plan.json").read_text(encoding="utf-8")
    assert "mine (seen 2026-01-01)" in (folder / "out" / "plan.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["missing", "empty", "garbage"])
def test_a_catalogue_that_is_none(run: Run, folder: Path, what: str) -> None:
    own = folder / "own"
    if what != "missing":
        own.mkdir()
    if what == "garbage":
        garbage(own / "machines.csv", 64 * 2**20)
    check(run("--catalogue", own), 2, str(own))


# -------------------------------------------------------------------------------------------------------------- outputs


@pytest.fixture
def earlier(folder: Path) -> dict[Path, str]:
    """Leave an earlier output in ``out``, and return what it holds."""
    files = {folder / "out" / "plan.json": "earlier", folder / "out" / "notes.txt": "mine"}
    (folder / "out").mkdir()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return files


@pytest.mark.parametrize(("old", "new", "code"), [("families:", "famlies:", 2), ("900 ms", "20 ms", 3)])
def test_an_earlier_output_stays_as_it_was(
    run: Run, folder: Path, earlier: dict[Path, str], old: str, new: str, code: int
) -> None:
    change(folder, "workload.yaml", old, new)
    assert run().code == code
    assert {path: path.read_text(encoding="utf-8") for path in (folder / "out").iterdir()} == earlier


def test_an_output_that_is_a_file(run: Run, folder: Path) -> None:
    (folder / "out").write_text("mine", encoding="utf-8")
    check(run(), 2, str(folder / "out"), "--out")
    assert (folder / "out").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_an_output_inside_a_file(run: Run, folder: Path) -> None:
    check(run("--out", folder / "rates.csv" / "out"), 2, str(folder / "rates.csv"), "--out")
    assert (folder / "rates.csv").read_text(encoding="utf-8") == RATES


def test_a_plan_that_is_not_proven_is_written_and_said(run: Run, folder: Path) -> None:
    rows = "".join(f"{3600 * hour},{4 if hour < 24 else 40}\n" for hour in range(30))
    (folder / "rates.csv").write_text("t_s,rate_per_s\n" + rows, encoding="utf-8")
    check(run(), 4, "error: the plan is not proven: not proven: web latency p95 ≤ 900 ms")
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["plan.json", "report.html"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("Error building `literal` serializer:\n  KeyboardInterrupt: "), 130, ""),
        (ModuleNotFoundError("No module named 'highspy'", name="highspy"), 2, "needs the package 'highspy'"),
        (ModuleNotFoundError("No module named 'tightrope.x'", name="tightrope.x"), 1, "a defect of Tightrope: ModuleNotFound"),
        (ZeroDivisionError("x"), 1, "a defect of Tightrope: ZeroDivisionError: x"),
    ],
    ids=["interrupt", "package", "module", "defect"],
)
def test_what_nobody_foresaw_ends_in_words_too(
    error: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    printed = capsys.readouterr().err
    assert caught.value.code == code
    assert said in printed
    assert printed.count("\nResolve: ") == bool(said)
