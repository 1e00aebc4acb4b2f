"""The verbs of ``prices`` as a user runs them: on the book that ships, and on small folders where something has to go wrong."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from tests.cli.tiny import MACHINES, PRICES, WORKLOAD

from tightrope import cli
from tightrope.base import registry
from tightrope.base.catalogue import Catalogue, PriceRow
from tightrope.clouds.catalogue_tables import CsvCloud
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery

OWNED = """name,site,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,quantity,purchase_usd,life_years,interest_rate,\
power_watts,pue,usd_per_kwh,overhead_usd_per_month,seen
rack-l4,basel,32,256,amd64,l4,2,24,3,8760,1,0,1000,1,0.10,73,2026-10-01
"""


@dataclass(frozen=True)
class Answer:
    """How the command line ended."""

    code: int
    said: str
    error: str

    @property
    def json(self) -> dict[str, object]:
        """The one JSON object printed."""
        return json.loads(self.said)


Run = Callable[..., Answer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs ``tightrope`` on a console of a given width."""

    def tightrope(*arguments: str | Path, columns: int = 120) -> Answer:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["tightrope", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return tightrope


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder with an owned machine and a machine type of AWS whose price changed."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "owned.csv").write_text(OWNED, encoding="utf-8")
    (folder / "machines.csv").write_text(MACHINES + "aws,zz9.large,zz9,2,4,amd64,,0,0,letter,2026-01-01\n", encoding="utf-8")
    rows = [
        f"aws,us-east-1,zz9.large,on-demand,{usd},3,,list,letter,{seen}\n"
        for usd, seen in ((0.2, "2026-01-01"), (0.25, "2026-09-01"))
    ]
    (folder / "prices.csv").write_text(PRICES + "".join(rows), encoding="utf-8")
    return folder


def check_error(answer: Answer, *words: str) -> None:
    """Assert one message with a remedy, exit code 2 and nothing on the output."""
    assert (answer.code, answer.said) == (2, ""), answer
    assert answer.error.startswith("error: ")
    assert answer.error.count("Resolve: ") == 1
    assert "defect" not in answer.error
    for word in words:
        assert word in answer.error


# --------------------------------------------------------------------------------------------------------- find and show


def test_find_lists_the_cheapest_first_with_its_facts(run: Run) -> None:
    done = run("prices", "find", "--gpu", "L4", "--region", "us-*", "--cloud", "aws")
    assert done.code == 0, done.error
    head = next(line for line in done.said.splitlines() if "machine" in line and "on-demand" in line)
    assert head.split() == [
        "machine",
        "cloud",
        "region",
        "gpu",
        "each",
        "GiB",
        "vCPU",
        "GiB",
        "arch",
        "on-demand",
        "spot",
        "interr.",
        "seen",
    ]
    lines = [line.split() for line in done.said.splitlines() if "× l4" in line]
    assert len(lines) == 20
    assert lines[0][:3] == ["g6.xlarge", "aws", "us-east-1"]
    prices = [float(line[line.index("amd64") + 1].rstrip("*")) for line in lines]
    assert prices == sorted(prices)
    assert prices[0] == 0.8048
    assert re.search(r"20 of \d+ shown; --limit N shows more", done.said)


def test_find_as_json_has_every_match_and_exact_figures(run: Run) -> None:
    found = run("prices", "find", "--gpu", "l4", "--cloud", "aws", "--region", "us-east-1", "--json").json
    assert found["matched"] == len(found["hits"]) > 3
    small = next(hit for hit in found["hits"] if hit["machine"]["name"] == "g6.xlarge")
    assert small["prices"]["on-demand"]["usd_per_hour"] == 0.8048
    assert small["prices"]["on-demand"]["seen"] == "2026-07-20"
    assert small["prices"]["spot"]["basis"] == "derived"
    assert len(run("prices", "find", "--gpu", "l4", "--limit", "2", "--json").json["hits"]) == 2


def test_find_narrows_by_everything_at_once(run: Run) -> None:
    asked = ("--vcpu", "4+", "--memory", "16-64", "--max-usd", "1.0", "--arch", "arm64", "--sort", "memory", "--offer", "spot")
    found = run("prices", "find", *asked, "--json").json
    assert found["offers"] == ["spot"]
    assert found["hits"]
    for hit in found["hits"]:
        assert hit["machine"]["vcpu"] >= 4
        assert 16 <= hit["machine"]["memory_gib"] <= 64
        assert hit["machine"]["arch"] == "arm64"
        assert hit["prices"]["spot"]["usd_per_hour"] <= 1.0
    sizes = [hit["machine"]["memory_gib"] for hit in found["hits"]]
    assert sizes == sorted(sizes)


def test_find_says_which_offers_there_are_where_none_asked_for_is(run: Run) -> None:
    asked = ("prices", "find", "--gpu", "NVIDIA L4", "--cloud", "aws", "--offer", "reserved-1y")
    assert re.search(
        r"0 matched\n\n +not sold so; these machines are sold as reserved-1y-no-upfront \(--offer\)", run(*asked).said
    )
    assert run(*asked, "--json").json["near_offers"] == ["reserved-1y-no-upfront"]


def test_find_says_of_which_day_nothing_matches(run: Run) -> None:
    assert (
        "as of 2024-08-20: a later day may have more" in run("prices", "find", "--cloud", "lambda", "--as-of", "2024-08-20").said
    )


def test_spot_that_is_known_by_zone_is_found_shown_and_compared_alike(run: Run, own: Path) -> None:
    zones = "".join(
        f"aws,us-east-1,zz9.large,spot,{usd},1,,list,letter,2026-09-01,us-east-1{zone}\n"
        for usd, zone in ((0.1, "a"), (0.15, "b"))
    )
    rows = (own / "prices.csv").read_text(encoding="utf-8").splitlines()[1:]
    head = PRICES.replace("seen\n", "seen,zone\n")
    (own / "prices.csv").write_text(head + "".join(f"{row},\n" for row in rows) + zones, encoding="utf-8")
    (hit,) = run("prices", "find", "--machine", "zz9.large", "--catalogue", own, "--json").json["hits"]
    (quote,) = run("prices", "show", "zz9.large", "--offer", "spot", "--catalogue", own, "--json").json["quotes"]
    sides = run("prices", "compare", "2 vCPU 4 GiB", "--region", "us-east-1", "--catalogue", own, "--json").json["sides"]
    (side,) = (side for side in sides if side["machine"]["name"] == "zz9.large")
    assert hit["prices"]["spot"] == quote["row"] == side["spot"]
    assert (side["spot"]["usd_per_hour"], side["spot_share_off"]) == (0.15, pytest.approx(0.4))


def test_find_says_where_nothing_matches(run: Run) -> None:
    done = run("prices", "find", "--gpu", "l4", "--max-usd", "0.001")
    assert done.code == 0
    assert "0 matched" in done.said
    assert "loosen a range" in done.said
    assert run("prices", "find", "--gpu", "l4", "--max-usd", "0.001", "--json").json["hits"] == []


def test_show_tells_each_offer_with_its_sources(run: Run) -> None:
    done = run("prices", "show", "G6.XLARGE", "--region", "us-east-1")
    assert done.code == 0, done.error
    assert re.search(r"1 × l4, [\d.]+ GiB each · 4 vCPU · 16 GiB · amd64", done.said)
    assert re.search(r"us-east-1 +on-demand +0\.8048 +\d+ +2026-07-20", done.said)
    assert re.search(r" spot +0\.\d{4}\*? +−\d+ % +\d+ %", done.said)
    assert re.search(r"compute-savings-plan-1y-no-upfront +0\.\d{4}\*? +−\d+ %", done.said)
    assert "aws/karpenter-provider-aws commit 1d927085" in done.said


def test_show_finds_azures_machines_without_their_prefix(run: Run) -> None:
    shown = run("prices", "show", "nc4as_t4_v3", "--region", "eastus", "--offer", "on-demand", "--json").json
    assert shown["machine"]["name"] == "Standard_NC4as_T4_v3"
    assert [quote["row"]["usd_per_hour"] for quote in shown["quotes"]] == [0.526]


def test_show_tells_how_a_price_went_and_the_book_of_a_day_has_the_price_of_that_day(run: Run) -> None:
    done = run("prices", "show", "p5.48xlarge", "--region", "us-east-1")
    assert re.search(r"history +us-east-1 on-demand +98\.3200 \(.*\) → 55\.0400 \(.*−44\.0 %\)", done.said)
    before = run(
        "prices", "show", "p5.48xlarge", "--region", "us-east-1", "--offer", "on-demand", "--as-of", "2025-01-31", "--json"
    ).json
    assert [quote["row"]["usd_per_hour"] for quote in before["quotes"]] == [98.32]


def test_an_owned_machine_is_found_shown_and_compared_like_any_other(run: Run, own: Path) -> None:
    usd = 1.0 + 0.1 + 0.1  # 8,760 USD in a year, 1 kW at 0.10, 73 USD a month
    (hit,) = run("prices", "find", "--cloud", "owned", "--catalogue", own, "--json").json["hits"]
    assert hit["prices"]["owned"]["usd_per_hour"] == pytest.approx(usd)
    (quote,) = run("prices", "show", "rack-l4", "--catalogue", own, "--json").json["quotes"]
    assert (quote["row"]["region"], quote["row"]["usd_per_hour"]) == ("basel", pytest.approx(usd))
    sides = run("prices", "compare", "2x", "24", "GiB", "GPU", "--catalogue", own, "--json").json["sides"]
    (rack,) = (side for side in sides if side["machine"]["cloud"] == "owned")
    assert rack["usd_per_gib_hour"] == pytest.approx(usd / 48)
    assert rack["usd_per_tflops_hour"] == pytest.approx(usd / 2 / 121)


# ---------------------------------------------------------------------------------------------------------------- compare


def test_compare_sets_sellers_side_by_side(run: Run) -> None:
    compared = run("prices", "compare", "24 GiB GPU", "--json").json
    sides = {(side["machine"]["cloud"], side["machine"]["accelerator"]): side for side in compared["sides"]}
    assert {("aws", "l4"), ("aws", "a10g"), ("gcp", "l4")} <= set(sides)
    ours = sides["aws", "l4"]
    assert (ours["machine"]["name"], ours["row"]["usd_per_hour"]) == ("g6.xlarge", 0.8048)
    assert ours["usd_per_gib_hour"] == pytest.approx(0.8048 / ours["machine"]["accelerator_memory_gib"])
    assert ours["usd_per_tflops_hour"] == pytest.approx(0.8048 / 121)  # dense FP16 of NVIDIA's L4 datasheet
    assert ours["spot_share_off"] == pytest.approx(1 - ours["spot"]["usd_per_hour"] / 0.8048)
    assert 0.1 < ours["best_share_off"]["1"] < 0.7
    usd = [side["row"]["usd_per_hour"] for side in compared["sides"]]
    assert usd == sorted(usd)


def test_what_no_datasheet_tells_is_a_dash_and_never_a_nought(run: Run) -> None:
    side = next(side for side in run("prices", "compare", "trainium", "--json").json["sides"])
    assert side["usd_per_tflops_hour"] is None
    line = next(line for line in run("prices", "compare", "trainium").said.splitlines() if side["machine"]["name"] in line)
    assert "—" in line
    assert " 0.0000 " not in line


def test_machines_like_one_and_machines_without_accelerators(run: Run) -> None:
    alike = run("prices", "compare", "g6.12xlarge", "--json").json["sides"]
    assert {side["machine"]["accelerators"] for side in alike} == {4}
    assert len({side["machine"]["cloud"] for side in alike}) >= 2
    plain = run("prices", "compare", "8", "vCPU", "32", "GiB", "arm64", "--json").json["sides"]
    assert {(side["machine"]["vcpu"], side["machine"]["arch"], side["machine"]["accelerators"]) for side in plain} == {
        (8, "arm64", 0)
    }


# ---------------------------------------------------------------------------------------------------------------- tokens


def test_tokens_say_what_providers_charge_the_cheapest_first(run: Run) -> None:
    said = run("prices", "tokens", "*llama-3.1-8b*", "--limit", "5").said
    assert re.search(r"^\*llama-3\.1-8b\*  \d+ matched$", said, re.MULTILINE)
    costs = [float(row[0]) + float(row[1]) for row in re.findall(r"(\d+\.\d{3})\s+(\d+\.\d{3})", said)]
    assert costs == sorted(costs)
    assert len(costs) == 5
    assert "US dollars a million tokens" in said
    assert "source: genai-prices" in said


def test_tokens_as_json_have_tiers_and_null_for_what_is_unknown(run: Run) -> None:
    (price,) = run("prices", "tokens", "gemini-2.5-pro", "--provider", "google", "--json").json["prices"]
    assert price["tiers"][0]["above_prompt_tokens"] == 200_000
    assert price["tiers"][0]["input_usd_per_million"] == 2 * price["input_usd_per_million"]
    found = run("prices", "tokens", "gpt-4o", "--json").json["prices"]
    assert None in [price["input_usd_per_million"] for price in found]
    assert 0 not in [price["input_usd_per_million"] for price in found]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_tokens_fit_the_console(run: Run, columns: int) -> None:
    done = run("prices", "tokens", "*llama*", "--limit", "200", columns=columns)
    assert max(map(len, done.said.splitlines())) <= columns
    assert "output" in done.said
    assert "notes on" in done.said


def test_no_two_models_look_the_same_on_a_narrow_console(run: Run) -> None:
    lines = run("prices", "tokens", "*70b*", "--limit", "200", columns=60).said.splitlines()
    table = lines[next(place for place, line in enumerate(lines) if line.split() == ["model", "input", "output"]) + 1 :]
    rows = [
        (line[:34].strip(), below.strip())
        for line, below in zip(table[::2], table[1::2], strict=False)
        if re.search(r"\d\.\d{3}", line)
    ]
    assert len(rows) > 50
    assert len(rows) == len(set(rows))


def test_tokens_of_a_past_day_say_which_prices_the_list_does_not_date(run: Run) -> None:
    past = ("prices", "tokens", "gpt-4o-mini", "--provider", "openai", "--as-of", "2026-01-01")
    assert "1 of these are of unknown date: the list does not say since when" in run(*past).said
    (price,) = run(*past, "--json").json["prices"]
    assert (price["since"], price["seen"]) == (None, None)
    assert "the list does not say since when" in price["note"]
    assert "unknown date" not in run(*past[:-2]).said


# ------------------------------------------------------------------------------------------------------ diff and sources


def test_diff_tells_what_changed_between_two_days(run: Run, own: Path) -> None:
    days = ("--since", "2026-08-15", "--until", "2026-09-02", "--cloud", "aws")
    found = run("prices", "diff", *days, "--catalogue", own, "--json").json
    (change,) = (change for change in found["changes"] if change["how"] == "changed" and change["name"] == "zz9.large")
    assert (change["old"], change["new"], change["share"], change["seen"]) == (0.2, 0.25, pytest.approx(0.25), "2026-09-01")
    assert re.search(
        r"us-east-1 +zz9\.large +on-demand +0\.2000 +0\.2500 +\+25\.0 % +2026-09-01",
        run("prices", "diff", *days, "--catalogue", own).said,
    )


def test_diff_ends_on_the_later_day(run: Run, own: Path) -> None:
    days = ("--since", "2026-08-15", "--until", "2026-08-20", "--cloud", "aws", "--catalogue", own, "--json")
    found = run("prices", "diff", *days).json
    assert (found["until"], [change for change in found["changes"] if change["name"] == "zz9.large"]) == ("2026-08-20", [])


def test_diff_as_json_has_the_largest_first_and_counts_all(run: Run, own: Path) -> None:
    days = ("--since", "2025-01-01", "--until", "2026-10-31", "--catalogue", own, "--json")
    every = run("prices", "diff", *days).json
    few = run("prices", "diff", *days, "--limit", "3").json
    assert few["changes"] == every["changes"][:3]
    assert few["matched"] == every["matched"] == len(every["changes"]) > 100
    assert few["counts"] == every["counts"]
    assert sum(count for kinds in few["counts"].values() for count in kinds.values()) == few["matched"]
    shares = [abs(change["share"]) for change in every["changes"] if change["how"] == "changed"]
    assert every["changes"][0]["how"] == "changed"
    assert shares == sorted(shares, reverse=True)


def test_diff_counts_what_is_too_much_to_name(run: Run) -> None:
    done = run("prices", "diff", "--since", "2025-01-01", "--until", "2026-10-31")
    assert done.code == 0, done.error
    assert re.search(r"new to the book: [\d,]+\n", done.said)
    assert re.search(r"aws +price +on-demand +\d+", done.said)
    assert re.search(r"[\d,]+ seen again as they were, [\d,]+ not looked at since", done.said)


def test_sources_tell_age_origin_and_licence(run: Run) -> None:
    told = run("prices", "sources", "--json").json
    assert {age["cloud"] for age in told["ages"]} >= {"aws"}
    assert all(age["old_rows"] <= age["rows"] for age in told["ages"])
    assert all(origin["source"] and origin["rows"] and origin["age_days"] >= 0 for origin in told["origins"])
    assert any(origin["licence"] == "Apache-2.0" for origin in told["origins"])
    assert {part["kind"] for part in told["catalogues"]} == {"shipped"}
    done = run("prices", "sources", "--cloud", "aws")
    assert re.search(r"cloud +prices +oldest seen +newest seen +older than 90 days\n +aws", done.said)
    assert re.search(r"seen \d{4}-\d{2}-\d{2}.* days old\n", done.said)
    assert "prices were last seen more than 90 days ago" in done.said


# ---------------------------------------------------------------------------------------------------------------- refresh


def renewed(ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Stand for an importer: one price is more expensive, one is as it was."""
    fetcher.progress("corner list", 2, 2)
    fetcher.note("one family is not known: box9")
    prices = (("box.small", "0.15"), ("box.large", "0.90"))
    decimal = PriceRow.__annotations__["usd_per_hour"]
    rows = [
        PriceRow("corner", region, machine, "on-demand", decimal(usd), 0, None, "list", "corner list", ask.today)
        for region in ask.regions
        for machine, usd in prices
    ]
    return Catalogue(prices=tuple(rows))


@pytest.fixture
def corner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add a seller with an importer; return the folder that refreshed prices are kept in."""
    folder, kept = tmp_path / "corner", tmp_path / "kept"
    folder.mkdir()
    machines = [f"corner,box.{size},box,{vcpu},8,amd64,,0,0,shop,2026-01-01\n" for size, vcpu in (("small", 2), ("large", 8))]
    prices = [
        f"corner,town,box.{size},on-demand,{usd},0,,list,shop,2026-01-01\n"
        for size, usd in (("small", "0.12"), ("large", "0.90"))
    ]
    (folder / "machines.csv").write_text(MACHINES + "".join(machines), encoding="utf-8")
    (folder / "prices.csv").write_text(PRICES + "".join(prices), encoding="utf-8")
    importer = ModuleType("corner_importer")
    importer.fetch = renewed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "corner_importer", importer)
    monkeypatch.setenv("TIGHTROPE_PRICES", str(kept))
    cloud = CsvCloud("corner", folder, frozenset({"machines", "prices", "refresh"}), "corner_importer.fetch")
    monkeypatch.setattr(registry, "load_clouds", lambda: {"corner": cloud})
    return kept


def test_refresh_tells_what_came_and_the_other_verbs_see_it(run: Run, corner: Path) -> None:
    done = run("prices", "refresh", "corner")
    assert done.code == 0, done.error
    assert "corner  1 region, 2 prices in" in done.said
    assert "1 unchanged · 1 changed · 0 new · 0 no longer listed" in done.said
    assert re.search(r"box\.small +town +on-demand +0\.1200 +0\.1500 +\+25\.0 %", done.said)
    assert "one family is not known: box9" in done.said
    assert (corner / "corner.zip").exists()
    yesterday = (datetime.now(tz=UTC) - timedelta(days=1)).date().isoformat()
    (change,) = run("prices", "diff", "--since", yesterday, "--json").json["changes"]
    assert (change["name"], change["old"], change["new"]) == ("box.small", 0.12, 0.15)
    shown = run("prices", "show", "box.small", "--json").json
    assert [step["usd_per_hour"] for step in shown["histories"][0]["steps"]] == [0.12, 0.15]
    parts = run("prices", "sources", "--json").json["catalogues"]
    assert [(part["kind"], part["path"]) for part in parts] == [("shipped", None), ("refreshed", str(corner / "corner.zip"))]
    assert "corner.zip" in run("prices", "sources", columns=200).said


def test_refresh_as_json(run: Run, corner: Path) -> None:
    told = run("prices", "refresh", "corner", "--region", "t*", "--json").json
    assert (told["cloud"], told["regions"], told["unchanged"], told["changed"]) == ("corner", ["town"], 1, 1)
    assert told["biggest_changes"][0]["new_usd"] == 0.15
    assert told["path"] == str(corner / "corner.zip")


def test_a_seller_and_its_regions_may_be_written_in_capitals_and_with_commas(run: Run, corner: Path) -> None:
    told = run("prices", "refresh", " CORNER ", "--region", "Town,village", "--region", "T*", "--json").json
    assert (told["cloud"], told["regions"]) == ("corner", ["town", "village"])


def test_a_seller_without_an_importer_is_answered_with_those_that_have_one(run: Run, corner: Path) -> None:
    check_error(run("prices", "refresh", "corenr"), "corenr", "Resolve: use corner")
    assert not corner.exists() or not list(corner.glob("*.zip"))


# ------------------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("find", "--gpu", "l44"), ("unknown accelerator 'l44'", "use l4")),
        (("find", "--region", "us-esat-1"), ("unknown region 'us-esat-1'", "us-east-1")),
        (("find", "--cloud", "awss"), ("unknown cloud 'awss'", "use aws")),
        (("find", "--offer", "on-demnad"), ("unknown offer 'on-demnad'", "use on-demand")),
        (("find", "--machine", "g6.xlrge"), ("unknown machine 'g6.xlrge'", "g6.xlarge")),
        (("find", "--vcpu", "four"), ("--vcpu: got 'four'", "--vcpu 4+")),
        (("find", "--gpu", ""), ("empty accelerator: got ''", "leave the option out")),
        (("find", "--gpu", "l4", "--gpu", " , "), ("empty accelerator: got ' , '", "leave the option out")),
        (("find", "--machine", " "), ("empty machine: got ' '", "leave the option out")),
        (("find", "--family", ""), ("empty family: got ''", "leave the option out")),
        (("find", "--region", ""), ("empty region: got ''", "leave the option out")),
        (("find", "--cloud", ""), ("empty cloud: got ''", "leave the option out")),
        (("find", "--offer", ""), ("empty offer: got ''", "leave the option out")),
        (("find", "--arch", ""), ("empty architecture: got ''", "leave the option out")),
        (("find", "--vcpu", ""), ("--vcpu: got ''", "--vcpu 4+")),
        (("find", "--sort", "cheap"), ("--sort: got 'cheap'", "price, per-gpu")),
        (("show", "g6.xlrge"), ("unknown machine 'g6.xlrge'", "g6.xlarge")),
        (("show", "g6"), ("the family g6 is sold as g6.xlarge", "g6.xlarge")),
        (("show", "NC4as_T4_v33"), ("unknown machine 'NC4as_T4_v33'", "Standard_NC4as_T4_v3")),
        (("show", "g6.xlarge", "--region", "us-esat-1"), ("unknown g6.xlarge region 'us-esat-1'", "us-east-1")),
        (("compare", "3 fish"), ("'3'", '"24 GiB GPU"')),
        (("compare", "g6.xlrge"), ("'g6.xlrge'", "g6.xlarge")),
        (("compare", "999 GiB GPU"), ("no machine of that kind", "another accelerator memory: ")),
        (("compare", "l4", "--region", "mars"), ("unknown region 'mars'", "use one of")),
        (("diff", "--since", "last week"), ("--since: got 'last week'", "YYYY-MM-DD")),
        (("diff", "--since", "2026-05-01", "--until", "2026-01-01"), ("the earlier first", "--since 2026-06-30")),
        (("diff", "--since", "1999-01-01"), ("no price was seen by 1999-01-01", "ask for a day from")),
        (("diff", "--since", "2026-05-01", "--cloud", "awss"), ("unknown cloud 'awss'", "use aws")),
        (("find", "--as-of", "2999-01-01"), ("2999-01-01 is in the future", "leave --as-of out")),
        (("sources", "--as-of", "2026-02-30"), ("--as-of: got '2026-02-30'", "YYYY-MM-DD")),
        (("show", "g6.xlarge", "--catalogue", "no-such-folder"), ("no-such-folder", "Resolve:")),
        (("compare", "24 GiB"), ("no machine of that kind", "24 GiB GPU")),
        (("compare", "8 vCPU g6.xlarge"), ("'g6.xlarge' is a machine to be like", "say g6.xlarge alone")),
        (("compare", "h100 l4 24 GiB GPU"), ("no machine with 'h100' has the rest", "leave h100 out")),
        (("show", "g6.xlarge", "--as-of", "2024-08-20", "--region", "us-east-1"), ("was seen by 2024-08-20", "a later day")),
        (
            ("find", "--as-of", "2024-08-20", "--region", "asia-northeast-1"),
            ("no price of the region 'asia-northeast-1'", "a later day"),
        ),
        (("compare", "l4", "--as-of", "2024-08-20", "--region", "us-east-1"), ("that was seen by 2024-08-20", "a later day")),
        (("show", "g6.xlarge", "--as-of", "2024-08-20", "--region", "us-esat-1"), ("unknown g6.xlarge region", "Resolve:")),
        (("tokens", "gpt-4oo"), ("'gpt-4oo'", "use gpt-4o")),
        (("tokens", "gpt-4o", "--provider", "opnai"), ("unknown provider 'opnai'", "openai")),
        (("tokens", "gpt-4o", "--as-of", "soon"), ("--as-of: got 'soon'", "YYYY-MM-DD")),
        (("refresh", "aws", "--region", ""), ("empty ", "got ''", "leave the option out")),
        (("refresh", "no-such-seller"), ("no-such-seller", "Resolve: use")),
    ],
    ids=" ".join,
)
def test_what_is_wrong_ends_with_2_a_message_and_a_remedy(run: Run, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    check_error(run("prices", *arguments), *words)


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ("find", "--gpu", "a100,h100,l4", "--limit", "50"),
        ("show", "g6.xlarge"),
        ("show", "Standard_NC24ads_A100_v4"),
        ("compare", "24 GiB GPU"),
        ("compare", "8 vCPU 32 GiB"),
        ("diff", "--since", "2026-07-01", "--limit", "5"),
        ("sources",),
    ],
    ids=" ".join,
)
def test_tables_fit_the_console(run: Run, arguments: tuple[str, ...], columns: int) -> None:
    done = run("prices", *arguments, columns=columns)
    assert done.code == 0, done.error
    lines = done.said.splitlines()
    assert max(map(len, lines)) <= columns
    assert not [line for line in lines if line and not line.strip()]
    if arguments[0] != "diff":  # whose longest names are cropped
        assert "…" not in done.said.replace("0.05 … 15–20 %", "")


