"""The price book's tables: what stays where the console is narrow, how figures are said, and that a seller's words steer no terminal."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from tightrope.base.catalogue import Catalogue, MachineType, PriceRow
from tightrope.clouds.book_parts import BookPart
from tightrope.clouds.catalogue_join import PriceChange as Moved
from tightrope.clouds.refresh import RefreshResult
from tightrope.clouds.search.find import Hit, Query, SearchResult
from tightrope.clouds.search.machine_comparison import ComparedMachine, MachineKind
from tightrope.clouds.search.machine_sheet import History, OfferQuote, PriceStep, Sheet
from tightrope.clouds.search.origins import Age, Origin, Origins
from tightrope.clouds.search.price_changes import Changes, Difference
from tightrope.render.prices import price_formats, price_json
from tightrope.render.prices.changes import print_changes
from tightrope.render.prices.machine_comparison import dense_tflops, print_sides
from tightrope.render.prices.machine_sheet import print_sheet
from tightrope.render.prices.origins import print_origins
from tightrope.render.prices.refresh import fetching, print_refreshed
from tightrope.render.prices.search_results import print_search
from tightrope.render.table import TableColumn, fit_table

TODAY = date(2026, 6, 30)
GPU = MachineType("azure", "Standard_Z4_v1", "Zv1", 4, 16.0, "amd64", "l4", 1, 22.4, "list", TODAY, 8.0)
CPU = MachineType("here", "c1.large", "c1", 8, 32.0, "arm64", "", 0, 0.0, "list", TODAY)


def row(offer: str, usd: str, machine: MachineType = GPU, **other: object) -> PriceRow:
    stated = {"zones": 0, "interruptions_per_month": None, "basis": "list", "source": "the list [public]", "seen": TODAY} | other
    return PriceRow(machine.cloud, "us-town", machine.name, offer, Decimal(usd), **stated)  # type: ignore[arg-type]


def console(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None)


def said(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def cells(line: str) -> list[str]:
    return line.split()


def column(head: str, cell: str, rank: int = 0) -> TableColumn:
    return TableColumn(head, [Text(cell)], rank)


# ------------------------------------------------------------------------------------------------------------- the table


def test_columns_stay_by_their_rank_while_there_is_room() -> None:
    columns = [column("name", "12345"), column("b", "12345", 2), column("c", "1234567890", 1), column("d", "12", 3)]
    assert fit_table(columns, 99)[1] == []
    assert fit_table(columns, 5 + 2 + 10 + 2 + 5)[1] == ["d"]
    assert fit_table(columns, 5 + 2 + 10 + 2 + 2)[1] == ["b"]  # what matters less may still have room
    assert fit_table(columns, 5 + 2 + 10)[1] == ["b", "d"]
    assert fit_table(columns, 1)[1] == ["b", "c", "d"]  # the first always stays


def test_a_column_without_a_word_is_no_column_and_a_dash_is_a_word() -> None:
    table, left_out = fit_table([column("a", "x"), column("b", " "), column("c", price_formats.UNKNOWN)], 80)
    assert (len(table.columns), left_out) == (2, [])


def test_long_names_are_cropped_where_what_must_stay_has_no_room() -> None:
    offers = ["instance-savings-plan-1y-no-upfront", "instance-savings-plan-3y-no-upfront", "spot"]
    columns = [
        TableColumn("offer", [Text(offer) for offer in offers], crop=12),
        TableColumn("usd", [Text(str(usd)) for usd in (1, 2, 3)]),
        TableColumn("more", [Text("m")] * 3, 1),
    ]
    table, left_out = fit_table(columns, 25)
    target = console(25)
    target.print(table)
    assert left_out == ["more"]
    assert max(len(line.rstrip()) for line in said(target).splitlines()) == 25
    assert all(term in said(target) for term in ("1y-no-upfront", "3y-no-upfront", "spot"))
    assert fit_table(columns, 60)[1] == []


@given(
    st.lists(st.tuples(st.text("ab", max_size=12), st.text("xy —", max_size=12), st.integers(0, 5)), min_size=1, max_size=8),
    st.integers(1, 80),
)
def test_a_table_is_never_wider_than_its_room_but_for_what_must_stay(columns: list[tuple[str, str, int]], width: int) -> None:
    made = [column(head, cell, rank) for head, cell, rank in columns]
    table, left_out = fit_table(made, width)
    filled = [item for item in made if item.cells[0].plain.strip()]
    must = [item for item in filled if not item.rank]
    assert len(table.columns) + len(left_out) == len(filled)
    wide = sum(item.width + 2 for item in must) - 2
    assert wide > width or sum(max(len(str(cell)) for cell in item.cells) + 2 for item in table.columns) - 2 <= width


@given(st.decimals(min_value="0.000001", max_value="100000", places=7))
def test_a_price_is_never_said_as_nothing(usd: Decimal) -> None:
    shown = Decimal(price_formats.usd(usd).replace(",", ""))
    assert shown > 0
    assert abs(shown - usd) <= (Decimal("0.00005") if usd >= Decimal("0.01") else usd / 199)


# ---------------------------------------------------------------------------------------------------------------- answers


def test_found_at_two_widths() -> None:
    hits = (
        Hit(GPU, "us-town", (row("on-demand", "0.8048"), row("spot", "0.20444", basis="derived", interruptions_per_month=0.15))),
        Hit(CPU, "us-town", (row("on-demand", "55.04", CPU, seen=date(2026, 1, 1)), None)),
    )
    target = console()
    print_search(SearchResult(("on-demand", "spot"), hits), Query(gpus=("l4",), vcpu="4+"), 20, target, TODAY)
    assert said(target) == (
        "l4 · 4+ vCPU  2 matched\n"
        "\n"
        "  machine         cloud  region   gpu     each GiB  vCPU  GiB  arch   on-demand     spot  interr.  seen      \n"
        "  Standard_Z4_v1  azure  us-town  1 × l4      22.4     4   16  amd64     0.8048  0.2044*     15 %  2026-06-30\n"
        "  c1.large        here   us-town                       8   32  arm64    55.0400        —        —  2026-01-01\n"
        "\n"
        "  US dollars an hour; * derived from other figures\n"
    )
    target = console(64)
    print_search(SearchResult(("on-demand", "spot"), hits), Query(), 1, target, TODAY)
    assert said(target) == (
        "all machines  2 matched\n"
        "\n"
        "  machine  region   gpu     vCPU  on-demand     spot  interr.\n"
        "  Z4_v1    us-town  1 × l4     4     0.8048  0.2044*     15 %\n"
        "\n"
        "  1 of 2 shown; --limit N shows more\n"
        "  US dollars an hour; * derived from other figures\n"
        "  no room here for: cloud, each GiB, GiB, arch, seen (a wider   \n"
        "  terminal, or --json)                                          \n"
    )


def test_a_sheet_with_zones_upfront_and_history() -> None:
    zones = tuple(row("spot", usd, zone=f"us-town-{letter}") for usd, letter in (("0.30", "a"), ("0.5", "b")))
    quotes = (
        OfferQuote(row("on-demand", "0.8048", zones=3), None, ()),
        OfferQuote(
            row("spot", "0.4", basis="derived", interruptions_per_month=0.1, source="bands [MIT]; the list [public]"),
            0.503,
            zones,
        ),
        OfferQuote(row("reserved-3y", "0.36", upfront_usd=Decimal("9460.8")), 0.5527, ()),
    )
    steps = (
        PriceStep(date(2026, 1, 1), Decimal(1), date(2026, 1, 1)),
        PriceStep(date(2026, 3, 1), None, date(2026, 3, 1)),
        PriceStep(TODAY, Decimal("0.8048"), TODAY, own=True),
    )
    sheet = Sheet(GPU, quotes, (History("us-town", "on-demand", "", steps),), {"reserved-3y": 3})
    target = console()
    print_sheet(sheet, target, TODAY, everything=True)
    assert said(target).splitlines()[:13] == [
        "Standard_Z4_v1  azure · family Zv1",
        "",
        "  1 × l4, 22.4 GiB each · 4 vCPU · 16 GiB · amd64 · network up to 8 Gbit/s",
        "",
        "  region   offer            $/h    off  upfront $  interr.  zones  zone by zone       seen        source",
        "  us-town  on-demand     0.8048                                 3                     2026-06-30  1     ",
        "           spot         0.4000*  −50 %                10 %      —  0.3000–0.5000 (2)  2026-06-30  2 1   ",
        "           reserved-3y   0.3600  −55 %      9,461               —                     2026-06-30  1     ",
        "",
        "  US dollars an hour, what is paid upfront spread over the term; * derived from other figures",
        "",
        "  history      us-town on-demand  1.0000 (2026-01-01) → withdrawn (2026-03-01) → 0.8048 (2026-06-30, yours)",
        "",
    ]


def test_many_quotes_are_told_by_the_best_commitment_of_each_term() -> None:
    offers = [f"reserved-{years}y-{number}" for years in (1, 3) for number in range(30)]
    quotes = [OfferQuote(row("on-demand", "1.0"), None, ())]
    quotes += [OfferQuote(row(offer, f"0.{50 + place}"), 0.5, ()) for place, offer in enumerate(offers[:40])]
    sheet = Sheet(GPU, tuple(quotes), (), {offer: int(offer[9]) for offer in offers})
    target = console()
    print_sheet(sheet, target, TODAY, everything=False)
    assert [line.split()[0] for line in said(target).splitlines() if "reserved" in line] == ["reserved-1y-0", "reserved-3y-0"]
    assert "38 more expensive commitments not shown; --region or --offer shows all" in said(target)
    target = console()
    print_sheet(sheet, target, TODAY, everything=True)
    assert said(target).count("reserved-") == 40


def test_a_machine_without_a_price_is_still_described() -> None:
    target = console()
    print_sheet(Sheet(CPU, (), (), {}), target, TODAY, everything=False)
    assert "8 vCPU · 32 GiB · arm64" in said(target)
    assert "no price is known" in said(target)


def test_sides_say_what_is_unknown_with_a_dash() -> None:
    sides = (
        ComparedMachine(
            GPU, row("on-demand", "0.8048"), 3, 0.8048 / 22.4, 0.8048 / 121, row("spot", "0.4"), {1: row("reserved-1y", "0.6")}
        ),
        ComparedMachine(
            MachineType("there", "T1", "T", 1, 4.0, "amd64", "tpu-v9", 1, 16.0, "list", TODAY),
            row("on-demand", "2"),
            1,
            0.125,
            None,
            None,
            {},
        ),
    )
    target = console(140)
    print_sides("24 GiB GPU", MachineKind(gpu_memory_gib=24), sides, target)
    first, second = said(target).splitlines()[3:5]
    assert first.split() == (
        cells("Standard_Z4_v1 azure us-town +2 1 × l4 22.4 4 16 0.8048 0.0359 0.0067 −50 % — −25 % reserved-1y")
    )
    assert second.split() == cells("T1 there us-town 1 × tpu-v9 16 1 4 2.0000 0.1250 — — — —")
    target = console(80)
    print_sides("24 GiB GPU", MachineKind(frozenset({"l4"}), 24, 1, 4, 16, "amd64"), sides, target)
    assert said(target).startswith("24 GiB GPU  1 × l4 of about 24 GiB · at least 4 vCPU · at least 16 GiB · amd64")
    assert "Z4_v1" in said(target).splitlines()[4]
    assert said(target).splitlines()[5].strip() == "us-town"


def test_the_datasheets_rate_is_of_the_very_chip() -> None:
    assert dense_tflops(GPU) == 121
    assert dense_tflops(MachineType("there", "T1", "T", 1, 4.0, "amd64", "tpu-v9", 1, 16.0, "list", TODAY)) is None
    assert dense_tflops(CPU) is None


def test_changes_by_what_became_of_them() -> None:
    many = tuple(
        Difference("price", "new", "here", region, "c1.large", "on-demand", "", None, Decimal("0.32"), TODAY)
        for region in ("a", "b", "c")
    )
    fell = Difference("price", "changed", "here", "us-town", "g1", "on-demand", "", Decimal("98.32"), Decimal("55.04"), TODAY)
    less = Difference("discount", "changed", "here", "*", "g1", "reserved-1y", "", Decimal("0.30"), Decimal("0.25"), TODAY)
    gone = Difference("unit price", "withdrawn", "here", "us-town", "nat-gateway per hour", "", "", Decimal("0.045"), None, TODAY)
    target = console()
    print_changes(Changes(date(2026, 6, 1), TODAY, (*many, fell, less, gone), 7, 1234), 2, target)
    assert said(target).splitlines()[0] == "2026-06-01 to 2026-06-30  2 changed · 1 withdrawn · 3 new"
    lines = list(map(cells, said(target).splitlines()))
    assert cells("price here us-town g1 on-demand 98.3200 55.0400 −44.0 % 2026-06-30") in lines
    assert cells("discount here * g1 reserved-1y 30.0 % 25.0 % −16.7 % 2026-06-30") in lines
    assert cells("unit price here us-town nat-gateway per hour 0.0450 2026-06-30") in lines
    assert cells("here price on-demand 3 3 1") in lines  # three are too many to name
    assert "7 seen again as they were, 1,234 not looked at since" in said(target)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_changes_of_a_narrow_console_keep_offer_and_price(width: int) -> None:
    change = Difference(
        "price",
        "changed",
        "azure",
        "germanywestcentral",
        "Standard_NC24ads_A100_v4",
        "on-demand",
        "",
        Decimal("98.32"),
        Decimal("55.04"),
        TODAY,
    )
    target = console(width)
    print_changes(Changes(date(2026, 6, 1), TODAY, (change,), 0, 0), 5, target)
    for word in ("on-demand", "germany", "98.3200", "55.0400", "−44.0 %"):
        assert word in said(target)
    assert max(map(len, said(target).splitlines())) <= width


def test_origins_say_what_is_old() -> None:
    old = Origin("the shop's list", "MIT", ("here",), {"price": 1, "machine": 2}, ("derived", "list"), date(2026, 1, 1), TODAY)
    written = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
    part = BookPart("refreshed", "here", Path("kept/here.zip"), written, (Catalogue(prices=(row("on-demand", "1"),)),))
    ages = tuple(
        Age(name, 9, rows, date(2026, 1, 1), TODAY, refreshable)
        for name, rows, refreshable in (
            ("here", 4, True),
            ("there", 1, False),
            ("moon", 2, True),
            ("mars", 0, True),
            ("sun", 0, False),
        )
    )
    target = console()
    print_origins(Origins((old,), (part,), ages), target, TODAY)
    assert (
        "1 price, 2 machines · derived · list · seen 2026-01-01 to 2026-06-30  180 days old\n  the shop's list [MIT]\n"
        in said(target)
    )
    assert "  refreshed  here     1  2026-06-01 12:30 UTC  kept/here.zip\n" in said(target)
    assert said(target).endswith(
        "\n  7 of 45 prices were last seen more than 90 days ago\n"
        "  `tightrope prices refresh here`, `tightrope prices refresh moon` fetch the vendors' own lists\n"
        "  there: transcribed by hand: see docs/how-to/correct-a-price.md\n"
    )


def test_one_price_is_no_plural() -> None:
    origin = Origin("the shop's list", "MIT", ("here",), {"price": 1}, (), date(2026, 6, 29), TODAY)
    target = console()
    print_origins(Origins((origin,), (), (Age("here", 1, 1, TODAY, TODAY, refreshable=True),)), target, TODAY)
    assert "1 source, 1 price in force" in said(target)
    assert "1 day old" in said(target)
    assert "`tightrope prices refresh here` fetches the vendor's own lists" in said(target)
    target = console()
    print_refreshed(RefreshResult("aws", ("a",), 1, 0, 0, 0, 1, (), (), Path("kept/aws.zip"), 12.34), target)
    assert "aws  1 region, 1 price in 12.3 s" in said(target)


def test_what_a_refresh_brought() -> None:
    moved = (
        Moved("g1", "us-town", "on-demand", "", Decimal("0.5"), Decimal("0.6")),
        Moved("g2", "us-town", "spot", "a", None, Decimal("0.2")),
    )
    refreshed = RefreshResult(
        "aws", ("a", "b"), 1200, 1, 2, 3, 1194, moved, ("4 families are not known",), Path("kept/aws.zip"), 12.34
    )
    target = console()
    print_refreshed(refreshed, target)
    lines = said(target).splitlines()
    assert lines[0] == "aws  2 regions, 1,200 prices in 12.3 s"
    assert lines[2] == "  1,194 unchanged · 2 changed · 1 new · 3 no longer listed"
    assert cells("g1 us-town on-demand 0.5000 0.6000 +20.0 %") in list(map(cells, lines))
    assert cells("g2 us-town spot a 0.2000") in list(map(cells, lines))
    assert cells("machine or item region offer or unit zone or tier was is change") in list(map(cells, lines))
    assert "" in lines
    assert not [line for line in lines if line and not line.strip()]
    assert lines[-2:] == ["  4 families are not known", "  kept in kept/aws.zip; `tightrope prices diff` shows all changes"]


def test_bars_are_for_terminals_only_and_show_how_far_each_list_is() -> None:
    quiet = console()
    with fetching(quiet) as bars:
        bars("prices of [bold]us-east-1\x1b[2J", 10, 20)
        assert said(quiet).strip() == ""
        bars("prices: answered 503; again in 2 s", 0, None)
    assert said(quiet).strip() == "prices: answered 503; again in 2 s"
    loud = Console(file=io.StringIO(), width=100, force_terminal=True)
    with fetching(loud) as bars:
        bars("prices of [bold]us-east-1\x1b[2J", 10, 20)
        bars("prices of [bold]us-east-1\x1b[2J", 12_000, 20_000)
        bars("savings plans", 1, 4)
        bars.progress.refresh()
        assert [(task.completed, task.total) for task in bars.progress.tasks] == [(12_000, 20_000), (1, 4)]
    assert "[bold]us-east-1�[2J" in said(loud)
    assert "12,000" in said(loud)


def test_of_many_lists_the_latest_few_have_bars() -> None:
    with fetching(Console(file=io.StringIO(), width=100, force_terminal=True)) as bars:
        for number in range(9):
            bars(f"list {number}", 1, 2)
        bars("list 0", 2, 2)
        shown = {task.description for task in bars.progress.tasks if task.visible}
    assert shown == {"list 0", *(f"list {number}" for number in range(4, 9))}


def test_a_sellers_words_steer_no_terminal() -> None:
    evil = MachineType("here", "box\x1b[2J[red]", "box", 2, 4.0, "amd64", "", 0, 0.0, "list", TODAY)
    target = console()
    print_search(
        SearchResult(("on-demand",), (Hit(evil, "us", (row("on-demand", "1", evil),)),)),
        Query(machines=("\x1b[2J",)),
        20,
        target,
        TODAY,
    )
    print_sheet(
        Sheet(evil, (OfferQuote(row("on-demand", "1", evil, source="\x1b]0;x\x07"), None, ()),), (), {}),
        target,
        TODAY,
        everything=True,
    )
    assert "\x1b" not in said(target)
    assert "\x07" not in said(target)
    assert "[red]" in said(target)


# ------------------------------------------------------------------------------------------------------------------- JSON


def test_changes_as_json_are_counted_whatever_is_shown() -> None:
    found = tuple(
        Difference(what, how, "here", "us-town", "g1", "", "", Decimal(1), Decimal(2), TODAY)
        for what, how in (("price", "changed"), ("price", "changed"), ("discount", "new"))
    )
    told = price_json.changes_json(Changes(TODAY, TODAY, found, 0, 0), 1)
    assert isinstance(told, dict)
    assert (told["matched"], len(told["changes"])) == (3, 1)
    assert told["counts"] == {"changed": {"price": 2}, "withdrawn": {}, "new": {"discount": 1}}


def test_json_has_no_letter_that_an_output_may_lack() -> None:
    assert price_json.text({"a": "× 15–20 %"}).isascii()


def test_json_says_the_years_of_each_commitment() -> None:
    quotes = tuple(OfferQuote(row(offer, "1"), None, ()) for offer in ("reserved-3y", "on-demand"))
    told = price_json.sheet_json(Sheet(GPU, quotes, (), {"reserved-3y": 3}))
    assert isinstance(told, dict)
    assert [quote["term_years"] for quote in told["quotes"]] == [3, None]


def test_json_keeps_every_digit_and_says_null_for_what_is_unknown() -> None:
    found = SearchResult(("on-demand", "spot"), (Hit(GPU, "us-town", (row("on-demand", "0.20444"), None)),))
    told = json.loads(price_json.text(price_json.search_json(found, None)))
    (hit,) = told["hits"]
    assert hit["prices"]["on-demand"]["usd_per_hour"] == 0.20444
    assert hit["prices"]["on-demand"]["interruptions_per_month"] is None
    assert hit["prices"]["spot"] is None
    assert list(hit["machine"]) == list(GPU.__dataclass_fields__)
    with pytest.raises(TypeError, match="a set has no JSON"):
        price_json.plain({1})
    with pytest.raises(ValueError, match="JSON"):
        price_json.text(price_json.plain(float("nan")))