def test_the_help_loads_no_prices() -> None:
    code = (
        "import sys; from tightrope.cli import app; app(['prices', '--help'], standalone_mode=False); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    for verb in ("find", "show", "compare", "diff", "sources", "refresh"):
        assert verb in done.stdout
    for heavy in ("tightrope.clouds.book", "tightrope.render.prices", "numpy", "urllib3"):
        assert f"'{heavy}'" not in done.stdout


# ------------------------------------------------------------------------------------------------ plans with earlier prices


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    """Return a small workload that plans in a second."""
    (tmp_path / "workload.yaml").write_text(WORKLOAD, encoding="utf-8")
    (tmp_path / "rates.csv").write_text(
        "t_s,rate_per_s\n" + "".join(f"{3600 * hour},4\n" for hour in range(30)), encoding="utf-8"
    )
    return tmp_path / "workload.yaml"


def test_a_plan_of_a_past_day_has_that_days_prices_and_says_what_was_old_then(run: Run, workload: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    rows = [
        f"aws,us-east-1,c6i.large,on-demand,{usd},3,,list,letter,{seen}\n"
        for usd, seen in ((0.08, "2026-01-01"), (0.16, "2026-09-01"))
    ]
    (own / "prices.csv").write_text(PRICES + "".join(rows), encoding="utf-8")
    items = ("internet-egress", "inter-zone-transfer", "object-storage", "block-storage")
    units = "".join(
        f"aws,us-east-1,{item},{'GB-month' if 'storage' in item else 'GB'},0.01,list,letter,2026-01-01\n" for item in items
    )
    (own / "unit_prices.csv").write_text(f"cloud,region,item,unit,usd,basis,source,seen\n{units}", encoding="utf-8")

    def plan(*options: str) -> dict[str, object]:
        done = run("plan", workload, "--out", tmp_path / "out", "--catalogue", own, "--json", *options)
        assert done.code == 0, done.error
        return done.json

    now, then = plan(), plan("--prices-as-of", "2026-03-01")
    rate = {
        name: sum(line["usd"] for line in made["cost_lines"] if line["driver"] in {"compute", "idle"})
        for name, made in (("now", now), ("then", then))
    }
    assert rate["now"] == pytest.approx(2 * rate["then"])
    assert any("seen 2026-01-01" in source for source in then["price_sources"])
    assert not any(re.search(r"on-demand prices .* days old", text) for text in then["warnings"])  # 59 days then
    assert any(re.search(r"on-demand prices .*\(.*2026-01-01", text) for text in plan("--prices-as-of", "2026-06-01")["warnings"])
    assert plan("--prices-as-of", "2026-03-01") == then
    trace = tmp_path / "trace.csv"
    trace.write_text("t_s\n" + "".join(f"{second}\n" for second in range(3600)), encoding="utf-8")
    replayed = ("replay", tmp_path / "out" / "plan.json", "--trace", trace, "--column", "time=t_s", "--catalogue", own, "--json")
    assert (then["prices_as_of"], now["prices_as_of"]) == ("2026-03-01", "")
    dear, cheap, same = (run(*replayed, *day) for day in (("--prices-as-of", "2026-10-01"), ("--prices-as-of", "2026-03-01"), ()))
    assert (dear.code, cheap.code, same.code) == (0, 0, 0), dear.error + cheap.error + same.error
    usd = [answer.json["runs"][0]["stretch_cost_usd"] for answer in (dear, cheap, same)]
    assert usd[0] == pytest.approx(2 * usd[1], rel=0.05)
    assert usd[1] == usd[2]


@pytest.mark.parametrize(
    ("day", "words"), [("soon", ("got 'soon'", "YYYY-MM-DD")), ("2999-01-01", ("is in the future", "leave --prices-as-of out"))]
)
def test_a_day_that_no_prices_are_of_is_refused(
    run: Run, workload: Path, tmp_path: Path, day: str, words: tuple[str, ...]
) -> None:
    check_error(run("plan", workload, "--out", tmp_path / "out", "--prices-as-of", day), "--prices-as-of", *words)
    assert not (tmp_path / "out").exists()
    trace = tmp_path / "rates.csv"
    assert "--prices-as-of" in run("replay", tmp_path / "plan.json", "--trace", trace, "--prices-as-of", day).error
